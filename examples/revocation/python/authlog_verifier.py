"""Verifies Authlog's access tokens in memory: with its key set, and with a deny list that follows its events."""

import json
import logging
import math
import random
import threading
import time
from datetime import datetime, timezone

import jwt  # PyJWT with cryptography
import requests

from deny_list import LONGEST_LIFETIME, DenyList, HistoryChanged, clock

TIMEOUT = 3  # seconds without an answer or a heartbeat
ALGORITHMS = ("ES256", "RS256", "EdDSA")


class Refused(Exception):
    """A token that is not accepted. The reason is `invalid`, `ended`, or `stale`: the deny list is too old to know."""


class Verifier:
    """`source` is a function that reads events until it fails, and passes them to `take` and `note_current`."""

    def __init__(self, url, issuer, audience, source, max_staleness=2.0, local_only=False):
        self.url, self.issuer, self.audience, self.source = url, issuer, audience, source
        self.max_staleness = math.inf if local_only else max_staleness
        self.keys, self.keys_asked, self.asking = {}, -math.inf, threading.Lock()
        self.deny, self.resumes, self.current_as_of = DenyList(), False, -math.inf
        self.log_index, self.news = 0, threading.Condition()

    def start(self):
        """Fetches the keys and follows the events in the background, and returns when tokens can be verified."""
        for work in (self.keep_keys, self.follow):
            threading.Thread(target=work, daemon=True).start()
        with self.news:
            self.news.wait_for(lambda: self.keys and self.current_as_of > -math.inf)

    def verify(self, token):
        """The claims of a valid access token. Raises `Refused`."""
        try:
            header = jwt.get_unverified_header(token)
            key, algorithm = self.key(header["kid"])
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
        if self.staleness() > self.max_staleness:
            raise Refused("stale")
        return claims

    def staleness(self):
        """The age of the deny list in seconds."""
        return clock() - self.current_as_of

    def wait_for(self, log_index, timeout):
        """Waits until the event with this index is known: the header `Authlog-Log-Index` of an answer of Authlog."""
        with self.news:
            return self.news.wait_for(lambda: self.log_index >= log_index, timeout)

    def key(self, kid):
        """The key with this id, and its algorithm. For an unknown one the set is fetched, at most every ten seconds."""
        if kid not in self.keys:
            with self.asking:
                if kid not in self.keys and clock() - self.keys_asked > 10:
                    self.fetch_keys()
        return self.keys[kid]

    def fetch_keys(self):
        """Fetches the keys. If that fails, those of before stay."""
        self.keys_asked = clock()
        try:
            answer = requests.get(f"{self.url}/.well-known/jwks.json", timeout=TIMEOUT)
            answer.raise_for_status()
            known = [it for it in answer.json()["keys"] if it.get("alg") in ALGORITHMS]
            self.keys = {it["kid"]: (jwt.PyJWK(it).key, it["alg"]) for it in known}
        except (requests.RequestException, jwt.PyJWTError, LookupError, ValueError) as error:
            logging.warning("the key set cannot be fetched: %s", error)

    def keep_keys(self):
        """Fetches the keys before they are five minutes old."""
        while True:
            with self.asking:
                self.fetch_keys()
            with self.news:
                self.news.notify_all()
            time.sleep(240 if self.keys else 1)

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
            wait = 0.1 if self.current_as_of > before else min(2 * wait, 2)
            time.sleep(wait * random.uniform(0.5, 1))

    def begin(self):
        """The list that the source continues: the present one, or an empty one."""
        return self.deny if self.resumes else DenyList()

    def take(self, deny, event):
        deny.take(event)
        if deny is self.deny:
            self.note_reached(deny.position[0])

    def note_current(self, deny, log_index, as_of):
        """Every event up to `as_of`, by `clock`, is in this list. Until then, the list of before is used."""
        if deny.since > time.time() - LONGEST_LIFETIME:
            raise HistoryChanged("the clock was set back")
        deny.forget()
        as_of = max(as_of, self.current_as_of) if deny is self.deny else as_of
        self.deny, self.resumes, self.current_as_of = deny, deny.position is not None, as_of
        self.note_reached(log_index)

    def note_reached(self, log_index):
        with self.news:
            self.log_index = max(self.log_index, log_index)
            self.news.notify_all()


def feed(client_id, client_secret):
    """The source that reads `GET /audit/events` as a client with the scope `events.read`."""

    def read(verifier):
        form = {"grant_type": "client_credentials", "scope": "events.read"}
        grant = requests.post(f"{verifier.url}/oauth2/token", form, auth=(client_id, client_secret), timeout=TIMEOUT)
        grant.raise_for_status()
        deny = verifier.begin()
        if deny.position:
            # One event before, to see that it is the same.
            query = {"after": deny.position[0] - 1}
        else:
            query = {"since": datetime.fromtimestamp(deny.since, timezone.utc).isoformat().replace("+00:00", "Z")}
        query |= {"follow": "true", "heartbeat": "500"}
        headers = {"Authorization": f"Bearer {grant.json()['access_token']}"}
        asked = clock()
        with requests.get(f"{verifier.url}/audit/events", query, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == 409:
                raise HistoryChanged("the log ends before the last event")
            answer.raise_for_status()
            for line in answer.iter_lines(chunk_size=None):
                message = json.loads(line)
                if "specversion" in message:
                    verifier.take(deny, message)
                elif "elapsed_ms" in message:
                    verifier.note_current(deny, int(message["logindex"]), asked + message["elapsed_ms"] / 1000)
                elif message.get("status") == 409:
                    raise HistoryChanged(message.get("detail"))
                else:
                    raise RuntimeError(message.get("detail"))

    return read
