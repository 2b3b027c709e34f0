// npm `oauth4webapi`, which checks every answer: sign-in, client credentials, pushed requests (RFC 9126), DPoP (RFC 9449) and the
// device grant (RFC 8628).

import * as oauth from 'oauth4webapi';

import { Browser } from '../harness/browser.js';
import { demand, same, Unsupported } from '../harness/check.js';
import { arrivalAt, isRefused } from './arrival.js';

const LOCAL = { [oauth.allowInsecureRequests]: true };

async function discover(provider) {
  const issuer = new URL(provider.issuer);
  return oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, LOCAL));
}

/** A client of the library, and how it authenticates itself. */
async function begin(provider, id) {
  const { secret } = provider.client(id);
  return {
    server: await discover(provider),
    client: { client_id: id },
    auth: secret ? oauth.ClientSecretBasic(secret) : oauth.None(),
    redirectUri: provider.client(id).redirectUri,
    browser: new Browser(provider),
  };
}

/** The parameters of a request, and what its answer is compared with. */
async function request({ client, redirectUri }, more = {}) {
  const verifier = oauth.generateRandomCodeVerifier();
  const parameters = {
    client_id: client.client_id,
    redirect_uri: redirectUri,
    response_type: 'code',
    scope: 'openid email',
    state: oauth.generateRandomState(),
    nonce: oauth.generateRandomNonce(),
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    ...more,
  };
  return { verifier, parameters };
}

const urlOf = (server, parameters) => `${server.authorization_endpoint}?${new URLSearchParams(parameters)}`;

/** Exchanges the code at the redirect URI. `options` has the DPoP handle, if there is one. */
async function redeems({ server, client, auth, redirectUri }, { verifier, parameters }, callback, options = {}) {
  const answer = oauth.validateAuthResponse(server, client, callback, parameters.state);
  const call = () =>
    oauth.authorizationCodeGrantRequest(server, client, auth, answer, redirectUri, verifier, { ...LOCAL, ...options });
  const expected = { expectedNonce: parameters.nonce, requireIdToken: true };
  const redeem = async () => {
    const response = await call();
    const tokens = await oauth.processAuthorizationCodeResponse(server, client, response, expected);
    await oauth.validateApplicationLevelSignature(server, response, LOCAL);
    return tokens;
  };
  return withNonce(redeem, redeem);
}

/** Tries a second time if the server demands a DPoP nonce (RFC 9449 §8). */
async function withNonce(first, second) {
  try {
    return await first();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return second();
  }
}

async function signsIn(provider) {
  const it = await begin(provider, 'oauth4webapi');
  const asked = await request(it);
  const callback = await arrivalAt(provider, urlOf(it.server, asked.parameters), it.browser);
  const tokens = await redeems(it, asked, callback);
  const { sub } = oauth.getValidatedIdTokenClaims(tokens);
  const info = await oauth.userInfoRequest(it.server, it.client, tokens.access_token, LOCAL);
  const { email } = await oauth.processUserInfoResponse(it.server, it.client, sub, info);
  same(email, provider.person.claims.email.email, 'email');
}

async function clientCredentials(provider) {
  const { server, client, auth } = await begin(provider, 'oauth4webapi-machine');
  const { audience } = provider.client('oauth4webapi-machine');
  const form = { scope: 'read', resource: audience };
  const response = await oauth.clientCredentialsGrantRequest(server, client, auth, form, LOCAL);
  const { access_token: token } = await oauth.processClientCredentialsResponse(server, client, response);
  // As a resource server checks it (RFC 9068).
  const call = new Request(audience, { headers: { authorization: `Bearer ${token}` } });
  const claims = await oauth.validateJwtAccessToken(server, call, audience, LOCAL);
  same(claims.client_id, client.client_id, 'client_id of the access token');
  same(claims.scope, 'read', 'scope of the access token');
}

async function pushedRequest(provider) {
  const it = await begin(provider, 'oauth4webapi-par');
  const { server, client, auth, browser } = it;
  if (!server.pushed_authorization_request_endpoint) throw new Unsupported('no pushed_authorization_request_endpoint');
  const asked = await request(it);
  const push = async (parameters) =>
    oauth.processPushedAuthorizationResponse(
      server,
      client,
      await oauth.pushedAuthorizationRequest(server, client, auth, parameters, LOCAL),
    );
  const { request_uri: uri, expires_in: seconds } = await push(asked.parameters);
  demand(uri.startsWith('urn:ietf:params:oauth:request_uri:'), `request_uri is ${uri}`);
  demand(seconds >= 5 && seconds <= 600, `expires_in is ${seconds}, and RFC 9126 recommends 5 to 600`);
  const url = urlOf(server, { client_id: client.client_id, request_uri: uri });
  await redeems(it, asked, await arrivalAt(provider, url, browser));
  // RFC 9126 §2.1 and §2.3: what the authorization endpoint would refuse is refused at once.
  await isRefused(
    push({ ...asked.parameters, redirect_uri: 'https://evil.example/' }),
    'invalid_re',
    'an unregistered redirect URI',
  );
  await isRefused(push({ ...asked.parameters, request_uri: uri }), 'request', 'a request_uri in a pushed request');
  if (!provider.deviations.has('request_uri again')) await refusesAtAuthorization(provider, url, 'a request_uri that was used');
  const other = { client_id: 'oauth4webapi', request_uri: (await push(asked.parameters)).request_uri };
  await refusesAtAuthorization(provider, urlOf(server, other), 'a request_uri of another client');
}

/** No code may come back. The error is a page or an answer at the redirect URI. */
async function refusesAtAuthorization(provider, url, what) {
  const { callback, page } = await new Browser(provider).visit(url);
  if (callback) return demand(!callback.searchParams.has('code'), `${what} is not refused`);
  return demand(page.status >= 400 && page.status < 500, `${what}: a page with the status ${page.status}`);
}

async function dpop(provider) {
  const it = await begin(provider, 'oauth4webapi-dpop');
  const { server, client, auth, browser } = it;
  if (!server.dpop_signing_alg_values_supported) throw new Unsupported('no dpop_signing_alg_values_supported');
  const handle = async () => oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
  const [own, other] = [await handle(), await handle()];
  const asked = await request(it, { dpop_jkt: await own.calculateThumbprint() });
  const callback = await arrivalAt(provider, urlOf(server, asked.parameters), browser);
  const tokens = await redeems(it, asked, callback, { DPoP: own });
  same(tokens.token_type, 'dpop', 'token_type');
  const { sub } = oauth.getValidatedIdTokenClaims(tokens);
  const userinfo = async (token, DPoP) => {
    const call = async () =>
      oauth.processUserInfoResponse(server, client, sub, await oauth.userInfoRequest(server, client, token, { ...LOCAL, DPoP }));
    return withNonce(call, call);
  };
  await userinfo(tokens.access_token, own);
  await isRefused(userinfo(tokens.access_token, other), 'invalid', 'an access token with the proof of another key');
  await isRefused(userinfo(tokens.access_token), '', 'a bound access token without a proof');
  const refresh = async (token, DPoP) => {
    const call = async () =>
      oauth.processRefreshTokenResponse(
        server,
        client,
        await oauth.refreshTokenGrantRequest(server, client, auth, token, { ...LOCAL, DPoP }),
      );
    return withNonce(call, call);
  };
  await isRefused(refresh(tokens.refresh_token, other), 'invalid', 'a refresh token with the proof of another key');
  const refreshed = await refresh(tokens.refresh_token, own);
  same(refreshed.token_type, 'dpop', 'token_type of the refresh');
  await userinfo(refreshed.access_token, own);
}

async function dpopOfAnotherKey(provider) {
  const it = await begin(provider, 'oauth4webapi-dpop');
  if (!it.server.dpop_signing_alg_values_supported) throw new Unsupported('no dpop_signing_alg_values_supported');
  const handle = async () => oauth.DPoP(it.client, await oauth.generateKeyPair('ES256'));
  const asked = await request(it, { dpop_jkt: await (await handle()).calculateThumbprint() });
  const callback = await arrivalAt(provider, urlOf(it.server, asked.parameters), it.browser);
  await isRefused(
    redeems(it, asked, callback, { DPoP: await handle() }),
    'invalid',
    'a code with the proof of another key than dpop_jkt',
  );
}

async function deviceGrant(provider) {
  const { server, client, auth, browser } = await begin(provider, 'oauth4webapi-device');
  if (!server.device_authorization_endpoint) throw new Unsupported('no device_authorization_endpoint');
  const response = await oauth.deviceAuthorizationRequest(server, client, auth, { scope: 'openid email' }, LOCAL);
  const device = await oauth.processDeviceAuthorizationResponse(server, client, response);
  const poll = async () =>
    oauth.processDeviceCodeResponse(
      server,
      client,
      await oauth.deviceCodeGrantRequest(server, client, auth, device.device_code, LOCAL),
      { requireIdToken: true },
    );
  const pause = () => new Promise((resolve) => setTimeout(resolve, ((device.interval ?? 5) + 0.2) * 1000));
  await isRefused(poll(), 'authorization_pending', 'a device code before the person allowed it');
  demand(device.verification_uri_complete, 'no verification_uri_complete');
  const { page, callback } = await browser.visit(device.verification_uri_complete);
  demand(!callback && page.status === 200, `the device page ends with ${callback ?? page.status}`);
  await pause();
  const tokens = await poll();
  const { sub } = oauth.getValidatedIdTokenClaims(tokens);
  await oauth.processUserInfoResponse(
    server,
    client,
    sub,
    await oauth.userInfoRequest(server, client, tokens.access_token, LOCAL),
  );
  await pause();
  await isRefused(poll(), 'invalid_grant', 'a device code that was used');
}

export const groups = [
  {
    plan: 'Clients',
    checks: { 'oauth4webapi: code flow': signsIn, 'oauth4webapi: client credentials, RFC 8707 and RFC 9068': clientCredentials },
  },
  { plan: 'PAR', checks: { 'oauth4webapi: pushed authorization request': pushedRequest } },
  { plan: 'DPoP', checks: { 'oauth4webapi: DPoP': dpop, 'oauth4webapi: dpop_jkt': dpopOfAnotherKey } },
  { plan: 'Device grant', checks: { 'oauth4webapi: device authorization grant': deviceGrant } },
];
