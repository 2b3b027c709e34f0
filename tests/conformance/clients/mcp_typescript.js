// The TypeScript SDK of the Model Context Protocol as a registered client: it finds the provider by the resource (RFC 9728).

import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { Browser } from '../harness/browser.js';
import { demand, Failure, same } from '../harness/check.js';
import { mcp } from '../harness/registrations.js';
import { random } from '../harness/relying_party.js';
import { arrivalAt } from './arrival.js';

export const plan = 'Clients';

/** What the SDK asks of an application: it keeps things in memory. */
class Memory {
  #client;

  constructor({ id, redirectUri, scope }) {
    this.#client = { client_id: id };
    this.redirectUrl = redirectUri;
    this.clientMetadata = {
      client_name: id,
      redirect_uris: [redirectUri],
      scope,
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'none',
    };
  }

  state() {
    this.sentState = random();
    return this.sentState;
  }

  clientInformation() {
    return this.#client;
  }

  saveClientInformation(information) {
    this.#client = information;
  }

  tokens() {
    return this.saved;
  }

  saveTokens(tokens) {
    this.saved = tokens;
  }

  redirectToAuthorization(url) {
    this.authorizationUrl = url;
  }

  saveCodeVerifier(verifier) {
    this.verifier = verifier;
  }

  codeVerifier() {
    return this.verifier;
  }
}

async function callsATool(provider) {
  const memory = new Memory(provider.client('mcp-typescript'));
  const server = new URL(mcp(provider.ports));
  const first = new StreamableHTTPClientTransport(server, { authProvider: memory });
  await connect(first).then(
    () => {
      throw new Failure('the server takes a request without a token');
    },
    (error) => {
      if (!(error instanceof UnauthorizedError)) throw error;
    },
  );
  demand(memory.authorizationUrl, 'the SDK asks for no authorization');
  same(memory.authorizationUrl.searchParams.get('resource'), server.href, 'resource of the authorization request');
  const callback = await arrivalAt(provider, memory.authorizationUrl, new Browser(provider));
  same(callback.searchParams.get('state'), memory.sentState, 'state');
  await first.finishAuth(callback.searchParams.get('code'));
  await isCalled(server, memory);
  demand(memory.saved.refresh_token, 'no refresh token');
  // A token that the server refuses is renewed with the refresh token.
  const before = memory.saved.refresh_token;
  memory.saved = { ...memory.saved, access_token: 'invalid' };
  await isCalled(server, memory);
  demand(memory.saved.access_token !== 'invalid', 'the token was not renewed');
  return before === memory.saved.refresh_token ? 'the refresh token is not replaced' : undefined;
}

async function connect(transport) {
  const client = new Client({ name: 'conformance', version: '1' });
  await client.connect(transport);
  return client;
}

async function isCalled(server, memory) {
  const client = await connect(new StreamableHTTPClientTransport(server, { authProvider: memory }));
  const { content } = await client.callTool({ name: 'caller', arguments: {} });
  same(content[0].text, 'mcp-typescript', 'the client of the access token');
  await client.close();
}

export const checks = { 'MCP SDK for TypeScript: registered client, RFC 8707': callsATool };
