// DPoP proofs (RFC 9449 §4.3), made by hand because libraries make none that are wrong. The names are of this file.

import { createHash } from 'node:crypto';

import { decodeJwt, exportJWK, generateKeyPair, SignJWT } from 'jose';

import { Browser } from '../harness/browser.js';
import { demand, same, Unsupported } from '../harness/check.js';
import { random, readAnswer, RelyingParty } from '../harness/relying_party.js';

export const plan = 'DPoP';

const digest = (text) => createHash('sha256').update(text).digest('base64url');
const newKey = () => generateKeyPair('ES256', { extractable: true });

/** A proof. `jti` begins with a name by which the proxy can tell the proofs of a check. `header` and `claims` replace members. */
async function proofOf({ key, method = 'POST', url, name = 'good', token, header = {}, claims = {}, signWith }) {
  const jwk = await exportJWK(key.publicKey);
  const content = {
    jti: `${name}.${random()}`,
    htm: method,
    htu: url,
    iat: Math.floor(Date.now() / 1000),
    ...(token && { ath: digest(token) }),
    ...claims,
  };
  const full = { typ: 'dpop+jwt', alg: 'ES256', jwk, ...header };
  return new SignJWT(JSON.parse(JSON.stringify(content))).setProtectedHeader(full).sign(signWith ?? key.privateKey);
}

function begin(provider) {
  if (!provider.metadata.dpop_signing_alg_values_supported) throw new Unsupported('no dpop_signing_alg_values_supported');
  const rp = new RelyingParty(provider, provider.client('dpop-machine'));
  const url = provider.metadata.token_endpoint;
  const form = { grant_type: 'client_credentials', scope: 'read', resource: rp.client.audience };
  return { rp, url, send: (dpop) => rp.post(url, form, { dpop }) };
}

/** A good proof is taken, and the token is bound to its key (§5, §6.1). */
async function isBound({ send, url }, key, name) {
  const { status, json } = await send(await proofOf({ key, url, name }));
  same([status, json?.token_type?.toLowerCase()], [200, 'dpop'], 'the answer to a good proof');
  const { x, y } = await exportJWK(key.publicKey);
  same(
    decodeJwt(json.access_token).cnf?.jkt,
    digest(JSON.stringify({ crv: 'P-256', kty: 'EC', x, y })),
    'cnf.jkt of the access token',
  );
}

/** A proof with one mistake is refused (§5). */
const refuses = (name, wrong) => async (provider) => {
  const it = begin(provider);
  const key = await newKey();
  await isBound(it, key, `before-${name}`);
  const proof = await wrong({ key, url: it.url, name });
  isRefused(await it.send(typeof proof === 'string' ? proof : await proofOf({ key, url: it.url, name, ...proof })));
};

function isRefused({ status, json }) {
  same([status, json?.error], [400, 'invalid_dpop_proof'], 'the answer to a wrong proof');
}

async function replayed(provider) {
  const it = begin(provider);
  const proof = await proofOf({ key: await newKey(), url: it.url, name: 'replay' });
  same((await it.send(proof)).status, 200, 'the status of the first use');
  // RFC 9449 §11.1 demands no error of its own for it.
  const { status, json } = await it.send(proof);
  demand(status === 400 && json?.error, `the second use of a proof is answered with ${status}`);
}

/** §7.1: at a resource, the proof has to name the token. */
async function ofAnotherToken(provider) {
  const { access_token: token, key, url } = await ofAPerson(provider);
  const call = async (more) => {
    const dpop = await proofOf({ key, url, method: 'GET', name: 'ath', ...more });
    return readAnswer(await fetch(url, { headers: { authorization: `DPoP ${token}`, dpop } }));
  };
  same((await call({ token })).status, 200, 'the status of a good call');
  for (const [what, more] of [
    ['another token', { token: 'other' }],
    ['no token', {}],
  ]) {
    const { status, headers } = await call(more);
    same(status, 401, `the status of a proof for ${what}`);
    demand(/DPoP/.test(headers.get('www-authenticate') ?? ''), 'no challenge with the scheme DPoP');
  }
}

/** §7.2: a bound token is no bearer token, not even with its proof. */
async function asBearer(provider) {
  const { access_token: token, key, url } = await ofAPerson(provider);
  const dpop = await proofOf({ key, url, method: 'GET', token });
  for (const headers of [{ authorization: `Bearer ${token}` }, { authorization: `Bearer ${token}`, dpop }]) {
    const { status } = await readAnswer(await fetch(url, { headers }));
    demand(
      [400, 401].includes(status),
      `a bound token as a bearer token ${headers.dpop ? 'with' : 'without'} a proof is answered with ${status}`,
    );
  }
}

/** An access token of a person, bound to a key. */
async function ofAPerson(provider) {
  begin(provider);
  const rp = new RelyingParty(provider, provider.client('dpop'));
  const [key, verifier, endpoint] = [await newKey(), random(32), provider.metadata.token_endpoint];
  const request = rp.request({ code_challenge: digest(verifier), code_challenge_method: 'S256' });
  const code = rp.codeOf(request, await new Browser(provider).visit(rp.url(request)));
  const form = { grant_type: 'authorization_code', code, redirect_uri: request.redirect_uri, code_verifier: verifier };
  const { json } = await rp.post(endpoint, form, { dpop: await proofOf({ key, url: endpoint }) });
  same(json?.token_type?.toLowerCase(), 'dpop', 'token_type');
  return { ...json, key, url: provider.metadata.userinfo_endpoint };
}

const ago = (seconds) => Math.floor(Date.now() / 1000) - seconds;
const tampered = (proof) => {
  const parts = proof.split('.');
  const claims = JSON.parse(Buffer.from(parts[1], 'base64url'));
  parts[1] = Buffer.from(JSON.stringify({ ...claims, extra: 1 })).toString('base64url');
  return parts.join('.');
};

const MISTAKES = {
  htm: () => ({ method: 'GET' }),
  htu: ({ url }) => ({ url: `${url}/other` }),
  'no-jti': () => ({ claims: { jti: undefined } }),
  'no-iat': () => ({ claims: { iat: undefined } }),
  old: () => ({ claims: { iat: ago(3600) } }),
  future: () => ({ claims: { iat: ago(-3600) } }),
  typ: () => ({ header: { typ: 'JWT' } }),
  'private-key': async ({ key }) => ({ header: { jwk: await exportJWK(key.privateKey) } }),
  'another-key': async () => ({ signWith: (await newKey()).privateKey }),
  symmetric: () => ({ header: { alg: 'HS256', jwk: { kty: 'oct', k: 'AAAA' } }, signWith: new Uint8Array(32) }),
  tampered: async (it) => tampered(await proofOf(it)),
  'no-jwt': () => 'x',
};

export const checks = {
  ...Object.fromEntries(Object.entries(MISTAKES).map(([name, wrong]) => [`dpop-proof-${name}`, refuses(name, wrong)])),
  'dpop-proof-replay': replayed,
  'dpop-proof-ath': ofAnotherToken,
  'dpop-bound-token-as-bearer': asBearer,
};
