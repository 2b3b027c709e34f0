"""HTTP answers with limits of time and size, which `requests` does not have by itself."""

import json

import requests

from deny_list import clock

TIMEOUT = 3  # seconds until an answer is complete, and between two lines of one that goes on
LARGEST = 256 * 1024  # bytes of a complete answer, and of a line


def fetch_json(method, url, **options):
    """The JSON of a successful answer."""
    until = clock() + TIMEOUT
    with requests.request(method, url, stream=True, timeout=TIMEOUT, **options) as answer:
        answer.raise_for_status()
        body = bytearray()
        # `timeout` is that of each read, and a read of more than a byte ends only when it has all of them.
        for byte in answer.iter_content(1):
            body += byte
            if len(body) > LARGEST:
                raise ValueError(f"{url} sends more than {LARGEST} bytes")
            if clock() > until:
                raise TimeoutError(f"{url} takes longer than {TIMEOUT} s")
    return json.loads(body)


def lines_of(answer):
    """The lines of an answer, as they arrive."""
    rest = b""
    for part in answer.iter_content(LARGEST):
        *lines, rest = (rest + part).split(b"\n")
        yield from lines
        if len(rest) > LARGEST:
            raise ValueError("the feed sends a line that is too long")
