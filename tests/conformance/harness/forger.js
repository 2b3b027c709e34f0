// Signs spoilt tokens with a key of its own, which the proxy adds to the key set if the signature is not what is broken.

import { decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, SignJWT } from 'jose';

const KID = 'forged';
const { privateKey, publicKey } = await generateKeyPair('RS256');
const published = { ...(await exportJWK(publicKey)), alg: 'RS256', use: 'sig', kid: KID };
const originals = new Map();

/** A token with other claims. `change` returns them; `header` replaces members of the header. */
export async function forge(token, change = (claims) => claims, header = {}) {
  const claims = change({ ...decodeJwt(token) });
  const { typ } = decodeProtectedHeader(token);
  const protectedHeader = JSON.parse(JSON.stringify({ alg: 'RS256', typ, kid: KID, ...header }));
  const forged = await new SignJWT(claims).setProtectedHeader(protectedHeader).sign(privateKey);
  originals.set(forged, token);
  return forged;
}

/** Gives the provider back its own tokens, which it would refuse otherwise, and publishes the key. */
export const forgery = {
  request({ request }) {
    for (const parameters of [request.url.searchParams, request.form ?? new URLSearchParams()]) {
      const original = originals.get(parameters.get('id_token_hint'));
      if (original) parameters.set('id_token_hint', original);
    }
  },
  response({ kind, response }) {
    if (kind !== 'jwks' || !response.json) return;
    response.json = { keys: [...response.json.keys, published] };
  },
};
