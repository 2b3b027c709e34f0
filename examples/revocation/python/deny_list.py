"""The deny list: what ended within the longest lifetime of an access token, as Authlog's events say."""

import time
from collections import OrderedDict

LONGEST_LIFETIME = 24 * 60 * 60  # seconds: no access token lives longer
KEEP_FOR = LONGEST_LIFETIME + 60 * 60  # for tokens of nodes whose clocks differ
SESSION, CLIENT = "dev.authlog.session.", "dev.authlog.client."
ENDED = ("logged-out.v1", "revoked.v1", "refresh-token-reused.v1", "authorization-code-reused.v1")
ENDS_SESSION = {SESSION + name for name in ENDED}


class HistoryChanged(Exception):
    """The log is not the one that was read before, so the deny list is built again."""


def clock():
    """Seconds that also pass while the machine is suspended, and that no change of the time of day affects."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class DenyList:
    """What has ended within the longest lifetime of an access token."""

    def __init__(self):
        self.since = time.time() - KEEP_FOR
        self.position = None  # log index, id and time of the last event
        self.ended = OrderedDict()  # (kind, id) -> when it was added
        self.epochs = OrderedDict()  # account -> when it was added, lowest live epoch, kept session

    def take(self, event):
        """Applies the next event, and skips one that was applied before. Any other means that the log is not the same."""
        index, identity = int(event["logindex"]), (event["id"], event["time"])
        last, last_identity = self.position or (index - 1, None)
        if index == last + 1:
            self.apply(event["type"], event["subject"], event["data"])
            self.position = (index, identity)
        elif index > last or (index == last and identity != last_identity):
            raise HistoryChanged(f"event {index} does not follow event {last}")

    def apply(self, kind, subject, data):
        if kind in ENDS_SESSION:
            self.add("session", data["session_id"])
        elif kind in (CLIENT + "locked.v1", CLIENT + "removed.v1"):
            self.add("client", subject)
        elif kind == CLIENT + "unlocked.v1":
            self.ended.pop(("client", subject), None)
        elif kind == CLIENT + "secret-retired.v1":
            self.add("secret", data["secret_id"])
        elif kind == CLIENT + "changed.v1":
            if "client_credentials" in data["grants"]:
                self.ended.pop(("grant", subject), None)
            else:
                self.add("grant", subject)
        elif kind.startswith("dev.authlog.user.") and data.get("session_epoch") is not None:
            # Any type, also one that is newer than this program.
            known = self.epochs.get(subject)
            if known is None or known[1] < data["session_epoch"]:
                self.epochs[subject] = (clock(), data["session_epoch"], data.get("kept_session_id"))
                self.epochs.move_to_end(subject)

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
