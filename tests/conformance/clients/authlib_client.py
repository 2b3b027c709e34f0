"""Authlib signs in, verifies the ID token, asks for the claims, refreshes and revokes."""

import json
import secrets
import sys

import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import KeySet


def open_in_browser(url):
    """Lets the harness open an address, and returns the address of the answer."""
    print(json.dumps({"open": url}), flush=True)
    return sys.stdin.readline().strip()


def verified(token, metadata, client_id, nonce, access_token):
    """The claims of an ID token, as Authlib's own `parse_id_token` verifies them."""
    keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())
    decoded = jwt.decode(token, keys, algorithms=metadata["id_token_signing_alg_values_supported"])
    options = {"iss": {"values": [metadata["issuer"]]}, "aud": {"value": client_id}}
    params = {"nonce": nonce, "client_id": client_id, "access_token": access_token}
    claims = CodeIDToken(decoded.claims, decoded.header, options, params)
    claims.validate(leeway=5)
    return claims


def main():
    settings = json.loads(sys.argv[1])
    url = settings["issuer"] + "/.well-known/openid-configuration"
    metadata = requests.get(url, timeout=10).json()
    known = AuthorizationServerMetadata(metadata)
    known.validate_jwks_uri()
    method = {"token_endpoint_auth_method": "none"} if settings["secret"] is None else {}
    client = OAuth2Session(
        settings["id"], settings["secret"], scope="openid email", redirect_uri=settings["redirect_uri"],
        code_challenge_method="S256", token_endpoint=metadata["token_endpoint"], **method,
    )
    nonce, verifier = secrets.token_urlsafe(16), generate_token(48)
    url, state = client.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce)
    callback = open_in_browser(url)
    token = client.fetch_token(metadata["token_endpoint"], authorization_response=callback, state=state, code_verifier=verifier)
    claims = verified(token["id_token"], metadata, settings["id"], nonce, token["access_token"])
    info = client.get(metadata["userinfo_endpoint"])
    info.raise_for_status()
    assert info.json()["sub"] == claims["sub"], "userinfo is about another person"
    assert info.json()["email"] == settings["email"], info.json()
    refreshed = client.refresh_token(metadata["token_endpoint"], token["refresh_token"])
    assert refreshed["access_token"] != token["access_token"], "the access token is the old one"
    client.get(metadata["userinfo_endpoint"]).raise_for_status()
    revoked = client.revoke_token(metadata["revocation_endpoint"], client.token["refresh_token"], token_type_hint="refresh_token")
    assert revoked.status_code == 200, revoked.text


if __name__ == "__main__":
    main()
