"""The source that reads `GET /audit/events` as a client with the scope `events.read`."""

import json
from datetime import datetime, timezone

import requests

from deny_list import HistoryChanged, Moment
from fetch import TIMEOUT, fetch_json, lines_of


def feed(client_id, client_secret):
    def read(verifier):
        form = {"grant_type": "client_credentials", "scope": "events.read"}
        grant = fetch_json("POST", f"{verifier.url}/oauth2/token", data=form, auth=(client_id, client_secret))
        deny = verifier.begin()
        if deny.position:
            # One event before, to see that it is the same.
            query = {"after": deny.position[0] - 1}
        else:
            query = {"since": datetime.fromtimestamp(deny.since, timezone.utc).isoformat().replace("+00:00", "Z")}
        query |= {"follow": "true", "heartbeat": "500"}
        headers = {"Authorization": f"Bearer {grant['access_token']}"}
        asked = heard = Moment.now()
        with requests.get(f"{verifier.url}/audit/events", query, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == 409:
                raise HistoryChanged("the log ends before the last event")
            answer.raise_for_status()
            for line in filter(None, lines_of(answer)):
                if heard.age() > TIMEOUT:
                    # The machine may have been suspended. What was on the way meanwhile is old.
                    raise RuntimeError("the feed was silent")
                heard = Moment.now()
                message = json.loads(line)
                if "specversion" in message:
                    verifier.take(deny, message)
                elif "elapsed_ms" in message:
                    # By the clock here, which runs as fast as that of Authlog.
                    age = heard.steady - asked.steady - message["elapsed_ms"] / 1000
                    verifier.note_current(deny, int(message["logindex"]), heard.earlier(max(age, 0)))
                elif message.get("status") == 409:
                    raise HistoryChanged(message.get("detail"))
                else:
                    raise RuntimeError(message.get("detail"))
        raise RuntimeError("the feed has ended")

    return read
