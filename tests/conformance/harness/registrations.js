// The clients that the checks need, in the terms of dynamic registration (RFC 7591). Each server registers them in its own way.

/** Where answers go that no browser has to display. Nothing listens there. */
export const CALLBACK = 'https://app.example/callback';
export const POST_LOGOUT = 'https://app.example/post_logout_redirect';

const CODE = ['authorization_code', 'refresh_token'];
const SCOPE = 'openid profile email address phone offline_access';

/** `ports` are those of the servers of the harness: `app` for pages, `logout` for logout tokens, and `mcp`. */
export function registrations(ports) {
  const confidential = (id, more = {}) => ({
    id,
    auth: 'client_secret_basic',
    grants: CODE,
    scope: SCOPE,
    redirectUris: [CALLBACK],
    pkce: false,
    ...more,
  });
  const open = (id, more = {}) => confidential(id, { auth: 'none', pkce: true, ...more });
  const app = `http://localhost:${ports.app}`;
  return [
    confidential('basic'),
    confidential('other'),
    confidential('post', { auth: 'client_secret_post' }),
    confidential('logout', { postLogoutRedirectUris: [POST_LOGOUT] }),
    confidential('backchannel', {
      postLogoutRedirectUris: [POST_LOGOUT],
      backchannelLogoutUri: `http://127.0.0.1:${ports.logout}/backchannel_logout`,
    }),
    confidential('openid-client', { pkce: true, auth: 'client_secret_post' }),
    confidential('openid-client-basic', { pkce: true }),
    open('openid-client-public'),
    confidential('oauth4webapi', { pkce: true }),
    confidential('oauth4webapi-par', { pkce: true }),
    open('oauth4webapi-dpop'),
    open('oauth4webapi-device', { grants: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'] }),
    confidential('par', { pkce: false }),
    { id: 'dpop-machine', auth: 'client_secret_basic', grants: ['client_credentials'], scope: 'read', audience: mcp(ports) },
    open('dpop'),
    ...['device', 'device-other'].map((id) =>
      open(id, { grants: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'] }),
    ),
    {
      id: 'oauth4webapi-machine',
      auth: 'client_secret_basic',
      grants: ['client_credentials'],
      scope: 'read',
      audience: mcp(ports),
    },
    confidential('authlib', { pkce: true }),
    open('authlib-public'),
    open('oidc-client-ts', { redirectUris: ['callback', 'popup'].map((page) => `${app}/${page}.html`) }),
    open('mcp-typescript', { redirectUris: [`${app}/mcp`], scope: 'read offline_access', audience: mcp(ports) }),
    open('mcp-python', { redirectUris: [`${app}/mcp`], scope: 'read offline_access', audience: mcp(ports) }),
    confidential('openidconnect', { pkce: true }),
  ];
}

/** The protected resource of the checks (RFC 8707). */
export const mcp = (ports) => `http://localhost:${ports.mcp}/mcp`;
