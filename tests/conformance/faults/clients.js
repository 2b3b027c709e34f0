// What breaks the sign-in of each library. Each fault is for one client, so that no other check can notice it.

import { accessToken, both, head, idToken, json, of, parameters, redirect, repeats } from './kinds.js';

const replaced = (name, value) => (claims) => ({ ...claims, [name]: value });

/** The answer at the redirect URI of a client. */
const atClient = (id, change) => redirect(({ recall }, url) => recall(url.searchParams.get('state'))?.client_id === id, change);

/** A pushed request is read again, and sent as it was. */
const pushedAgain = (when) =>
  parameters(
    'authorization',
    (exchange) => exchange.parameters.request_uri && when(exchange),
    (form, { recall, parameters: { request_uri: uri } }) => {
      const pushed = recall(uri);
      if (!pushed) return;
      form.delete('request_uri');
      for (const [name, value] of Object.entries(pushed)) form.set(name, value);
    },
  );

function usedBefore() {
  const used = new Set();
  return ({ parameters: { request_uri: uri, client_id: client } }) => {
    const again = used.has(uri) && client === 'oauth4webapi-par';
    used.add(uri);
    return again;
  };
}

const bearer = ({ request }) => request.headers.authorization?.split(' ')[1];
const thumbprintless = ({ request }) => !request.headers.dpop;

export const clientFaults = [
  {
    breaks: ['openid-client: secret in the form, its default'],
    fault: 'another nonce',
    because: /nonce/i,
    ...idToken(of('openid-client'), replaced('nonce', 'other')),
  },
  {
    breaks: ['openid-client: secret in the header'],
    fault: 'another iss at the redirect URI',
    because: /iss/,
    ...atClient('openid-client-basic', (url) => url.searchParams.set('iss', 'https://other.example')),
  },
  {
    breaks: ['openid-client: public client'],
    fault: 'an ID token signed with an unpublished key',
    because: /key|signature/i,
    ...both({
      async response(exchange) {
        if (exchange.kind !== 'jwks') await idToken(of('openid-client-public'), (claims) => claims).response(exchange);
      },
    }),
  },
  {
    breaks: ['oauth4webapi: code flow'],
    fault: 'another state at the redirect URI',
    because: /state/,
    ...atClient('oauth4webapi', (url) => url.searchParams.set('state', 'other')),
  },
  {
    breaks: ['oauth4webapi: client credentials, RFC 8707 and RFC 9068'],
    fault: 'an access token for another resource',
    because: /aud/,
    ...accessToken('oauth4webapi-machine', replaced('aud', 'https://other.example')),
  },
  {
    breaks: ['oauth4webapi: pushed authorization request'],
    fault: 'a pushed request is answered with 200',
    because: /./,
    ...head(
      'pushed_authorization_request',
      of('oauth4webapi-par'),
      (response) => (response.status = response.status === 201 ? 200 : response.status),
    ),
  },
  {
    provider: 'oidc-provider',
    breaks: ['oauth4webapi: pushed authorization request'],
    fault: 'a request_uri works twice',
    because: /request_uri that was used/,
    ...pushedAgain(usedBefore()),
  },
  {
    breaks: ['oauth4webapi: pushed authorization request'],
    fault: 'a request_uri works for every client',
    because: /request_uri of another client/,
    ...pushedAgain(({ parameters: { client_id: client } }) => client === 'oauth4webapi'),
  },
  {
    breaks: ['oauth4webapi: DPoP'],
    fault: 'a bound token has the type Bearer',
    because: /token_type/,
    ...json('token', of('oauth4webapi-dpop'), (it) => ({ ...it, token_type: 'Bearer' })),
  },
  {
    breaks: ['oauth4webapi: DPoP'],
    fault: 'the key of a proof is not compared',
    because: /proof of another key/,
    ...repeats('userinfo', of('oauth4webapi-dpop'), bearer),
  },
  {
    breaks: ['oauth4webapi: DPoP'],
    fault: 'a bound token needs no proof',
    because: /without a proof/,
    ...repeats('userinfo', (exchange) => of('oauth4webapi-dpop')(exchange) && thumbprintless(exchange), bearer),
  },
  {
    breaks: ['oauth4webapi: dpop_jkt'],
    fault: 'dpop_jkt is ignored',
    because: /dpop_jkt/,
    ...parameters('authorization', of('oauth4webapi-dpop'), (form) => form.delete('dpop_jkt')),
  },
  {
    breaks: ['oauth4webapi: device authorization grant'],
    fault: 'no verification_uri',
    because: /verification_uri/,
    ...json('device_authorization', of('oauth4webapi-device'), (it) => ({ ...it, verification_uri: undefined })),
  },
  {
    breaks: ['oauth4webapi: device authorization grant'],
    fault: 'a device code works twice',
    because: /code that was used/,
    ...repeats('token', of('oauth4webapi-device'), ({ parameters: { device_code: code } }) => code),
  },
  {
    breaks: ['oidc-client-ts: redirect and silent renewal'],
    fault: 'no CORS for a refresh',
    because: /fetch/i,
    ...head(
      'token',
      ({ parameters: { grant_type: type } }) => type === 'refresh_token',
      ({ headers }) => delete headers['access-control-allow-origin'],
    ),
  },
  {
    breaks: ['oidc-client-ts: pop-up'],
    fault: 'no CORS for a code of a pop-up',
    because: /fetch/i,
    ...head(
      'token',
      ({ authorization }) => authorization.redirect_uri?.endsWith('/popup.html'),
      ({ headers }) => delete headers['access-control-allow-origin'],
    ),
  },
  {
    breaks: ['MCP SDK for TypeScript: registered client, RFC 8707'],
    fault: 'an access token for another resource',
    because: /401|aud|Unauthorized|invalid/i,
    ...accessToken('mcp-typescript', replaced('aud', 'https://other.example')),
  },
  {
    breaks: ['MCP SDK for Python: registered client, RFC 8707'],
    fault: 'another iss at the redirect URI',
    because: /iss/i,
    ...atClient('mcp-python', (url) => url.searchParams.set('iss', 'https://other.example')),
  },
  {
    breaks: ['Authlib: client with a secret'],
    fault: 'another nonce',
    because: /nonce/,
    ...idToken(of('authlib'), replaced('nonce', 'other')),
  },
  {
    breaks: ['Authlib: public client'],
    fault: 'an ID token for another client',
    because: /aud/,
    ...idToken(of('authlib-public'), replaced('aud', 'other')),
  },
  {
    breaks: ['openidconnect (Rust): client with a secret'],
    fault: 'another nonce',
    because: /nonce/,
    ...idToken(of('openidconnect'), replaced('nonce', 'other')),
  },
];
