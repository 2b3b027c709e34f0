"""Verifies tokens with python-jose and its defaults by the published key set. python-jose does not support Ed25519, and refuses
a set that has keys of another type than the algorithm's, so it asks for a set without them.

    jose_verify.py <address of the service> < tokens, one per line

Answers each line with the claims as JSON, or with `refused: ` and the reason.
"""

import json
import sys
import urllib.request

from jose import jwt
from jose.exceptions import JOSEError

with urllib.request.urlopen(f"{sys.argv[1]}/.well-known/jwks.json?kty=EC") as answer:
    keys = json.load(answer)

for line in sys.stdin:
    try:
        claims = jwt.decode(line.strip(), keys, algorithms=["ES256"], issuer="authlog", audience="authlog")
        print(json.dumps(claims))
    except JOSEError as error:
        print(f"refused: {type(error).__name__}: {error}")
    sys.stdout.flush()
