"""Validates the metadata of the service with Authlib (RFC 8414).

    authlib_metadata.py < metadata

Prints each registered member by name, followed by `ok` or by the error.
"""

import json
import sys

from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

metadata = AuthorizationServerMetadata(json.load(sys.stdin))
for name in metadata.REGISTRY_KEYS:
    try:
        getattr(metadata, f"validate_{name}")()
        print(f"{name}: ok")
    except ValueError as error:
        print(f"{name}: {error}")
