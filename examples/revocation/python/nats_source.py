"""The source that reads the events from the JetStream stream `AUTH_EVENTS`, with nats-py."""

import asyncio
import json
import math
import re
from datetime import datetime, timezone

import nats
from nats.js.api import ConsumerConfig, DeliverPolicy

from deny_list import HistoryChanged, Moment

STREAM, EVENTS, HEARTBEATS = "AUTH_EVENTS", "auth.v1.>", "auth-heartbeat.v1"
INBOX = "_INBOX_verifier"  # of this client alone, so that its permissions let it read no answer to another
TIMEOUT = 3  # seconds without a heartbeat, or without an event that a heartbeat names
END = 64  # messages at the end of the stream, among which there is an event


def stream(url):
    return lambda verifier: asyncio.run(read(url, verifier))


async def read(url, verifier):
    reader = Reader(verifier)
    options = {"allow_reconnect": False, "connect_timeout": TIMEOUT, "inbox_prefix": INBOX, "error_cb": reader.note_trouble}
    reader.connection = connection = await nats.connect(url, **options)
    try:
        reader.heard = Moment.now()
        await connection.subscribe(HEARTBEATS, cb=reader.hear)
        # What this publisher says is then about the stream that is read and compared after it.
        await reader.go_on_until(lambda: reader.publisher)
        answer = await connection.request(f"$JS.API.STREAM.INFO.{STREAM}", timeout=TIMEOUT)
        info = json.loads(answer.data)
        if "state" not in info:
            raise RuntimeError(info["error"]["description"])
        reader.excluded = not_events(info["config"].get("description", ""))
        start = where_to_start(info["state"], reader.deny)
        await connection.jetstream().subscribe(EVENTS, stream=STREAM, cb=reader.take, ordered_consumer=True, config=start)
        await reader.go_on_until(lambda: False)
    finally:
        await connection.close()


def where_to_start(state, deny):
    """At the last event, to see that it is the same; without one 25 hours ago, or at the end of the stream if that is older."""
    if deny.position:
        # No event has a sequence below its log index.
        return ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=deny.position[0])
    since = datetime.fromtimestamp(deny.since, timezone.utc)
    if datetime.fromisoformat(state["last_ts"][:19] + "+00:00") < since:
        return ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=max(1, state["last_seq"] - END + 1))
    return ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=since.isoformat().replace("+00:00", "Z"))


def not_events(description):
    """The sequences of messages that an operator excluded, such as `Not events: 21, 30-32.`"""
    listed = re.search(r"Not events: ([0-9, -]+)", description)
    parts = [part.split("-") for part in listed[1].replace(" ", "").split(",")] if listed else []
    return [range(int(part[0]), int(part[-1]) + 1) for part in parts]


class Reader:
    """Counts a heartbeat when every event that it names has been applied. What `hear` and `take` raise goes to `note_trouble`."""

    def __init__(self, verifier):
        self.verifier, self.deny, self.excluded = verifier, verifier.begin(), []
        self.publisher, self.base = None, math.inf  # who sends the heartbeats, and when it began by the clock here
        self.waiting = []  # heartbeats: log index, and the moment as of which they hold
        self.consumer, self.trouble = None, None
        self.heard = self.moved = Moment.now()
        self.moved_to = None

    async def note_trouble(self, error):
        self.trouble = self.trouble or error

    async def hear(self, message):
        if self.heard.age() > TIMEOUT:
            # The machine may have been suspended. What was on the way meanwhile is old.
            raise RuntimeError("there was no heartbeat")
        self.heard = Moment.now()
        heartbeat = json.loads(message.data)
        if self.publisher not in (None, heartbeat["publisher"]):
            # After a failover of the database, the log and the stream may have another history: compare it.
            raise RuntimeError("another publisher sends heartbeats")
        self.publisher, elapsed = heartbeat["publisher"], heartbeat["elapsed_ms"] / 1000
        # The clocks of both sides are not compared. The heartbeat with the least delay says best when the publisher began.
        self.base = min(self.base, self.heard.steady - elapsed)
        self.waiting.append((int(heartbeat["logindex"]), self.heard.earlier(self.heard.steady - self.base - elapsed)))
        self.count()

    async def take(self, message):
        headers, metadata = message.headers or {}, message.metadata
        if self.consumer not in (None, metadata.consumer):
            # The library began again after a message that it missed, perhaps on a stream that was deleted and filled again.
            raise RuntimeError("another consumer delivers the events")
        self.consumer = metadata.consumer
        if "ce-id" not in headers or "ce-logindex" not in headers or any(metadata.sequence.stream in it for it in self.excluded):
            return  # another client published it
        event = {name: headers[f"ce-{name}"] for name in ("id", "logindex", "time", "type", "subject")}
        self.verifier.take(self.deny, event | {"data": json.loads(message.data)})
        self.count()

    def count(self):
        if self.trouble:
            return
        reached = self.deny.position[0] if self.deny.position else 0
        if not self.deny.is_confirmed:
            if any(index < reached for index, _ in self.waiting):
                raise HistoryChanged(f"the log ends before event {reached}")
            return
        counted = [it for it in self.waiting if it[0] <= reached]
        if counted:
            self.waiting = [it for it in self.waiting if it[0] > reached]
            self.verifier.note_current(self.deny, *counted[-1])

    async def go_on_until(self, condition):
        """Returns if that holds, and raises when something is wrong."""
        while not condition():
            if not self.waiting or self.moved_to != self.deny.position:
                self.moved, self.moved_to = Moment.now(), self.deny.position
            if self.trouble or self.connection.is_closed:
                raise self.trouble or RuntimeError("the connection to NATS is lost")
            if self.heard.age() > TIMEOUT:
                raise RuntimeError("there is no heartbeat")
            if self.moved.age() > TIMEOUT:
                # To begin at another event than the last one helps if the stream has another history.
                stuck = RuntimeError if self.deny.is_confirmed else HistoryChanged
                raise stuck("the stream does not deliver the events that heartbeats name")
            await asyncio.sleep(TIMEOUT / 60)
