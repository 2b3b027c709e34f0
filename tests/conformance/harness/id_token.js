// ID tokens and logout tokens, checked as the suite's `PerformStandardIdTokenChecks` and `ValidateLogoutToken…` do.

import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, errors, jwtVerify } from 'jose';

import { demand, Failure, same } from './check.js';

const SKEW = 300;
const STRINGS = [
  'name',
  'given_name',
  'family_name',
  'middle_name',
  'nickname',
  'preferred_username',
  'profile',
  'picture',
  'website',
  'email',
  'gender',
  'birthdate',
  'zoneinfo',
  'locale',
  'phone_number',
];

/** Reads the header and the claims of a signed token, after the signature was checked with the published keys. */
export async function verified(token, provider) {
  const keys = await provider.json(provider.metadata.jwks_uri);
  demand(Array.isArray(keys.keys) && keys.keys.length > 0, 'the key set is empty');
  const header = decodeProtectedHeader(token);
  demand(header.alg !== 'none', 'the token is not signed');
  for await (const candidate of candidates(keys, header)) {
    try {
      await jwtVerify(token, candidate, { clockTolerance: SKEW });
      return { header, claims: decodeJwt(token) };
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
    }
  }
  throw new Failure('no published key verifies the signature of the token');
}

/** The key that the header names, or every key if it names none. */
async function* candidates(keys, header) {
  try {
    yield await createLocalJWKSet(keys)(header);
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw new Failure(`${error.message} (kid ${header.kid})`);
    yield* error;
  }
}

/** Checks an ID token for `clientId`, and returns its header and its claims. `nonce` is what the request had, if it had one. */
export async function checkIdToken(token, provider, { clientId, nonce }) {
  demand(typeof token === 'string', 'the token endpoint returned no ID token');
  const { header, claims } = await verified(token, provider);
  const now = Date.now() / 1000;
  same(claims.iss, provider.issuer, 'iss of the ID token');
  demand(
    typeof claims.sub === 'string' && claims.sub !== '' && claims.sub.length <= 255,
    'sub is no text of 1 to 255 characters',
  );
  checkAudience(claims, clientId);
  demand(Number.isInteger(claims.exp) && claims.exp > now - SKEW, `exp ${claims.exp} is no time in the future`);
  demand(claims.exp < now + 50 * 365 * 86_400, `exp ${claims.exp} is too far in the future`);
  checkRecent(claims.iat, now, 'iat');
  if (claims.auth_time !== undefined) {
    demand(Number.isInteger(claims.auth_time), 'auth_time is no number');
    demand(
      claims.auth_time < now + SKEW && claims.auth_time > now - 365 * 86_400,
      `auth_time ${claims.auth_time} is not plausible`,
    );
  }
  same(claims.nonce, nonce, 'nonce of the ID token');
  demand(claims.acr === undefined || (typeof claims.acr === 'string' && claims.acr !== ''), 'acr is no text');
  checkStandardClaims(claims);
  return { token, header, claims };
}

export function checkAudience(claims, clientId) {
  const audience = [claims.aud].flat();
  demand(audience.includes(clientId), `aud ${JSON.stringify(claims.aud)} does not have the client ${clientId}`);
  demand(audience.length === 1 || claims.azp === clientId, 'several audiences, and azp is not the client');
}

export function checkRecent(time, now, what) {
  demand(Number.isInteger(time), `${what} is no number of seconds`);
  demand(Math.abs(time - now) < SKEW, `${what} ${time} differs from the time of this machine by more than ${SKEW} s`);
}

/** The types of the standard claims (OpenID Connect Core §5.1). */
export function checkStandardClaims(claims) {
  for (const name of STRINGS) {
    demand(claims[name] === undefined || typeof claims[name] === 'string', `${name} is no text: ${JSON.stringify(claims[name])}`);
  }
  for (const name of ['email_verified', 'phone_number_verified']) {
    demand(
      claims[name] === undefined || typeof claims[name] === 'boolean',
      `${name} is no boolean: ${JSON.stringify(claims[name])}`,
    );
  }
  const { address, updated_at: updatedAt } = claims;
  demand(address === undefined || (typeof address === 'object' && address !== null), 'address is no object');
  demand(
    updatedAt === undefined || (Number.isInteger(updatedAt) && updatedAt < 1e11),
    `updated_at is no number of seconds: ${updatedAt}`,
  );
}

/** The left half of the digest of an access token (OpenID Connect Core §3.1.3.6), for RS256 and ES256. */
export async function halfOfDigest(text) {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Buffer.from(digest).subarray(0, 16).toString('base64url');
}

const LOGOUT = 'http://schemas.openid.net/event/backchannel-logout';

/** Checks a logout token (OpenID Connect Back-Channel Logout 1.0 §2.6) for the session of an ID token. */
export async function checkLogoutToken(token, provider, { clientId, idToken }) {
  const { claims } = await verified(token, provider);
  same(claims.iss, provider.issuer, 'iss of the logout token');
  checkAudience(claims, clientId);
  checkRecent(claims.iat, Date.now() / 1000, 'iat of the logout token');
  demand(typeof claims.jti === 'string' && claims.jti !== '', 'the logout token has no jti');
  same(claims.events, { [LOGOUT]: {} }, 'events of the logout token');
  demand(!('nonce' in claims), 'the logout token has a nonce');
  demand('sub' in claims || 'sid' in claims, 'the logout token has neither sub nor sid');
  for (const name of ['sub', 'sid']) if (name in claims) same(claims[name], idToken.claims[name], `${name} of the logout token`);
  return claims;
}
