"""The deny list: what ended within the longest lifetime of an access token, as Authlog's events say."""

import time
from collections import OrderedDict
from typing import NamedTuple

LONGEST_LIFETIME = 24 * 60 * 60  # seconds: no access token lives longer
KEEP_FOR = LONGEST_LIFETIME + 60 * 60  # for tokens of nodes whose clocks differ
SESSION, CLIENT, USER = "dev.authlog.session.", "dev.authlog.client.", "dev.authlog.user."
ENDS_SESSION = {SESSION + it for it in ("logged-out", "revoked", "refresh-token-reused", "authorization-code-reused")}
ENDS_OTHERS = {USER + it for it in ("password-reset", "password-changed", "sessions-revoked", "role-changed", "locked", "erased")}


class HistoryChanged(Exception):
    """The log is not the one that was read before, so the deny list is built again."""


def clock():
    """Seconds that no change of the time of day affects. On Linux they also pass while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Moment(NamedTuple):
    """An instant by two clocks: one that is never set, and one that never stands still."""

    steady: float
    wall: float

    @classmethod
    def now(cls):
        return cls(clock(), time.time())

    def age(self):
        """Seconds since, by the clock that says more. So a clock that is set back makes nothing younger."""
        now = self.now()
        return max(now.steady - self.steady, now.wall - self.wall)

    def earlier(self, seconds):
        return Moment(self.steady - seconds, self.wall - seconds)


class DenyList:
    """What has ended within the longest lifetime of an access token."""

    def __init__(self):
        self.since = time.time() - KEEP_FOR
        self.position = None  # log index, id and time of the last event
        self.is_confirmed = True  # whether the log that is read has that event
        self.ended = OrderedDict()  # (kind, id) -> when it was added
        self.epochs = OrderedDict()  # account -> when it was added, lowest live epoch, kept session

    def resume(self):
        """Begins to read again at the last event, which has to be seen before anything counts."""
        self.is_confirmed = self.position is None
        return self

    def take(self, event):
        """Applies the next event, and skips one that was applied before. Any other means that the log is not the same."""
        index, identity = int(event["logindex"]), (event["id"], event["time"])
        last, last_identity = self.position or (index - 1, None)
        if index == last + 1 and self.is_confirmed:
            try:
                self.apply(event["type"], event["subject"], event["data"])
            except (KeyError, TypeError) as error:
                # To skip it could miss an end. Without it, the list grows too old.
                raise RuntimeError(f"event {index}, a {event['type']}, is not understood: update this program") from error
            self.position = (index, identity)
        elif index > last or (index == last and identity != last_identity):
            raise HistoryChanged(f"event {index} does not follow event {last}")
        elif index == last:
            self.is_confirmed = True

    def apply(self, kind, subject, data):
        """A later version of a type ends what the first one ends. It takes nothing off the list."""
        name = kind.rpartition(".")[0]
        if name in ENDS_SESSION:
            self.add("session", data["session_id"])
        elif name in (CLIENT + "locked", CLIENT + "removed"):
            self.add("client", subject)
        elif name == CLIENT + "secret-retired":
            self.add("secret", data["secret_id"])
        elif name == CLIENT + "changed" and "client_credentials" not in data["grants"]:
            self.add("grant", subject)
        elif kind == CLIENT + "changed.v1":
            self.ended.pop(("grant", subject), None)
        elif kind == CLIENT + "unlocked.v1":
            self.ended.pop(("client", subject), None)
        elif name.startswith(USER) and data.get("session_epoch") is not None:
            # Any type, also one that is newer than this program.
            epoch, known = data["session_epoch"], self.epochs.get(subject)
            if not isinstance(epoch, int):
                raise TypeError("session_epoch")
            if known is None or known[1] < epoch:
                self.epochs[subject] = (clock(), epoch, data.get("kept_session_id"))
                self.epochs.move_to_end(subject)
        elif name in ENDS_OTHERS and kind != USER + "role-changed.v1":
            raise KeyError("session_epoch")

    def add(self, kind, name):
        self.ended[kind, name] = clock()
        self.ended.move_to_end((kind, name))

    def has_ended(self, claims):
        session, client = claims.get("sid"), claims["client_id"]
        keys = [("session", session), ("session", claims.get("psid")), ("client", client), ("secret", claims.get("secret_id"))]
        # A client's own token has no session.
        keys += [("grant", client)] if session is None else []
        if any(key in self.ended for key in keys):
            return True
        _, epoch, kept = self.epochs.get(claims["sub"], (0, 0, None))
        return session is not None and claims["epoch"] < epoch and session != kept

    def forget(self):
        """Removes what no unexpired token needs."""
        oldest = clock() - KEEP_FOR
        while self.ended and next(iter(self.ended.values())) < oldest:
            self.ended.popitem(last=False)
        while self.epochs and next(iter(self.epochs.values()))[0] < oldest:
            self.epochs.popitem(last=False)
