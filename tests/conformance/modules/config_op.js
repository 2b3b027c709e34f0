// The module of the plan "Config OP" (`oidcc-config-certification-test-plan`): what the discovery document has to have.

import { demand, same } from '../harness/check.js';

export const plan = 'Config OP';

const ENDPOINTS = ['authorization_endpoint', 'token_endpoint', 'jwks_uri'];
const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/** An endpoint is an absolute URL of `https`; on this machine `http` is the only way to reach the provider. */
export function isEndpoint(metadata, name) {
  const value = metadata[name];
  demand(typeof value === 'string' && URL.canParse(value), `${name} is no URL: ${value}`);
  const { protocol, hostname, hash } = new URL(value);
  demand(protocol === 'https:' || (protocol === 'http:' && hostname === 'localhost'), `${name} is no https URL: ${value}`);
  same(hash, '', `the fragment of ${name}`);
}

function has(metadata, name, ...values) {
  const list = metadata[name];
  demand(Array.isArray(list) && list.length > 0, `${name} is no list: ${JSON.stringify(list)}`);
  demand(
    list.every((value) => typeof value === 'string'),
    `${name} is no list of texts`,
  );
  for (const value of values) demand(list.includes(value), `${name} does not have ${value}`);
}

async function discovery(provider) {
  const response = await fetch(`${provider.issuer}/.well-known/openid-configuration`);
  same(response.status, 200, 'the status of the discovery document');
  demand(/^application\/json/.test(response.headers.get('content-type') ?? ''), 'the discovery document is not application/json');
  const metadata = await response.json();
  // OpenID Connect Discovery 1.0 §4.3.
  same(metadata.issuer, provider.issuer, 'issuer');
  const { search, hash } = new URL(metadata.issuer);
  same(search + hash, '', 'query and fragment of the issuer');
  for (const name of ENDPOINTS) isEndpoint(metadata, name);
  for (const name of Object.keys(metadata).filter((it) => it.endsWith('_endpoint'))) isEndpoint(metadata, name);
  isEndpoint(metadata, 'userinfo_endpoint');
  has(metadata, 'response_types_supported', 'code');
  has(metadata, 'subject_types_supported');
  demand(
    metadata.subject_types_supported.every((it) => ['public', 'pairwise'].includes(it)),
    'an unknown subject type',
  );
  has(metadata, 'id_token_signing_alg_values_supported', 'RS256');
  has(metadata, 'scopes_supported', 'openid');
  has(metadata, 'claims_supported', 'sub');
  if (metadata.grant_types_supported) has(metadata, 'grant_types_supported', 'authorization_code');
  if (metadata.code_challenge_methods_supported) has(metadata, 'code_challenge_methods_supported', 'S256');
  if (metadata.userinfo_signing_alg_values_supported) has(metadata, 'userinfo_signing_alg_values_supported');
  demand(
    metadata.scopes_supported.every((scope) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope)),
    'a scope has other characters than RFC 6749 permits',
  );
  for (const name of [
    'claims_parameter_supported',
    'request_parameter_supported',
    'request_uri_parameter_supported',
    'require_request_uri_registration',
  ]) {
    demand(metadata[name] === undefined || typeof metadata[name] === 'boolean', `${name} is no boolean`);
  }
  await keys(provider, metadata.jwks_uri);
}

/** The suite's `ValidateJwksSequence`: public keys, each with another `kid`, and of a length that is still permitted. */
async function keys(provider, url) {
  const { keys: list } = await provider.json(url);
  demand(Array.isArray(list) && list.length > 0, 'the key set is empty');
  for (const key of list) {
    same(
      PRIVATE.filter((name) => name in key),
      [],
      `private members of the key ${key.kid}`,
    );
    demand(key.kid, 'a key has no kid');
    if (key.kty === 'RSA') demand(Buffer.from(key.n, 'base64url').length >= 256, `the key ${key.kid} is shorter than 2048 bits`);
  }
  same(new Set(list.map(({ kid }) => kid)).size, list.length, 'the number of different kid');
}

export const checks = { 'oidcc-discovery-endpoint-verification': discovery };
