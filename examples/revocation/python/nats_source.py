"""The source that reads the events from the JetStream stream `AUTH_EVENTS`, with nats-py."""

import asyncio
import json
import math
import re
from datetime import datetime, timezone

import nats
from nats.js.api import ConsumerConfig, DeliverPolicy

from deny_list import clock

STREAM, EVENTS, HEARTBEATS = "AUTH_EVENTS", "auth.v1.>", "auth-heartbeat.v1"
INBOX = "_INBOX_verifier"  # of this client alone, so that its permissions let it read no answer to another
TIMEOUT = 3  # seconds without a heartbeat, or without an event that a heartbeat names


def stream(url):
    return lambda verifier: asyncio.run(read(url, verifier))


async def ignore(_error):
    """The error is raised as well, and `Verifier.follow` logs it."""


async def read(url, verifier):
    options = {"allow_reconnect": False, "connect_timeout": TIMEOUT, "inbox_prefix": INBOX, "error_cb": ignore}
    connection = await nats.connect(url, **options)
    try:
        # The heartbeats first: what they say is then about the events that follow.
        heartbeats = await connection.subscribe(HEARTBEATS)
        deny = verifier.begin()
        answer = await connection.request(f"$JS.API.STREAM.INFO.{STREAM}", timeout=TIMEOUT)
        info = json.loads(answer.data)
        if "state" not in info:
            raise RuntimeError(info["error"]["description"])
        start = where_to_start(info["state"], deny)
        # Each event is stored once, and this consumer starts again by itself after a message that it missed.
        events = await connection.jetstream().subscribe(EVENTS, stream=STREAM, ordered_consumer=True, config=start)
        reader = Reader(verifier, deny, not_events(info["config"].get("description", "")))
        tasks = [asyncio.create_task(it) for it in (reader.read_events(events), reader.read_heartbeats(heartbeats))]
        ended, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        for task in ended:
            task.result()
    finally:
        await connection.close()


def where_to_start(state, deny):
    """At the last event, to see that it is the same; without one 25 hours ago, or at the newest event if that is older."""
    if deny.position:
        # No event has a sequence below its log index.
        return ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=deny.position[0])
    since = datetime.fromtimestamp(deny.since, timezone.utc)
    if state["messages"]:
        # Without its fraction the time is earlier.
        since = min(since, datetime.fromisoformat(state["last_ts"][:19] + "+00:00"))
    return ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=since.isoformat().replace("+00:00", "Z"))


def not_events(description):
    """The sequences of messages that an operator excluded, such as `Not events: 21, 30-32.`"""
    listed = re.search(r"Not events: ([0-9, -]+)", description)
    parts = [part.split("-") for part in listed[1].replace(" ", "").split(",")] if listed else []
    return [range(int(part[0]), int(part[-1]) + 1) for part in parts]


class Reader:
    """Counts a heartbeat when every event that it names has been applied."""

    def __init__(self, verifier, deny, excluded):
        self.verifier, self.deny, self.excluded = verifier, deny, excluded
        self.waiting = []  # heartbeats: log index, time as of which they hold
        self.bases = {}  # publisher -> when it began, by the clock here

    async def read_events(self, events):
        async for message in events.messages:
            headers = message.headers or {}
            sequence = message.metadata.sequence.stream
            if "ce-id" not in headers or "ce-logindex" not in headers or any(sequence in it for it in self.excluded):
                continue  # another client published it
            event = {name: headers[f"ce-{name}"] for name in ("id", "logindex", "time", "type", "subject")}
            self.verifier.take(self.deny, event | {"data": json.loads(message.data)})
            self.count()
        raise RuntimeError("the connection to NATS is lost")

    async def read_heartbeats(self, heartbeats):
        stuck_since, at = clock(), None
        while True:
            message = await heartbeats.next_msg(timeout=TIMEOUT)
            heartbeat = json.loads(message.data)
            publisher, elapsed = heartbeat["publisher"], heartbeat["elapsed_ms"] / 1000
            # The clocks of both sides are not compared. The heartbeat with the least delay says best when the publisher began.
            self.bases[publisher] = min(self.bases.get(publisher, math.inf), clock() - elapsed)
            self.waiting.append((int(heartbeat["logindex"]), self.bases[publisher] + elapsed))
            self.count()
            if not self.waiting or self.deny.position != at:
                stuck_since, at = clock(), self.deny.position
            elif clock() - stuck_since > TIMEOUT:
                raise RuntimeError("the stream has no events that were published")

    def count(self):
        reached = self.deny.position[0] if self.deny.position else 0
        counted = [it for it in self.waiting if it[0] <= reached]
        if counted:
            self.waiting = [it for it in self.waiting if it[0] > reached]
            log_index, as_of = counted[-1]
            self.verifier.note_current(self.deny, log_index, as_of)
