// A client of the suite's kind: it sends requests with `fetch`, without a library, and checks each answer.

import { randomBytes } from 'node:crypto';

import { demand, Failure, same } from './check.js';
import { checkIdToken, checkStandardClaims } from './id_token.js';

const DEADLINE = 15_000;

export const random = (bytes = 16) => randomBytes(bytes).toString('base64url');

export class RelyingParty {
  /** `client` is a registration of the provider: `id`, `secret`, `redirectUri` and `auth`. */
  constructor(provider, client) {
    this.provider = provider;
    this.client = client;
  }

  /** The parameters of an authorization request. A parameter that is `undefined` is left out. */
  request(parameters = {}) {
    const request = {
      response_type: 'code',
      client_id: this.client.id,
      redirect_uri: this.client.redirectUri,
      scope: 'openid',
      state: random(),
      nonce: random(),
      ...parameters,
    };
    return Object.fromEntries(Object.entries(request).filter(([, value]) => value !== undefined));
  }

  url(request) {
    const url = new URL(this.provider.metadata.authorization_endpoint);
    for (const [name, value] of Object.entries(request)) url.searchParams.append(name, value);
    return url;
  }

  /** Signs the person in with a code, and returns the tokens, the checked ID token and the pages that were shown. */
  async signsIn(browser, parameters = {}, options = {}) {
    const request = this.request(parameters);
    const arrival = await browser.visit(this.url(request));
    return this.completes(request, arrival, options);
  }

  /** Exchanges the code of an answer of the authorization endpoint. */
  async completes(request, arrival, { verifier } = {}) {
    const code = this.codeOf(request, arrival);
    const tokens = await this.exchange(code, { verifier, redirectUri: request.redirect_uri });
    const idToken = await checkIdToken(tokens.id_token, this.provider, { clientId: this.client.id, nonce: request.nonce });
    return { request, code, tokens, idToken, seen: arrival.seen };
  }

  /** The parameters of an answer at the redirect URI, after `state` and `iss` were compared (RFC 9207). */
  answerOf(request, { callback, page }) {
    if (!callback)
      throw new Failure(`expected an answer at the redirect URI, got the page ${page.url.pathname} (${page.status})`);
    const at = new URL(callback);
    const expected = new URL(request.redirect_uri);
    same(at.origin + at.pathname, expected.origin + expected.pathname, 'the redirect URI');
    const parameters = at.searchParams;
    same(at.hash, '', 'the fragment of the answer');
    same(parameters.getAll('state'), request.state === undefined ? [] : [request.state], 'state');
    const iss = parameters.get('iss');
    if (iss !== null || this.provider.metadata.authorization_response_iss_parameter_supported) {
      same(iss, this.provider.issuer, 'iss of the answer');
    }
    return parameters;
  }

  codeOf(request, arrival) {
    const parameters = this.answerOf(request, arrival);
    demand(!parameters.has('error'), `${parameters.get('error')}: ${parameters.get('error_description')}`);
    const code = parameters.get('code');
    demand(code, 'the answer has no code');
    return code;
  }

  /** The error of an answer of the authorization endpoint, which must not have a code as well. */
  errorOf(request, arrival) {
    const parameters = this.answerOf(request, arrival);
    demand(parameters.has('error'), `expected an error, got ${[...parameters.keys()]}`);
    demand(!parameters.has('code'), 'the error comes with a code');
    for (const name of parameters.keys()) {
      demand(['error', 'error_description', 'error_uri', 'state', 'iss'].includes(name), `unexpected parameter ${name}`);
    }
    checkDescription(parameters.get('error_description') ?? '');
    return parameters.get('error');
  }

  async exchange(code, { verifier, redirectUri = this.client.redirectUri } = {}) {
    const form = { grant_type: 'authorization_code', code, redirect_uri: redirectUri };
    if (verifier) form.code_verifier = verifier;
    return this.granted(await this.post(this.provider.metadata.token_endpoint, form));
  }

  refresh(token, parameters = {}) {
    return this.post(this.provider.metadata.token_endpoint, { grant_type: 'refresh_token', refresh_token: token, ...parameters });
  }

  /** A request of the client with its credentials, and more headers. */
  async post(url, form, more = {}) {
    const body = new URLSearchParams(form);
    const headers = { accept: 'application/json', ...more };
    const { id, secret, auth } = this.client;
    if (auth === 'client_secret_basic') {
      const encoded = [id, secret].map((part) => new URLSearchParams({ x: part }).toString().slice(2)).join(':');
      headers.authorization = `Basic ${Buffer.from(encoded).toString('base64')}`;
    } else {
      body.set('client_id', id);
      if (secret) body.set('client_secret', secret);
    }
    const response = await fetch(url, {
      method: 'POST',
      headers,
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout(DEADLINE),
    });
    return readAnswer(response);
  }

  /** The tokens of a successful answer of the token endpoint (RFC 6749 §5.1). */
  granted({ status, headers, json }) {
    demand(status === 200, `the token endpoint answered ${status} ${JSON.stringify(json)}`);
    demand(/no-store/.test(headers.get('cache-control') ?? ''), 'the answer of the token endpoint may be cached');
    demand(typeof json.access_token === 'string' && json.access_token.length >= 22, 'no access token of 128 bits');
    same(json.token_type?.toLowerCase(), 'bearer', 'token_type');
    demand(
      json.expires_in === undefined || (Number.isInteger(json.expires_in) && json.expires_in > 0),
      'expires_in is no number',
    );
    return json;
  }

  /** Asserts that a request was refused with `invalid_grant`. */
  isInvalidGrant({ status, headers, json }) {
    same([status, json?.error], [400, 'invalid_grant'], 'the answer to a code or a refresh token that is not valid');
    demand(/^application\/json/.test(headers.get('content-type') ?? ''), 'the error is not JSON');
    checkDescription(json.error_description ?? '');
  }

  /** An answer of the userinfo endpoint, unchecked. */
  async callUserinfo(token, { method = 'GET', inBody = false } = {}) {
    const init = { method, headers: { accept: 'application/json' }, signal: AbortSignal.timeout(DEADLINE) };
    if (inBody) init.body = new URLSearchParams({ access_token: token });
    else init.headers.authorization = `Bearer ${token}`;
    return readAnswer(await fetch(this.provider.metadata.userinfo_endpoint, init));
  }

  /** The claims of the userinfo endpoint, which must be those of the person of the ID token. */
  async userinfo(login, options) {
    const { status, json } = await this.callUserinfo(login.tokens.access_token, options);
    same(status, 200, 'the status of the userinfo endpoint');
    demand(json, 'the answer of the userinfo endpoint is no JSON object');
    same(json.sub, login.idToken.claims.sub, 'sub of the userinfo endpoint');
    checkStandardClaims(json);
    return json;
  }
}

export async function readAnswer(response) {
  const text = await response.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    // The caller says what it expected.
  }
  return { status: response.status, headers: response.headers, json, text };
}

/** An `error_description` has printable ASCII without quotes and backslashes (RFC 6749 §4.1.2.1, §5.2). */
function checkDescription(text) {
  demand(/^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(text), `error_description has characters that RFC 6749 does not permit: ${text}`);
}
