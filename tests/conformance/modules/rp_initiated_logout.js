// One check for each module of the plan "RP-Initiated OP" (`oidcc-rp-initiated-logout-certification-test-plan`), by its name.

import { SignJWT } from 'jose';

import { Browser } from '../harness/browser.js';
import { demand, same, Unsupported } from '../harness/check.js';
import { POST_LOGOUT } from '../harness/registrations.js';
import { random, RelyingParty } from '../harness/relying_party.js';
import { demandsInteraction } from './basic_op.js';
import { isEndpoint } from './config_op.js';

export const plan = 'RP-initiated logout';

async function discovery(provider) {
  const metadata = await provider.readMetadata();
  if (!metadata.end_session_endpoint) throw new Unsupported('no end_session_endpoint');
  isEndpoint(metadata, 'end_session_endpoint');
}

/** A login, and the parameters of a logout after it. */
export async function beforeLogout(provider, client = 'logout') {
  if (!provider.metadata.end_session_endpoint) throw new Unsupported('no end_session_endpoint');
  const rp = new RelyingParty(provider, provider.client(client));
  const browser = new Browser(provider);
  const login = await rp.signsIn(browser);
  const parameters = { id_token_hint: login.idToken.token, post_logout_redirect_uri: POST_LOGOUT, state: random(96) };
  return { rp, browser, login, parameters };
}

/** Opens the end session endpoint. The person confirms if the provider asks. */
export function logout(provider, browser, parameters) {
  const url = new URL(provider.metadata.end_session_endpoint);
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) url.searchParams.set(name, value);
  return browser.visit(url);
}

/** The browser has no session any more: `prompt=none` demands a login. */
export async function isSignedOut({ rp, browser }) {
  const request = rp.request({ prompt: 'none', state: random(96) });
  demandsInteraction(rp.errorOf(request, await browser.visit(rp.url(request), { answers: false })));
}

/** The browser is sent back to the application, with `state` if it was sent, and with nothing else. */
export function isSentBack({ callback, page }, state) {
  demand(callback, `the browser is not sent back: ${page?.url.pathname} (${page?.status})`);
  same(callback.origin + callback.pathname, POST_LOGOUT, 'the post-logout redirect URI');
  same(
    [...callback.searchParams],
    state === undefined ? [] : [['state', state]],
    'the parameters at the post-logout redirect URI',
  );
}

const redirects =
  (change = {}) =>
  async (provider) => {
    const before = await beforeLogout(provider);
    const parameters = { ...before.parameters, ...change };
    isSentBack(await logout(provider, before.browser, parameters), parameters.state);
    await isSignedOut(before);
  };

/** The browser stays at the provider, on a page that says so or on one that says that the person is signed out. */
function staysAtTheProvider({ callback, page }) {
  demand(!callback, `the browser is sent to ${callback}`);
  demand(page.status < 500, `the page has the status ${page.status}`);
}

const stays = (change) => async (provider) => {
  const before = await beforeLogout(provider);
  const parameters = { ...before.parameters, ...(await change(before, provider)) };
  staysAtTheProvider(await logout(provider, before.browser, parameters));
};

/** The provider signs the person out, and has nowhere to send the browser. */
const signsOut =
  (...names) =>
  async (provider) => {
    const before = await beforeLogout(provider);
    const parameters = Object.fromEntries(names.map((name) => [name, before.parameters[name]]));
    const arrival = await logout(provider, before.browser, parameters);
    staysAtTheProvider(arrival);
    same(arrival.page.status, 200, 'the status of the page after the logout');
    await isSignedOut(before);
  };

/** An ID token whose signature is removed. */
function withoutSignature({ login }) {
  const header = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
  return { id_token_hint: `${header}.${login.idToken.token.split('.')[1]}.` };
}

/** An ID token that the application made itself, signed with its secret. */
async function ofTheApplication({ rp }, provider) {
  const key = new TextEncoder().encode(rp.client.secret.padEnd(32, '.'));
  const token = new SignJWT({ nonce: 'flibble' })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer(rp.client.id)
    .setAudience(provider.issuer);
  return { id_token_hint: await token.setSubject('SubjectID').setIssuedAt().setExpirationTime('5m').sign(key) };
}

export const checks = {
  'oidcc-rp-initiated-logout-discovery-endpoint-verification': discovery,
  'oidcc-rp-initiated-logout': redirects(),
  'oidcc-rp-initiated-logout-bad-post-logout-redirect-uri': stays(() => ({
    post_logout_redirect_uri: 'https://app.example/bad_post_logout_redirect_uri',
  })),
  'oidcc-rp-initiated-logout-modified-id-token-hint': stays(withoutSignature),
  'oidcc-rp-initiated-logout-no-id-token-hint': stays(() => ({ id_token_hint: undefined })),
  'oidcc-rp-initiated-logout-no-params': signsOut(),
  'oidcc-rp-initiated-logout-no-post-logout-redirect-uri': signsOut('id_token_hint', 'state'),
  'oidcc-rp-initiated-logout-no-state': redirects({ state: undefined }),
  'oidcc-rp-initiated-logout-only-state': signsOut('state'),
  'oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri': stays(() => ({
    post_logout_redirect_uri: `${POST_LOGOUT}?foo=bar`,
  })),
  'oidcc-rp-initiated-logout-bad-id-token-hint': stays(ofTheApplication),
};
