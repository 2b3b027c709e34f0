// What breaks each module of "Basic OP" and "Config OP", and nothing else.

import { CALLBACK } from '../harness/registrations.js';
import { answer, asked, both, errorAnswer, errorAt, head, idToken, json, of, pageAnswer, parameters, refuses } from './kinds.js';

const always = () => true;
const without = (name) => (claims) => {
  delete claims[name];
  return claims;
};
const replaced = (name, value) => (claims) => ({ ...claims, [name]: value });

/** A page in place of the answer to an authorization request with a parameter. */
const fails = (expected) =>
  refuses(
    'authorization',
    (exchange) => of('basic')(exchange) && asked(expected)(exchange),
    () => pageAnswer(500, 'Error'),
  );

/** A code that was used before `limit` gives the same tokens again, and one that was used after it too if `late`. */
function reusable({ late }) {
  const known = new Map();
  return {
    request({ kind, parameters: { code } }) {
      const used = kind === 'token' && known.get(code);
      if (!used || Date.now() - used.at > 20_000 !== late) return undefined;
      return answer(200, used.headers, used.body);
    },
    response({ kind, parameters: { code }, response: { status, headers, body } }) {
      if (kind === 'token' && code && status === 200) known.set(code, { at: Date.now(), headers, body });
    },
  };
}

export const basicFaults = [
  {
    breaks: ['oidcc-server'],
    fault: 'at_hash of another access token',
    because: /at_hash/,
    ...idToken(of('basic'), replaced('at_hash', 'AAAAAAAAAAAAAAAAAAAAAA')),
  },
  {
    breaks: ['oidcc-response-type-missing'],
    fault: 'a missing response_type means "code"',
    because: /expected an error/,
    ...parameters(
      'authorization',
      (exchange) => !asked({ response_type: undefined })(exchange),
      (form) => form.set('response_type', 'code'),
    ),
  },
  {
    breaks: ['oidcc-idtoken-signature'],
    fault: 'ID tokens without kid',
    because: /kid/,
    ...idToken(of('basic'), (claims) => claims, { kid: undefined }),
  },
  {
    breaks: ['oidcc-idtoken-unsigned'],
    fault: 'the metadata offers alg "none" alone',
    because: /alg/,
    ...json('metadata', always, (it) => ({ ...it, id_token_signing_alg_values_supported: ['RS256', 'none'] })),
  },
  {
    breaks: ['oidcc-userinfo-get'],
    fault: 'GET userinfo is text/plain',
    because: /application\/json/,
    ...head(
      'userinfo',
      ({ request }) => request.method === 'GET',
      ({ headers }) => (headers['content-type'] = 'text/plain'),
    ),
  },
  {
    breaks: ['oidcc-userinfo-post-header'],
    fault: 'POST userinfo with a header is 405',
    because: /userinfo/,
    ...refuses(
      'userinfo',
      ({ request }) => request.method === 'POST' && request.headers.authorization,
      () => errorAnswer(405, 'invalid_request'),
    ),
  },
  {
    breaks: ['oidcc-userinfo-post-body'],
    fault: 'POST userinfo does not read the body',
    because: /userinfo/,
    ...refuses(
      'userinfo',
      ({ request }) => request.method === 'POST' && !request.headers.authorization,
      () => errorAnswer(401, 'invalid_token'),
    ),
  },
  {
    breaks: ['oidcc-ensure-request-without-nonce-succeeds-for-code-flow'],
    fault: 'a nonce is demanded',
    because: /invalid_request/,
    ...refuses(
      'authorization',
      (exchange) => of('basic')(exchange) && !['nonce', 'request', 'request_uri'].some((name) => name in exchange.authorization),
      errorAt('invalid_request'),
    ),
  },
  {
    breaks: ['oidcc-scope-profile'],
    fault: 'no preferred_username for the scope profile',
    because: /preferred_username/,
    ...json('userinfo', asked({ scope: 'openid profile' }), without('preferred_username')),
  },
  {
    breaks: ['oidcc-scope-email'],
    fault: 'email_verified is a text',
    because: /email_verified/,
    ...json('userinfo', asked({ scope: 'openid email' }), replaced('email_verified', 'false')),
  },
  {
    provider: 'oidc-provider',
    breaks: ['oidcc-scope-address'],
    fault: 'address is a text',
    because: /address/,
    ...json('userinfo', asked({ scope: 'openid address' }), replaced('address', 'Street 1')),
  },
  {
    provider: 'authlog',
    breaks: ['oidcc-scope-address', 'oidcc-scope-all'],
    fault: 'the metadata offers the scope address',
    because: /address/,
    ...json('metadata', always, (it) => ({ ...it, scopes_supported: [...it.scopes_supported, 'address'] })),
  },
  {
    breaks: ['oidcc-scope-phone'],
    fault: 'phone_number is a number',
    because: /phone_number/,
    ...json('userinfo', asked({ scope: 'openid phone' }), replaced('phone_number', 49301234567)),
  },
  {
    breaks: ['oidcc-scope-all'],
    fault: 'no email if all scopes are asked for',
    because: /email/,
    ...json('userinfo', asked({ scope: 'openid profile email address phone' }), without('email')),
  },
  {
    breaks: ['oidcc-alternate-happy-flow'],
    fault: 'openid has to be the first scope',
    because: /invalid_scope/,
    ...refuses('authorization', asked({ scope: 'email openid' }), errorAt('invalid_scope')),
  },
  { breaks: ['oidcc-display-page'], fault: 'display=page is an error', because: /500/, ...fails({ display: 'page' }) },
  { breaks: ['oidcc-display-popup'], fault: 'display=popup is an error', because: /500/, ...fails({ display: 'popup' }) },
  {
    breaks: ['oidcc-prompt-login'],
    fault: 'prompt=login is ignored',
    because: /no sign-in page/,
    ...parameters('authorization', asked({ prompt: 'login' }), (form) => form.delete('prompt')),
  },
  {
    breaks: ['oidcc-prompt-none-not-logged-in'],
    fault: 'prompt=none is answered with a page',
    because: /got the page/,
    ...parameters(
      'authorization',
      (exchange) => of('basic')(exchange) && asked({ prompt: 'none' })(exchange) && !exchange.request.headers.cookie,
      (form) => form.delete('prompt'),
    ),
  },
  {
    breaks: ['oidcc-prompt-none-logged-in'],
    fault: 'prompt=none always demands a login',
    because: /login_required/,
    ...refuses(
      'authorization',
      (exchange) =>
        of('basic')(exchange) &&
        asked({ prompt: 'none' })(exchange) &&
        exchange.request.headers.cookie &&
        !('id_token_hint' in exchange.authorization),
      errorAt('login_required'),
    ),
  },
  {
    breaks: ['oidcc-max-age-1'],
    fault: 'max_age is ignored',
    because: /no sign-in page/,
    ...parameters('authorization', asked({ max_age: '1' }), (form) => form.delete('max_age')),
  },
  {
    breaks: ['oidcc-max-age-10000'],
    fault: 'no auth_time after max_age',
    because: /auth_time/,
    ...idToken(({ authorization }) => Number(authorization.max_age) >= 10_000, without('auth_time')),
  },
  {
    breaks: ['oidcc-ensure-request-with-unknown-parameter-succeeds'],
    fault: 'an unknown parameter is an error',
    because: /500/,
    ...fails({ extra: 'foobar' }),
  },
  {
    breaks: ['oidcc-id-token-hint'],
    fault: 'an id_token_hint demands a login',
    because: /login_required/,
    ...refuses('authorization', asked({ prompt: 'none', id_token_hint: undefined }), errorAt('login_required')),
  },
  { breaks: ['oidcc-login-hint'], fault: 'a login_hint is an error', because: /500/, ...fails({ login_hint: undefined }) },
  { breaks: ['oidcc-ui-locales'], fault: 'ui_locales is an error', because: /500/, ...fails({ ui_locales: undefined }) },
  {
    breaks: ['oidcc-claims-locales'],
    fault: 'claims_locales is an error',
    because: /500/,
    ...fails({ claims_locales: undefined }),
  },
  {
    breaks: ['oidcc-ensure-request-with-acr-values-succeeds'],
    fault: 'acr_values is an error',
    because: /500/,
    ...fails({ acr_values: undefined }),
  },
  { breaks: ['oidcc-codereuse'], fault: 'a code works twice within 20 s', because: /200/, ...reusable({ late: false }) },
  {
    breaks: ['oidcc-codereuse-30seconds'],
    fault: 'a used code works again after 20 s',
    because: /200/,
    ...reusable({ late: true }),
  },
  {
    breaks: ['oidcc-codereuse'],
    fault: 'the access token of a stolen code lives on',
    because: /still works/,
    ...head(
      'userinfo',
      (exchange) => of('basic')(exchange) && exchange.response.status === 401,
      (response) => (response.status = 200),
    ),
  },
  {
    breaks: ['oidcc-ensure-registered-redirect-uri'],
    fault: 'a redirect URI needs the registered prefix only',
    because: /is sent to/,
    ...refuses(
      'authorization',
      ({ authorization }) => authorization.redirect_uri?.startsWith(`${CALLBACK}/`),
      errorAt('invalid_request'),
    ),
  },
  {
    breaks: ['oidcc-ensure-post-request-succeeds'],
    fault: 'POST to the authorization endpoint is 405',
    because: /405/,
    ...refuses(
      'authorization',
      ({ request }) => request.method === 'POST',
      () => pageAnswer(405, 'Method not allowed'),
    ),
  },
  {
    breaks: ['oidcc-server-client-secret-post'],
    fault: 'a secret in the form is refused',
    because: /invalid_client/,
    ...refuses(
      'token',
      (exchange) => of('post')(exchange) && 'client_secret' in exchange.parameters,
      () => errorAnswer(401, 'invalid_client'),
    ),
  },
  {
    breaks: ['oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported'],
    fault: 'request_uri is ignored',
    because: /nonce/,
    ...parameters(
      'authorization',
      (exchange) => of('basic')(exchange) && asked({ request_uri: undefined })(exchange),
      (form) => form.delete('request_uri'),
    ),
  },
  {
    breaks: ['oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported'],
    fault: 'a request object is ignored',
    because: /nonce/,
    ...parameters('authorization', asked({ request: undefined, redirect_uri: CALLBACK }), (form) => form.delete('request')),
  },
  {
    breaks: ['oidcc-claims-essential'],
    fault: 'the claims parameter is ignored',
    because: /name/,
    ...parameters('authorization', asked({ claims: undefined }), (form) => form.delete('claims')),
  },
  {
    breaks: ['oidcc-ensure-request-object-with-redirect-uri'],
    fault: 'the error of a request object goes to the registered redirect URI',
    because: /redirect URI that the request does not have/,
    ...refuses('authorization', asked({ request: undefined, redirect_uri: `${CALLBACK}_invalid` }), ({ proxy, authorization }) =>
      errorAt('request_not_supported')({ proxy, authorization: { ...authorization, redirect_uri: CALLBACK } }),
    ),
  },
  {
    breaks: ['oidcc-refresh-token'],
    fault: 'a refresh token works for every client',
    because: /not valid/,
    ...head('token', of('other'), (response) => (response.status = 200)),
  },
  {
    breaks: ['oidcc-refresh-token'],
    fault: 'a refreshed ID token is about another person',
    because: /sub of the refreshed/,
    ...idToken(
      ({ parameters: { grant_type: type }, client }) => type === 'refresh_token' && client === 'basic',
      replaced('sub', 'other'),
    ),
  },
  {
    breaks: ['oidcc-ensure-request-with-valid-pkce-succeeds'],
    fault: 'the code_verifier is not compared',
    because: /not valid/,
    ...both(
      parameters('authorization', of('basic'), (form) =>
        ['code_challenge', 'code_challenge_method'].forEach((name) => form.delete(name)),
      ),
      parameters('token', of('basic'), (form) => form.delete('code_verifier')),
    ),
  },
  {
    breaks: ['oidcc-discovery-endpoint-verification'],
    fault: 'no subject_types_supported',
    because: /subject_types_supported/,
    ...json('metadata', always, without('subject_types_supported')),
  },
  {
    breaks: ['oidcc-discovery-endpoint-verification'],
    fault: 'the issuer has a slash at its end',
    because: /issuer/,
    ...json('metadata', always, (it) => ({ ...it, issuer: `${it.issuer}/` })),
  },
];

/** What every login of "Basic OP" notices. */
export const generalFaults = [
  ['ID tokens without nonce', /nonce/, idToken(of('basic'), without('nonce'))],
  ['ID tokens of another issuer', /iss of the ID token/, idToken(of('basic'), replaced('iss', 'https://other.example'))],
  ['ID tokens for another client', /aud/, idToken(of('basic'), replaced('aud', 'other'))],
  ['ID tokens without sub', /sub/, idToken(of('basic'), without('sub'))],
  ['ID tokens that have expired', /exp/, idToken(of('basic'), replaced('exp', 1_700_000_000))],
  ['ID tokens of another time', /iat/, idToken(of('basic'), replaced('iat', 1_700_000_000))],
  [
    'ID tokens signed with an unpublished key',
    /forged/,
    { ...idToken(of('basic'), (claims) => claims), response: idTokenOnly() },
  ],
  ['userinfo of another person', /sub of the userinfo/, json('userinfo', of('basic'), replaced('sub', 'other'))],
  ['token_type is missing', /token_type/, json('token', of('basic'), without('token_type'))],
  ['tokens may be cached', /cached/, head('token', of('basic'), ({ headers }) => delete headers['cache-control'])],
].map(([fault, because, spoiler]) => ({ breaks: ['oidcc-server'], everywhere: true, fault, because, ...spoiler }));

/** The spoiler of ID tokens without the publication of its key. */
function idTokenOnly() {
  const { response } = idToken(of('basic'), (claims) => claims);
  return async (exchange) => (exchange.kind === 'jwks' ? undefined : response(exchange));
}
