// npm `oidc-provider`, a certified provider: the checks have to pass against it before they say anything about Authlog.

import { randomBytes } from 'node:crypto';

import { exportJWK, generateKeyPair } from 'jose';

import { freePort } from '../harness/ports.js';
import { mcp, registrations } from '../harness/registrations.js';
import { Provider } from './provider.js';

const PERSON = {
  username: 'ann',
  password: 'correct horse battery',
  claims: {
    profile: { name: 'Ann Example', preferred_username: 'ann', updated_at: 1_700_000_000 },
    email: { email: 'ann@example.com', email_verified: true },
    address: { address: { country: 'DE' } },
    phone: { phone_number: '+49301234567', phone_number_verified: false },
  },
};

export async function startOidcProvider({ proxy, ports }) {
  quiet();
  const { default: OidcProvider, errors } = await import('oidc-provider');
  const clients = registrations(ports).map((client) => ({
    ...client,
    secret: client.auth === 'none' ? undefined : randomBytes(32).toString('base64url'),
    redirectUri: client.redirectUris?.[0],
  }));
  const provider = new OidcProvider(proxy.origin, await configuration(clients, ports, errors));
  // Its internal errors are a fault of the harness.
  provider.on('server_error', (context, error) => console.error('oidc-provider:', error));
  provider.on('backchannel.error', (context, error) => console.error('oidc-provider:', error));
  provider.use(securesCookies);
  const port = await freePort();
  const server = await new Promise((resolve) => {
    const listening = provider.listen(port, '127.0.0.1', () => resolve(listening));
  });
  proxy.forwardTo(port);
  const it = new Provider({
    name: 'oidc-provider',
    proxy,
    ports,
    clients: new Map(clients.map((client) => [client.id, client])),
    person: PERSON,
    replyTo,
    // Each module permits it.
    lacks: ['oidcc-idtoken-unsigned'],
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(resolve);
      }),
  });
  proxy.forwardTo(port, await it.discover());
  return it;
}

/** Browsers take `SameSite=None` of `Secure` cookies only. They take those of http://localhost, and the library does not set them. */
async function securesCookies(context, next) {
  await next();
  const cookies = [context.response.get('set-cookie')].flat().filter(Boolean);
  if (cookies.length > 0)
    context.set(
      'set-cookie',
      cookies.map((cookie) => (/samesite=none/i.test(cookie) ? `${cookie}; secure` : cookie)),
    );
}

/** It prints that its defaults are not for production. */
function quiet() {
  for (const name of ['info', 'warn']) {
    const print = console[name];
    console[name] = (...words) => {
      if (!/oidc-provider (NOTICE|WARNING)/.test(String(words[0]))) print(...words);
    };
  }
}

async function configuration(clients, ports, errors) {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const enabled = { enabled: true };
  return {
    clients: clients.map((client) => registered(client)),
    jwks: { keys: [{ ...(await exportJWK(privateKey)), use: 'sig', alg: 'RS256', kid: 'signing' }] },
    cookies: { keys: [randomBytes(32).toString('hex')], long: { sameSite: 'none' } },
    enableHttpPostMethods: true,
    findAccount: (context, id) => ({
      accountId: id,
      claims: () => ({ sub: id, ...Object.assign({}, ...Object.values(PERSON.claims)) }),
    }),
    claims: Object.fromEntries([
      ['acr', null],
      ['openid', ['sub', 'acr', 'auth_time']],
      ...Object.entries(PERSON.claims).map(([scope, claims]) => [scope, Object.keys(claims)]),
    ]),
    scopes: ['openid', 'offline_access', 'read'],
    pkce: { required: (context, client) => clients.find(({ id }) => id === client.clientId)?.pkce ?? false },
    issueRefreshToken: (context, client) => client.grantTypeAllowed('refresh_token'),
    clientBasedCORS: () => true,
    // Without its dispatcher, which refuses the addresses of this machine.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    features: {
      backchannelLogout: enabled,
      claimsParameter: enabled,
      clientCredentials: enabled,
      deviceFlow: enabled,
      devInteractions: enabled,
      dPoP: enabled,
      introspection: enabled,
      pushedAuthorizationRequests: enabled,
      revocation: enabled,
      rpInitiatedLogout: enabled,
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => true,
        getResourceServerInfo: (context, resource) => {
          if (resource !== mcp(ports)) throw new errors.InvalidTarget();
          return { scope: 'read', audience: resource, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } };
        },
      },
    },
    ttl: {
      AccessToken: 300,
      AuthorizationCode: 60,
      IdToken: 3600,
      RefreshToken: 3600,
      Session: 3600,
      Grant: 3600,
      Interaction: 600,
      DeviceCode: 600,
      ClientCredentials: 300,
    },
  };
}

function registered(client) {
  const code = client.grants.includes('authorization_code');
  return {
    client_id: client.id,
    client_secret: client.secret,
    token_endpoint_auth_method: client.auth,
    grant_types: client.grants,
    response_types: code ? ['code'] : [],
    redirect_uris: client.redirectUris && code ? client.redirectUris : [],
    scope: client.scope,
    ...(client.auth === 'none' && { application_type: 'native' }),
    ...(client.postLogoutRedirectUris && { post_logout_redirect_uris: client.postLogoutRedirectUris }),
    ...(client.backchannelLogoutUri && {
      backchannel_logout_uri: client.backchannelLogoutUri,
      backchannel_logout_session_required: true,
    }),
  };
}

/** How the person answers a page of the development interactions. */
function replyTo(page, { userCode, denies, isTyped } = {}) {
  for (const form of page.forms) {
    const prompt = form.fields.find(({ name }) => name === 'prompt')?.value;
    if (prompt === 'login') return { kind: 'sign-in', form, values: { login: PERSON.username, password: PERSON.password } };
    if (prompt === 'consent') return { kind: 'consent', form };
    if (form.id === 'op.logoutForm') return { kind: 'logout', form, button: { name: 'logout', value: 'yes' } };
    if (form.fields.some(({ name }) => name === 'logout')) return { kind: 'logout', form };
    if (form.id === 'op.deviceConfirmForm') {
      return denies ? { kind: 'denial', form, button: { name: 'abort', value: 'yes' } } : { kind: 'confirmation', form };
    }
    const field = form.fields.find(({ name }) => name === 'user_code');
    if (field && !isTyped) return { kind: 'device', form, values: { user_code: userCode ?? field.value } };
  }
  return undefined;
}
