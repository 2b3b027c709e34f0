// One check for each module of the plan "Basic OP" (`oidcc-basic-certification-test-plan`), by its name. It asks what the module
// asks. Where the module is content with a warning, the check fails.

import { createHash } from 'node:crypto';

import { Browser } from '../harness/browser.js';
import { demand, same, Unsupported } from '../harness/check.js';
import { checkIdToken, halfOfDigest } from '../harness/id_token.js';
import { random, RelyingParty } from '../harness/relying_party.js';

export const plan = 'Basic OP';

const second = (count = 1) => new Promise((resolve) => setTimeout(resolve, count * 1000));

function begin(provider, client = 'basic') {
  return { rp: new RelyingParty(provider, provider.client(client)), browser: new Browser(provider) };
}

/** A login with more parameters has to succeed. */
const succeedsWith = (parameters) => async (provider) => {
  const { rp, browser } = begin(provider);
  const login = await rp.signsIn(browser, parameters);
  await rp.userinfo(login);
};

/** A first login, and a second request in the same browser. */
async function twice(provider, first, next, pause = 0) {
  const { rp, browser } = begin(provider);
  const before = await rp.signsIn(browser, first);
  await second(pause);
  const after = await rp.signsIn(browser, typeof next === 'function' ? next(before) : next);
  same(after.idToken.claims.sub, before.idToken.claims.sub, 'sub of the second ID token');
  return { before, after };
}

/** The second request asks nothing, and its ID token is about the same login. */
const isSilent = (first, next) => async (provider) => {
  const { before, after } = await twice(provider, first, next);
  same(after.seen, [], 'pages of the second request');
  same(after.idToken.claims.auth_time, before.idToken.claims.auth_time, 'auth_time of the second ID token');
  return after;
};

/** The second request asks the person to sign in again. */
const signsInAgain = (next, pause) => async (provider) => {
  const { before, after } = await twice(provider, {}, next, pause);
  demand(after.seen.includes('sign-in'), 'the second request shows no sign-in page');
  const [old, now] = [before, after].map((login) => login.idToken.claims.auth_time);
  if (next.max_age !== undefined) demand(Number.isInteger(now), 'max_age was sent, and the ID token has no auth_time');
  demand(old === undefined || now === undefined || now > old, `auth_time ${now} is not later than ${old}`);
};

/** The userinfo endpoint returns what the scopes permit. */
const returnsClaims =
  (...scopes) =>
  async (provider) => {
    const { scopes_supported: supported = [] } = await provider.readMetadata();
    const unknown = scopes.filter((scope) => !supported.includes(scope));
    if (unknown.length > 0 && scopes.length === 1) throw new Unsupported(`scopes_supported does not have ${unknown}`);
    const strange = scopes.filter((scope) => supported.includes(scope) && !provider.person.claims[scope]);
    same(strange, [], 'offered scopes of which the person has no claims');
    const { rp, browser } = begin(provider);
    const login = await rp.signsIn(browser, { scope: ['openid', ...scopes].join(' ') });
    const info = await rp.userinfo(login);
    const expected = Object.assign({}, ...scopes.map((scope) => provider.person.claims[scope] ?? {}));
    for (const [name, value] of Object.entries(expected)) same(info[name], value, name);
    const other = Object.entries(provider.person.claims).filter(([scope]) => !scopes.includes(scope));
    for (const name of other.flatMap(([, claims]) => Object.keys(claims))) {
      demand(!(name in info), `${name} is returned, though its scope was not asked for`);
    }
  };

const callsUserinfo = (options) => async (provider) => {
  const { rp, browser } = begin(provider);
  const login = await rp.signsIn(browser);
  const { headers } = await rp.callUserinfo(login.tokens.access_token, options);
  demand(
    /^application\/json/.test(headers.get('content-type') ?? ''),
    'the answer of the userinfo endpoint is not application/json',
  );
  await rp.userinfo(login, options);
};

/** A second use of the code is refused, and ends what the first use gave. */
const refusesTheCodeAgain = (pause) => async (provider) => {
  const { rp, browser } = begin(provider);
  const login = await rp.signsIn(browser);
  await rp.userinfo(login);
  await second(pause);
  const { token_endpoint: endpoint } = provider.metadata;
  const form = { grant_type: 'authorization_code', code: login.code, redirect_uri: rp.client.redirectUri };
  rp.isInvalidGrant(await rp.post(endpoint, form));
  const { status } = await rp.callUserinfo(login.tokens.access_token);
  demand(status >= 400 && status < 500, `the access token of the code still works (${status})`);
};

async function server(provider) {
  const { rp, browser } = begin(provider);
  const login = await rp.signsIn(browser);
  const {
    tokens,
    idToken: { claims, header },
    code,
  } = login;
  demand(tokens.expires_in !== undefined, 'the token endpoint does not say when the access token expires');
  demand(code.length >= 22, 'the code is shorter than 128 bits');
  if (claims.at_hash !== undefined) {
    demand(['RS256', 'ES256', 'PS256'].includes(header.alg), `this check cannot verify the at_hash of ${header.alg}`);
    same(claims.at_hash, await halfOfDigest(tokens.access_token), 'at_hash');
  }
  const known = [
    'iss',
    'sub',
    'aud',
    'exp',
    'iat',
    'auth_time',
    'nonce',
    'acr',
    'amr',
    'azp',
    'at_hash',
    'c_hash',
    'nbf',
    'jti',
    'sid',
    's_hash',
  ];
  same(
    Object.keys(claims).filter((name) => !known.includes(name)),
    [],
    'claims of the ID token that were not asked for',
  );
  await rp.userinfo(login);
}

async function alternateHappyFlow(provider) {
  const { rp, browser } = begin(provider);
  const request = rp.request({ scope: 'email openid' });
  const reordered = Object.fromEntries(Object.entries(request).reverse());
  const login = await rp.completes(request, await browser.visit(rp.url(reordered)));
  await rp.userinfo(login);
}

async function responseTypeMissing(provider) {
  const { rp, browser } = begin(provider);
  const request = rp.request({ response_type: undefined });
  const arrival = await browser.visit(rp.url(request));
  // A page that says so is permitted as well.
  if (arrival.page) return demand(arrival.page.status >= 400, `a page with the status ${arrival.page.status}`);
  const error = rp.errorOf(request, arrival);
  demand(['invalid_request', 'unsupported_response_type'].includes(error), `the error is ${error}`);
}

async function idTokenSignature(provider) {
  const { rp, browser } = begin(provider);
  const {
    idToken: { header },
  } = await rp.signsIn(browser);
  demand(header.kid, 'the header of the ID token has no kid');
  same(header.alg, 'RS256', 'alg of an ID token of a client that registered none');
}

async function idTokenUnsigned(provider) {
  const { id_token_signing_alg_values_supported: algorithms } = await provider.readMetadata();
  if (!algorithms.includes('none')) throw new Unsupported('alg "none" is not offered');
  // OpenID Connect Core §2: "none" needs a client that asked for it, and none of the registered ones did.
  const { rp, browser } = begin(provider);
  const {
    idToken: { header },
  } = await rp.signsIn(browser);
  same(header.alg, 'none', 'alg of the ID token');
}

async function withoutNonce(provider) {
  const { rp, browser } = begin(provider);
  await rp.signsIn(browser, { nonce: undefined });
}

async function promptNoneNotLoggedIn(provider) {
  const { rp, browser } = begin(provider);
  const request = rp.request({ prompt: 'none', state: random(96) });
  demandsInteraction(rp.errorOf(request, await browser.visit(rp.url(request), { answers: false })));
}

/** The error of `prompt=none` (OpenID Connect Core §3.1.2.6). */
export function demandsInteraction(error) {
  const errors = ['login_required', 'interaction_required', 'account_selection_required', 'consent_required'];
  demand(errors.includes(error), `the error is ${error}, none of ${errors}`);
}

async function maxAge10000(provider) {
  const { idToken } = await isSilent({ max_age: 15_000 }, { max_age: 10_000 })(provider);
  demand(Number.isInteger(idToken.claims.auth_time), 'max_age was sent, and the ID token has no auth_time');
}

async function acrValues(provider) {
  const { rp, browser } = begin(provider);
  const supported = provider.metadata.acr_values_supported;
  const { idToken } = await rp.signsIn(browser, { acr_values: (supported ?? ['1', '2']).join(' ') });
  if (!supported) return 'acr is not compared, because there is no acr_values_supported';
  demand(supported.includes(idToken.claims.acr), `acr ${idToken.claims.acr} is none of ${supported}`);
}

async function registeredRedirectUri(provider) {
  const { rp, browser } = begin(provider);
  const request = rp.request({ redirect_uri: `${rp.client.redirectUri}/${random()}` });
  showsAnError(await browser.visit(rp.url(request)));
}

function showsAnError({ callback, page }) {
  demand(!callback, `the browser is sent to ${callback}`);
  demand(page.status >= 400 && page.status < 500, `the page has the status ${page.status}`);
}

async function postRequest(provider) {
  const { rp, browser } = begin(provider);
  const request = rp.request();
  const form = new URLSearchParams(request);
  const login = await rp.completes(
    request,
    await browser.visit(provider.metadata.authorization_endpoint, { method: 'POST', form }),
  );
  await rp.userinfo(login);
}

async function clientSecretPost(provider) {
  const methods = provider.metadata.token_endpoint_auth_methods_supported ?? ['client_secret_basic'];
  if (!methods.includes('client_secret_post')) throw new Unsupported('client_secret_post is not offered');
  const { rp, browser } = begin(provider, 'post');
  await rp.userinfo(await rp.signsIn(browser));
}

/** An unsigned request object, and what it says in place of the parameters. */
const unsigned = (claims) =>
  [{ alg: 'none' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.') + '.';

/** Whether the provider offers request objects without a signature. If it says nothing, the module tries. */
function offersUnsignedObjects({ metadata }) {
  const algorithms = metadata.request_object_signing_alg_values_supported;
  if (algorithms && !algorithms.includes('none')) throw new Unsupported('unsigned request objects are not offered');
}

const requestObject = (name, refusal) => async (provider) => {
  offersUnsignedObjects(provider);
  const { rp, browser } = begin(provider);
  // `nonce` is in the object alone, so a provider that ignores the object is found out.
  const request = rp.request();
  const object = unsigned({ ...request, iss: rp.client.id, aud: provider.issuer });
  const sent = { ...request, nonce: undefined, [name]: name === 'request' ? object : `https://app.example/${random()}.jwt` };
  const arrival = await browser.visit(
    rp.url(Object.fromEntries(Object.entries(sent).filter(([, value]) => value !== undefined))),
  );
  if (arrival.callback?.searchParams.has('error')) {
    same(rp.errorOf(request, arrival), refusal, 'the error of a request object that is not supported');
    return 'refused, as the module permits';
  }
  await rp.completes(request, arrival);
  return 'processed';
};

async function requestObjectWithRedirectUri(provider) {
  offersUnsignedObjects(provider);
  const { rp, browser } = begin(provider);
  const request = rp.request();
  const object = unsigned({ ...request, iss: rp.client.id, aud: provider.issuer });
  // The address in the request is not registered; that in the object is.
  const sent = { ...request, redirect_uri: `${request.redirect_uri}_invalid`, request: object };
  const arrival = await browser.visit(rp.url(sent));
  if (arrival.page) return showsAnError(arrival);
  demand(!arrival.callback.searchParams.has('error'), 'the error goes to a redirect URI that the request does not have');
  await rp.completes(request, arrival);
}

async function claimsEssential(provider) {
  const { rp, browser } = begin(provider);
  const claims = JSON.stringify({ userinfo: { name: { essential: true } } });
  const login = await rp.signsIn(browser, { claims });
  const info = await rp.userinfo(login);
  same(info.name, provider.person.claims.profile.name, 'name, which was asked for with `claims`');
  demand(!('name' in login.idToken.claims), 'the ID token has a name that was asked for in the userinfo');
}

async function refreshToken(provider) {
  const { rp, browser } = begin(provider);
  const offline = (provider.metadata.scopes_supported ?? []).includes('offline_access');
  const login = await rp.signsIn(browser, offline ? { scope: 'openid offline_access', prompt: 'consent' } : {});
  const { refresh_token: first } = login.tokens;
  demand(first, 'the token endpoint returns no refresh token');
  demand(/^[\x20-\x7e]+$/.test(first), 'the refresh token has characters that RFC 6749 does not permit');
  await second();
  const refreshed = rp.granted(await rp.refresh(first, { scope: login.request.scope }));
  demand(refreshed.access_token !== login.tokens.access_token, 'the access token is the old one');
  if (refreshed.id_token) await isTheSameLogin(refreshed.id_token, login, provider, rp);
  await rp.userinfo({ ...login, tokens: refreshed });
  const other = new RelyingParty(provider, provider.client('other'));
  other.isInvalidGrant(await other.refresh(refreshed.refresh_token ?? first));
}

/** An ID token of a refresh (OpenID Connect Core §12.2). */
async function isTheSameLogin(token, { idToken: { claims: old } }, provider, rp) {
  const { claims } = await checkIdToken(token, provider, { clientId: rp.client.id, nonce: claimOf(token, 'nonce') });
  for (const name of ['iss', 'sub', 'aud', 'azp']) same(claims[name], old[name], `${name} of the refreshed ID token`);
  demand(claims.iat >= old.iat, 'iat of the refreshed ID token is earlier');
  if (claims.auth_time !== undefined) same(claims.auth_time, old.auth_time, 'auth_time of the refreshed ID token');
  // A nonce is not expected; if there is one, it is the old one.
  if (claims.nonce !== undefined) same(claims.nonce, old.nonce, 'nonce of the refreshed ID token');
}

const claimOf = (token, name) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'))[name];

async function validPkce(provider) {
  const { rp, browser } = begin(provider);
  const verifier = random(32);
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  const parameters = { code_challenge: challenge, code_challenge_method: 'S256' };
  await rp.userinfo(await rp.signsIn(browser, parameters, { verifier }));
  // The module ends here. A challenge that is not compared would pass it.
  const request = rp.request(parameters);
  const code = rp.codeOf(request, await browser.visit(rp.url(request)));
  const form = { grant_type: 'authorization_code', code, redirect_uri: request.redirect_uri, code_verifier: random(32) };
  rp.isInvalidGrant(await rp.post(provider.metadata.token_endpoint, form));
}

export const checks = {
  'oidcc-server': server,
  'oidcc-response-type-missing': responseTypeMissing,
  'oidcc-idtoken-signature': idTokenSignature,
  'oidcc-idtoken-unsigned': idTokenUnsigned,
  'oidcc-userinfo-get': callsUserinfo(),
  'oidcc-userinfo-post-header': callsUserinfo({ method: 'POST' }),
  'oidcc-userinfo-post-body': callsUserinfo({ method: 'POST', inBody: true }),
  'oidcc-ensure-request-without-nonce-succeeds-for-code-flow': withoutNonce,
  'oidcc-scope-profile': returnsClaims('profile'),
  'oidcc-scope-email': returnsClaims('email'),
  'oidcc-scope-address': returnsClaims('address'),
  'oidcc-scope-phone': returnsClaims('phone'),
  'oidcc-scope-all': returnsClaims('profile', 'email', 'address', 'phone'),
  'oidcc-alternate-happy-flow': alternateHappyFlow,
  'oidcc-display-page': succeedsWith({ display: 'page' }),
  'oidcc-display-popup': succeedsWith({ display: 'popup' }),
  'oidcc-prompt-login': signsInAgain({ prompt: 'login' }, 1),
  'oidcc-prompt-none-not-logged-in': promptNoneNotLoggedIn,
  'oidcc-prompt-none-logged-in': isSilent({}, { prompt: 'none' }),
  'oidcc-max-age-1': signsInAgain({ max_age: 1 }, 2),
  'oidcc-max-age-10000': maxAge10000,
  'oidcc-ensure-request-with-unknown-parameter-succeeds': succeedsWith({ extra: 'foobar' }),
  'oidcc-id-token-hint': isSilent({}, (login) => ({ prompt: 'none', id_token_hint: login.idToken.token })),
  'oidcc-login-hint': succeedsWith({ login_hint: 'ann@example.com' }),
  'oidcc-ui-locales': succeedsWith({ ui_locales: 'se' }),
  'oidcc-claims-locales': succeedsWith({ claims_locales: 'se' }),
  'oidcc-ensure-request-with-acr-values-succeeds': acrValues,
  'oidcc-codereuse': refusesTheCodeAgain(0),
  'oidcc-codereuse-30seconds': refusesTheCodeAgain(30),
  'oidcc-ensure-registered-redirect-uri': registeredRedirectUri,
  'oidcc-ensure-post-request-succeeds': postRequest,
  'oidcc-server-client-secret-post': clientSecretPost,
  'oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported': requestObject(
    'request_uri',
    'request_uri_not_supported',
  ),
  'oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported': requestObject(
    'request',
    'request_not_supported',
  ),
  'oidcc-claims-essential': claimsEssential,
  'oidcc-ensure-request-object-with-redirect-uri': requestObjectWithRedirectUri,
  'oidcc-refresh-token': refreshToken,
  'oidcc-ensure-request-with-valid-pkce-succeeds': validPkce,
};
