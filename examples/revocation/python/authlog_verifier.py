"""Verifies Authlog's access tokens in memory: with its key set, and with a deny list that follows its events."""

import logging
import math
import random
import threading
import time

import jwt  # PyJWT with cryptography

from deny_list import LONGEST_LIFETIME, DenyList, HistoryChanged
from key_set import KeySet


class Refused(Exception):
    """A token that is not accepted. The reason is `invalid`, `ended`, or `stale`: the deny list or the keys are too old to know."""


class Verifier:
    """`source` is a function that reads events until it fails, and passes them to `take` and `note_current`."""

    def __init__(self, url, issuer, audience, source, max_staleness=2.0, keys_max_age=300.0, local_only=False):
        self.url, self.issuer, self.audience, self.source = url, issuer, audience, source
        self.max_staleness, self.is_local_only = max_staleness, local_only
        self.keys = KeySet(url, keys_max_age)
        self.deny, self.resumes, self.current_as_of = DenyList(), False, None
        self.log_index, self.news = 0, threading.Condition()

    def start(self):
        """Fetches the keys and follows the events in the background, and returns when tokens can be verified."""
        threading.Thread(target=self.follow, daemon=True).start()
        self.keys.start()
        with self.news:
            self.news.wait_for(lambda: self.current_as_of)

    def verify(self, token):
        """The claims of a valid access token. Raises `Refused`."""
        # Before the list is looked at: another thread may replace it by one that is current as of later.
        is_stale = self.is_stale()
        try:
            header = jwt.get_unverified_header(token)
            known = self.keys.find(header["kid"])
            if known is None:
                # If the set cannot be fetched, it may have the key by now.
                raise Refused("stale" if self.keys.has_failed else "invalid")
            key, algorithm = known
            claims = jwt.decode(
                token, key, algorithms=[algorithm], issuer=self.issuer, audience=self.audience,
                options={"require": ["exp", "sub", "client_id", "aud"], "verify_iat": False},
            )
        except (jwt.InvalidTokenError, LookupError, ValueError, RecursionError):
            raise Refused("invalid") from None
        # A client's own token has no session. A token with `cnf` is bound to a key, which has to be proved.
        is_complete = "epoch" in claims if "sid" in claims else claims["sub"] == claims["client_id"]
        if header.get("typ") != "at+jwt" or not is_complete or "cnf" in claims:
            raise Refused("invalid")
        if self.deny.has_ended(claims):
            raise Refused("ended")
        if is_stale:
            raise Refused("stale")
        return claims

    def is_stale(self):
        """Whether what is known is too old. Before everything was read once, it always is."""
        if self.current_as_of is None:
            return True
        return not self.is_local_only and (self.staleness() > self.max_staleness or not self.keys.is_current())

    def staleness(self):
        """The age of the deny list in seconds."""
        return math.inf if self.current_as_of is None else self.current_as_of.age()

    def wait_for(self, log_index, timeout):
        """Waits until the event with this index is known: the header `Authlog-Log-Index` of an answer of Authlog."""
        with self.news:
            return self.news.wait_for(lambda: self.log_index >= log_index, timeout)

    def follow(self):
        """Reads the events from the source, again and again."""
        wait = 0.1
        while True:
            before = self.current_as_of
            try:
                self.source(self)
            except HistoryChanged as change:
                logging.warning("the deny list is built again: %s", change)
                self.resumes = False
            except Exception as error:  # whatever it is, the next attempt may succeed
                logging.warning("the events cannot be read: %s", error)
            wait = 0.1 if self.current_as_of != before else min(2 * wait, 2)
            time.sleep(wait * random.uniform(0.5, 1))

    def begin(self):
        """The list that the source continues: the present one, or an empty one."""
        return self.deny.resume() if self.resumes else DenyList()

    def take(self, deny, event):
        deny.take(event)
        if deny is self.deny:
            self.note_reached(deny.position[0])

    def note_current(self, deny, log_index, as_of):
        """Every event up to the moment `as_of` is in this list. Until then, the list of before is used."""
        if deny.since > time.time() - LONGEST_LIFETIME:
            raise HistoryChanged("the clock was set back")
        last = deny.position[0] if deny.position else log_index
        if not deny.is_confirmed or last < log_index:
            raise HistoryChanged(f"the log has {log_index} events, and not the next one after {last} that was read")
        deny.forget()
        if deny is not self.deny:
            self.log_index = 0
            # In this order: `verify` looks at the age first.
            self.deny, self.resumes, self.current_as_of = deny, deny.position is not None, as_of
        elif self.current_as_of is None or as_of.steady > self.current_as_of.steady:
            self.current_as_of = as_of
        self.note_reached(last)

    def note_reached(self, log_index):
        with self.news:
            self.log_index = max(self.log_index, log_index)
            self.news.notify_all()
