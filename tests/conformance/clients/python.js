// Authlib and the Python SDK of the Model Context Protocol.

import path from 'node:path';

import { Browser } from '../harness/browser.js';
import { mcp } from '../harness/registrations.js';
import { arrivalAt } from './arrival.js';
import { runProgram } from './program.js';

export const plan = 'Clients';

const PYTHON = process.env.CONFORMANCE_PYTHON ?? 'python3';

const runs = (script, id) => async (provider) => {
  const client = provider.client(id);
  const browser = new Browser(provider);
  const settings = {
    issuer: provider.issuer,
    id,
    secret: client.secret ?? null,
    redirect_uri: client.redirectUri,
    scope: client.scope,
    email: provider.person.claims.email.email,
    resource: mcp(provider.ports),
  };
  await runProgram(PYTHON, [path.join(import.meta.dirname, script)], settings, (url) => arrivalAt(provider, url, browser));
};

export const checks = {
  'Authlib: client with a secret': runs('authlib_client.py', 'authlib'),
  'Authlib: public client': runs('authlib_client.py', 'authlib-public'),
  'MCP SDK for Python: registered client, RFC 8707': runs('mcp_client.py', 'mcp-python'),
};
