"""The Python SDK of the Model Context Protocol calls a tool as a registered client."""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import ClientSession
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata


class Memory:
    """Tokens and the registration, which the harness made before."""

    def __init__(self, client):
        self.client = client
        self.tokens = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        self.client = client_info


async def call(settings, auth):
    """Calls the tool, and returns what it says."""
    async with httpx2.AsyncClient(auth=auth, timeout=20) as http:
        async with streamable_http_client(settings["resource"], http_client=http) as streams:
            async with ClientSession(streams[0], streams[1]) as session:
                await session.initialize()
                result = await session.call_tool("caller", {})
                return result.content[0].text


async def main():
    settings = json.loads(sys.argv[1])
    described = {
        "redirect_uris": [settings["redirect_uri"]],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
        "scope": settings["scope"],
    }
    registered = {**described, "client_id": settings["id"], "issuer": settings["issuer"]}
    memory = Memory(OAuthClientInformationFull.model_validate(registered))
    opened = []

    async def redirect(url):
        opened.append(url)

    async def callback():
        print(json.dumps({"open": opened[-1]}), flush=True)
        answer = parse_qs(urlsplit(sys.stdin.readline().strip()).query)
        only = {name: values[0] for name, values in answer.items()}
        return AuthorizationCodeResult(code=only["code"], state=only.get("state"), iss=only.get("iss"))

    auth = OAuthClientProvider(settings["resource"], OAuthClientMetadata.model_validate(described), memory, redirect, callback)
    assert await call(settings, auth) == settings["id"]
    resource = parse_qs(urlsplit(opened[0]).query)["resource"]
    assert resource == [settings["resource"]], resource
    assert memory.tokens.refresh_token, "no refresh token"
    # The next call needs no person.
    assert await call(settings, auth) == settings["id"]
    assert len(opened) == 1, "the person was asked twice"


asyncio.run(main())
