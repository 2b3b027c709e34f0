"""Checks rules of the example in Python that no event of this version of Authlog shows: `check_examples.py` starts this."""

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent.parent / "examples/revocation/python"))

from authlog_verifier import Verifier
from deny_list import DenyList, HistoryChanged, Moment

failed = False


def check(what, found, wanted):
    global failed
    verdict = "passed" if found == wanted else f"FAILED: {found}, and not {wanted}"
    failed = failed or found != wanted
    print(f"Python: {what}: {verdict}")


def event(index, kind, data, subject="ann"):
    event = {"id": f"event/{index}", "logindex": str(index), "time": "2026-11-30T00:00:00Z", "type": f"dev.authlog.{kind}"}
    return event | {"subject": subject, "data": data}


def outcome(events, token):
    deny = DenyList()
    try:
        for index, it in enumerate(events, 7):
            deny.take(event(index, *it))
    except RuntimeError:
        return "not understood"
    return "ended" if deny.has_ended(token) else "live"


def refuses(work):
    try:
        work()
    except HistoryChanged:
        return True
    return False


known = json.loads((FOLDER / "later_versions.json").read_text())
for case in known["cases"]:
    kinds = ", ".join(f"{kind} {json.dumps(data)}" for kind, data, *_ in case["events"])
    check(f"after {kinds} the token is {case['then']}", outcome(case["events"], known["token"]), case["then"])

verifier = Verifier("http://127.0.0.1:1", "authlog", "authlog", None, local_only=True)
check("local-only accepts nothing before the events are known", verifier.is_stale(), True)
deny = verifier.begin()
verifier.take(deny, event(7, "user.locked.v1", {"session_epoch": 1}))
verifier.note_current(deny, 7, Moment.now())
check("local-only accepts tokens from then on", verifier.is_stale(), False)
check("a heartbeat that names a missing event changes the history", refuses(lambda: verifier.note_current(deny, 8, Moment.now())), True)
deny = verifier.begin()
counts_early = not refuses(lambda: verifier.note_current(deny, 7, Moment.now()))
check("a heartbeat does not count before the last event was seen again", counts_early, False)
check("nor is a next event taken", refuses(lambda: verifier.take(deny, event(8, "user.locked.v1", {"session_epoch": 2}))), True)
verifier.take(deny, event(7, "user.locked.v1", {"session_epoch": 1}))
check("but then it does", refuses(lambda: verifier.note_current(deny, 7, Moment.now())), False)
sys.exit(failed)
