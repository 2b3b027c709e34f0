// A protected resource of the Model Context Protocol, made with its SDK: it takes access tokens of the provider for its own address
// alone (RFC 8707, RFC 9068), and says where to get them (RFC 9728).

import { getOAuthProtectedResourceMetadataUrl, mcpAuthMetadataRouter } from '@modelcontextprotocol/sdk/server/auth/router.js';
import { InvalidTokenError } from '@modelcontextprotocol/sdk/server/auth/errors.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import express from 'express';
import { createRemoteJWKSet, jwtVerify } from 'jose';

import { mcp } from '../harness/registrations.js';

export async function serveMcp(provider) {
  const resource = new URL(mcp(provider.ports));
  const app = express();
  app.use(mcpAuthMetadataRouter({ oauthMetadata: provider.metadata, resourceServerUrl: resource, scopesSupported: ['read'] }));
  const auth = requireBearerAuth({
    verifier: { verifyAccessToken: (token) => verify(token, provider, resource) },
    requiredScopes: ['read'],
    resourceMetadataUrl: getOAuthProtectedResourceMetadataUrl(resource),
    expectedResource: resource,
  });
  app.post('/mcp', express.json(), auth, answerCall);
  app.all('/mcp', auth, (request, response) => response.status(405).end());
  const server = await new Promise((resolve) => {
    const listening = app.listen(provider.ports.mcp, '127.0.0.1', () => resolve(listening));
  });
  return {
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(resolve);
      }),
  };
}

async function verify(token, provider, resource) {
  try {
    const keys = createRemoteJWKSet(new URL(provider.metadata.jwks_uri));
    const { payload } = await jwtVerify(token, keys, { issuer: provider.issuer, audience: resource.href, typ: 'at+jwt' });
    return { token, clientId: payload.client_id, scopes: payload.scope.split(' '), expiresAt: payload.exp, resource };
  } catch (error) {
    throw new InvalidTokenError(error.message);
  }
}

/** One tool, which says for whom it was called. */
async function answerCall(request, response) {
  const server = new McpServer({ name: 'conformance', version: '1' });
  server.registerTool('caller', { description: 'Says which client called.' }, ({ authInfo }) => ({
    content: [{ type: 'text', text: authInfo.clientId }],
  }));
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  response.on('close', () => {
    transport.close();
    server.close();
  });
  await server.connect(transport);
  await transport.handleRequest(request, response, request.body);
}
