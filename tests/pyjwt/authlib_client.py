"""Signs a person in with Authlib's client and its defaults, as an application does.

    authlib_client.py <service> <client> <secret or -> <redirect URI> <username> <password>

Prints the claims of the ID token and of the userinfo endpoint, and what happens to the tokens afterwards, as lines of JSON.
"""

import html.parser
import json
import os
import sys
import urllib.parse

# The service of the tests has no TLS.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, jwt
from authlib.oidc.core import CodeIDToken

service, client_id, secret, redirect_uri, username, password = sys.argv[1:]
metadata = requests.get(f"{service}/.well-known/openid-configuration").json()


class Form(html.parser.HTMLParser):
    """The first form of a page with a given action, as a browser without script submits it."""

    def __init__(self, text, action):
        super().__init__()
        self.action, self.inside, self.done, self.fields = action, False, False, {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.inside = not self.done and attributes["action"].endswith(self.action)
        elif tag == "input" and self.inside:
            self.fields[attributes["name"]] = attributes.get("value", "")

    def handle_endtag(self, tag):
        if tag == "form" and self.inside:
            self.inside, self.done = False, True


class Browser:
    """Keeps cookies and follows redirects, until one leads to the application."""

    def __init__(self):
        self.session = requests.Session()

    def shows(self, answer):
        while answer.status_code == 303:
            location = urllib.parse.urljoin(answer.url, answer.headers["location"])
            if location.startswith(redirect_uri):
                return location
            answer = self.session.get(location, allow_redirects=False)
        answer.raise_for_status()
        return answer

    def opens(self, url):
        return self.shows(self.session.get(url, allow_redirects=False))

    def submits(self, page, action, fields):
        form = Form(page.text, action)
        assert form.done, page.text
        url = urllib.parse.urljoin(page.url, action)
        data = {**form.fields, **fields}
        return self.shows(self.session.post(url, data=data, allow_redirects=False))


def says(**members):
    print(json.dumps(members))


verifier = generate_token(48)
client = OAuth2Session(
    client_id,
    None if secret == "-" else secret,
    scope="openid profile email",
    redirect_uri=redirect_uri,
    code_challenge_method="S256",
    token_endpoint=metadata["token_endpoint"],
    # What Authlib assumes of a client without a secret is this.
    **({"token_endpoint_auth_method": "none"} if secret == "-" else {}),
)
nonce = generate_token()
url, state = client.create_authorization_url(
    metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce
)
browser = Browser()
page = browser.opens(url)
page = browser.submits(page, "/sign-in", {"username": username, "password": password})
callback = browser.submits(page, "/consent", {"decision": "allow"})
token = client.fetch_token(
    metadata["token_endpoint"], authorization_response=callback, code_verifier=verifier
)
keys = JsonWebKey.import_key_set(
    {"keys": [key for key in requests.get(metadata["jwks_uri"]).json()["keys"] if key["kty"] == "RSA"]}
)
claims = jwt.decode(
    token["id_token"],
    keys,
    claims_cls=CodeIDToken,
    claims_options={"iss": {"value": metadata["issuer"]}, "aud": {"value": client_id}},
    claims_params={"nonce": nonce, "client_id": client_id},
)
claims.validate()
says(id_token=claims)
says(userinfo=client.get(metadata["userinfo_endpoint"]).json())
refreshed = client.refresh_token(metadata["token_endpoint"])
says(refreshed=refreshed["access_token"] != token["access_token"])
try:
    again = OAuth2Session(client_id, None if secret == "-" else secret, redirect_uri=redirect_uri)
    again.fetch_token(
        metadata["token_endpoint"], authorization_response=callback, code_verifier=verifier
    )
except OAuthError as error:
    says(second_use=error.error)
