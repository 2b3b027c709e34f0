// npm `openid-client`, with its defaults.

import * as openid from 'openid-client';

import { demand, same } from '../harness/check.js';
import { arrivalAt, isRefused } from './arrival.js';

/** Signs in, and returns what later steps need. Each library checks state, iss, nonce and the ID token itself. */
async function signsIn(provider, client, authentication) {
  const execute = [openid.allowInsecureRequests];
  const config = await openid.discovery(new URL(provider.issuer), client.id, client.secret, authentication, { execute });
  // Also verifies the signature of the ID token, which TLS makes optional in the code flow.
  openid.enableNonRepudiationChecks(config);
  const verifier = openid.randomPKCECodeVerifier();
  const expected = {
    expectedState: openid.randomState(),
    expectedNonce: openid.randomNonce(),
    pkceCodeVerifier: verifier,
    idTokenExpected: true,
  };
  const url = openid.buildAuthorizationUrl(config, {
    redirect_uri: client.redirectUri,
    scope: 'openid email',
    state: expected.expectedState,
    nonce: expected.expectedNonce,
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  });
  const tokens = await openid.authorizationCodeGrant(config, await arrivalAt(provider, url), expected);
  const { sub } = tokens.claims();
  const info = await openid.fetchUserInfo(config, tokens.access_token, sub);
  same(info.email, provider.person.claims.email.email, 'email');
  const refreshed = await openid.refreshTokenGrant(config, tokens.refresh_token);
  await openid.fetchUserInfo(config, refreshed.access_token, sub);
  return { config, sub, tokens: { ...tokens, ...refreshed } };
}

async function confidential(provider) {
  const { config, sub, tokens } = await signsIn(provider, provider.client('openid-client'));
  const state = await openid.tokenIntrospection(config, tokens.access_token);
  demand(state.active, 'the access token is not active');
  same(state.client_id, 'openid-client', 'client_id of the introspection');
  await openid.tokenRevocation(config, tokens.refresh_token);
  await isRefused(openid.refreshTokenGrant(config, tokens.refresh_token), 'invalid_grant', 'a revoked refresh token');
  const { active } = await openid.tokenIntrospection(config, tokens.access_token);
  if (active) return 'the access token outlives the revoked refresh token, which RFC 7009 permits';
  await isRefused(
    openid.fetchUserInfo(config, tokens.access_token, sub),
    'invalid_token',
    'the access token of a revoked session',
  );
  return undefined;
}

async function open(provider) {
  await signsIn(provider, provider.client('openid-client-public'), openid.None());
}

async function basic(provider) {
  const client = provider.client('openid-client-basic');
  await signsIn(provider, client, openid.ClientSecretBasic(client.secret));
}

export const plan = 'Clients';
export const checks = {
  'openid-client: secret in the form, its default': confidential,
  'openid-client: secret in the header': basic,
  'openid-client: public client': open,
};
