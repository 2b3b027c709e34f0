"""A service with one protected route, `GET /protected`, which knows what ended at Authlog without asking it.

It reads the events over NATS if `NATS_URL` is set, and over HTTP otherwise.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from authlog_verifier import Refused, Verifier


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # each answer is written at once

    def do_GET(self):
        if self.path != "/protected":
            return self.answer(404, {"error": "not found"})
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return self.answer(401, {"error": "no token"}, ("WWW-Authenticate", "Bearer"))
        verifier, index = self.server.verifier, self.headers.get("Authlog-Log-Index", "")
        try:
            claims = verifier.verify(token)
            if index.isdecimal() and len(index) < 20:
                # Authlog answered the caller with this index. The caller wants to see what it changed.
                verifier.wait_for(int(index), timeout=1)
                claims = verifier.verify(token)
        except Refused as refused:
            # The token may be valid, so the client has to keep it.
            if str(refused) == "stale":
                return self.answer(503, {"error": "stale"}, ("Retry-After", "1"))
            return self.answer(401, {"error": str(refused)}, ("WWW-Authenticate", 'Bearer error="invalid_token"'))
        return self.answer(200, {"subject": claims["sub"]})

    def answer(self, status, body, *headers):
        body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    settings = os.environ
    issuer = settings["ISSUER"]
    url = settings.get("AUTHLOG_URL", issuer)
    if "NATS_URL" in settings:
        from nats_source import stream

        source = stream(settings["NATS_URL"])
    else:
        from feed_source import feed

        source = feed(settings["CLIENT_ID"], settings["CLIENT_SECRET"])
    verifier = Verifier(
        url, issuer, settings.get("AUDIENCE", "authlog").split(","), source,
        max_staleness=int(settings.get("MAX_STALENESS_MS", "2000")) / 1000,
        keys_max_age=int(settings.get("KEYS_MAX_AGE_MS", "300000")) / 1000, local_only=settings.get("ON_STALE") == "local-only",
    )
    verifier.start()
    # Only now: before, the service would refuse every token as stale.
    host, _, port = settings.get("LISTEN", "127.0.0.1:8000").rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Handler)
    server.verifier = verifier
    print(f"listening on {host}:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
