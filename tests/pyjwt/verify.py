"""Verifies tokens with PyJWT. All that it knows about the service is the address of its metadata.

    verify.py <address of the service> < tokens, one per line

Answers each line with the claims as JSON, or with `refused: ` and the reason.
"""

import json
import sys
import urllib.request

import jwt

service = sys.argv[1]
with urllib.request.urlopen(f"{service}/.well-known/oauth-authorization-server") as answer:
    metadata = json.load(answer)
# Every lookup fetches the key set again, because a key may have been published since.
keys = jwt.PyJWKClient(metadata["jwks_uri"], cache_keys=False)

for line in sys.stdin:
    token = line.strip()
    try:
        key = keys.get_signing_key_from_jwt(token)
        claims = jwt.decode(
            token,
            key.key,
            # The key says which algorithm it is for, not the token (RFC 8725, section 3.1).
            algorithms=[key._jwk_data["alg"]],
            issuer=metadata["issuer"],
            audience="authlog",
            # RFC 9068, section 2.2.
            options={"require": ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"]},
        )
        print(json.dumps(claims))
    except jwt.PyJWTError as error:
        print(f"refused: {type(error).__name__}: {error}")
    sys.stdout.flush()
