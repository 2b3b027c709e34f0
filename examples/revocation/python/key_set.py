"""The keys with which Authlog signs access tokens."""

import logging
import random
import threading

import jwt  # PyJWT with cryptography

from deny_list import Moment
from fetch import fetch_json

ALGORITHMS = ("ES256", "RS256", "EdDSA")
AGAIN = 10  # seconds between two requests that unknown keys cause, because anyone can send a token that names one
RETRY = 2  # seconds after a request that failed


class KeySet:
    """Fetches the keys in the background, and again at half of `max_age` seconds. If that fails, those of before stay."""

    def __init__(self, url, max_age):
        self.url, self.max_age = f"{url}/.well-known/jwks.json", max_age
        self.keys, self.as_of = {}, None  # id -> key and algorithm; when they were asked for
        self.is_asking, self.asked, self.has_failed, self.answers = False, None, False, 0
        self.wanted, self.changed = threading.Event(), threading.Condition()

    def start(self):
        """Returns when there is a set."""
        threading.Thread(target=self.keep, daemon=True).start()
        with self.changed:
            self.changed.wait_for(lambda: self.as_of)

    def is_current(self):
        return self.as_of is not None and self.as_of.age() <= self.max_age

    def find(self, kid):
        """The key with this id and its algorithm, or `None`. For an unknown one, this waits up to a second for the next set."""
        if kid not in self.keys:
            with self.changed:
                if self.is_asking or self.asked is None or self.asked.age() > AGAIN:
                    answers = self.answers
                    self.wanted.set()
                    self.changed.wait_for(lambda: self.answers > answers, 1)
        return self.keys.get(kid)

    def keep(self):
        while True:
            self.is_asking, self.asked = True, Moment.now()
            try:
                # A cache on the way may not add its age to that of these keys.
                self.replace(fetch_json("GET", self.url, headers={"Cache-Control": "no-cache"}))
                self.has_failed = False
            except Exception as error:  # whatever it is, the next attempt may succeed
                logging.warning("the key set cannot be fetched: %s", error)
                self.has_failed = True
            with self.changed:
                self.is_asking, self.answers = False, self.answers + 1
                self.wanted.clear()
                self.changed.notify_all()
            self.wanted.wait(random.uniform(0.5, 1) * (RETRY if self.has_failed else self.max_age / 2))

    def replace(self, document):
        """Any set replaces the one of before, also an empty one: a retired key must not stay. Keys of other kinds are left out."""
        keys = {}
        for jwk in document["keys"]:
            try:
                if jwk["alg"] in ALGORITHMS:
                    keys[jwk["kid"]] = jwt.PyJWK(jwk).key, jwk["alg"]
            except (jwt.PyJWTError, LookupError, TypeError, ValueError) as error:
                logging.warning("a key cannot be used: %r", error)
        self.keys, self.as_of = keys, self.asked
