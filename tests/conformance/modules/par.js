// Pushed authorization requests (RFC 9126). The suite has no plan for them alone, so the names are of this file.

import { Browser } from '../harness/browser.js';
import { demand, same, Unsupported } from '../harness/check.js';
import { random, readAnswer, RelyingParty } from '../harness/relying_party.js';

export const plan = 'PAR';

function begin(provider) {
  const endpoint = provider.metadata.pushed_authorization_request_endpoint;
  if (!endpoint) throw new Unsupported('no pushed_authorization_request_endpoint');
  return { endpoint, rp: new RelyingParty(provider, provider.client('par')), browser: new Browser(provider) };
}

/** Pushes a request, which has to be taken (§2.2). */
async function push({ rp, endpoint }, request) {
  const { status, headers, json } = await rp.post(endpoint, request);
  same(status, 201, 'the status of a pushed request');
  demand(/no-store/.test(headers.get('cache-control') ?? ''), 'the answer may be cached');
  demand(Number.isInteger(json.expires_in) && json.expires_in > 0, `expires_in is ${json.expires_in}`);
  demand(typeof json.request_uri === 'string' && json.request_uri.length >= 22, 'the request_uri can be guessed');
  return json.request_uri;
}

/** No code comes back, and no 5xx. */
function isRefused({ callback, page }, what) {
  demand(!callback?.searchParams.has('code'), `${what} is answered with a code`);
  demand(callback || (page.status >= 400 && page.status < 500), `${what} is answered with a page of the status ${page?.status}`);
}

/** §4: what the browser sends with a request_uri counts for nothing. */
async function queryIsIgnored(provider) {
  const it = begin(provider);
  const request = it.rp.request({ scope: 'openid' });
  const uri = await push(it, request);
  const sent = {
    client_id: request.client_id,
    request_uri: uri,
    state: 'other',
    nonce: 'other',
    scope: 'openid email',
    redirect_uri: 'https://evil.example/',
  };
  const login = await it.rp.completes(request, await it.browser.visit(it.rp.url(sent)));
  demand(!('email' in (await it.rp.userinfo(login))), 'the scope of the browser counts');
}

async function clientIdIsNeeded(provider) {
  const it = begin(provider);
  const uri = await push(it, it.rp.request());
  isRefused(await it.browser.visit(it.rp.url({ request_uri: uri })), 'a request without client_id');
}

async function unknownUri(provider) {
  const { rp, browser } = begin(provider);
  const uri = `urn:ietf:params:oauth:request_uri:${random(32)}`;
  isRefused(await browser.visit(rp.url({ client_id: rp.client.id, request_uri: uri })), 'an unknown request_uri');
}

/** RFC 6749 §5.2 demands 401 of credentials in the header, and permits it otherwise. */
const refusesClient =
  (client, ...statuses) =>
  async (provider) => {
    const { rp, endpoint } = begin(provider);
    const other = new RelyingParty(provider, client(rp.client));
    const { status, json } = await other.post(endpoint, rp.request());
    demand(statuses.includes(status), `wrong credentials are answered with ${status}`);
    same(json?.error, 'invalid_client', 'the error of wrong credentials');
  };

const refusesRequest =
  (parameters, ...errors) =>
  async (provider) => {
    const { rp, endpoint } = begin(provider);
    const { status, json } = await rp.post(endpoint, rp.request(parameters));
    same(status, 400, 'the status of a request that is not valid');
    demand(errors.includes(json?.error), `the error is ${json?.error}, none of ${errors}`);
  };

async function post(provider) {
  const { endpoint, rp } = begin(provider);
  const { status } = await readAnswer(await fetch(`${endpoint}?${new URLSearchParams(rp.request())}`));
  demand([404, 405].includes(status), `GET is answered with ${status}`);
}

export const checks = {
  'par-query-is-ignored': queryIsIgnored,
  'par-client-id-is-needed': clientIdIsNeeded,
  'par-unknown-request-uri': unknownUri,
  'par-no-credentials': refusesClient((client) => ({ ...client, auth: 'none', secret: undefined }), 400, 401),
  'par-wrong-secret': refusesClient((client) => ({ ...client, secret: 'wrong' }), 401),
  'par-unregistered-redirect-uri': refusesRequest(
    { redirect_uri: 'https://evil.example/' },
    'invalid_redirect_uri',
    'invalid_request',
  ),
  'par-unsupported-response-type': refusesRequest(
    { response_type: 'token' },
    'unsupported_response_type',
    'invalid_request',
    'unauthorized_client',
  ),
  'par-request-uri-is-refused': refusesRequest(
    { request_uri: 'urn:ietf:params:oauth:request_uri:x' },
    'invalid_request',
    'request_uri_not_supported',
  ),
  'par-get-is-refused': post,
};
