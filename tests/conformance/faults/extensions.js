// What breaks the checks of pushed requests, DPoP and the device grant.

import { decodeJwt } from 'jose';

import { CALLBACK } from '../harness/registrations.js';
import { accessToken, answer, json, of, pageAnswer, parameters, redirect, redirectAnswer, refuses, repeats } from './kinds.js';

const PAR = 'pushed_authorization_request';

/** A pushed request that has to be refused is taken. */
const takes = (when) =>
  refuses(
    PAR,
    (exchange) => exchange.client === 'par' && when(exchange),
    () =>
      answer(
        201,
        { 'cache-control': 'no-store' },
        {
          request_uri: 'urn:ietf:params:oauth:request_uri:0000000000000000000000',
          expires_in: 60,
        },
      ),
  );

const parFaults = [
  [
    'par-query-is-ignored',
    'the state of the browser comes back',
    /state/,
    redirect(
      ({ recall }, url) => recall(url.searchParams.get('state'))?.client_id === 'par',
      (url) => url.searchParams.set('state', 'other'),
    ),
  ],
  [
    'par-client-id-is-needed',
    'a request_uri needs no client_id',
    /without client_id/,
    parameters(
      'authorization',
      ({ parameters: sent }) => sent.request_uri && !sent.client_id,
      (form) => form.set('client_id', 'par'),
    ),
  ],
  [
    'par-unknown-request-uri',
    'an unknown request_uri gives a code',
    /unknown request_uri/,
    refuses(
      'authorization',
      ({ parameters: sent, recall }) => sent.client_id === 'par' && sent.request_uri && !recall(sent.request_uri),
      () => redirectAnswer(`${CALLBACK}?code=x`),
    ),
  ],
  [
    'par-no-credentials',
    'a pushed request needs no credentials',
    /credentials/,
    takes(({ request }) => request.method === 'POST' && !request.headers.authorization),
  ],
  [
    'par-wrong-secret',
    'a wrong secret is taken',
    /credentials/,
    takes(({ request }) =>
      Buffer.from(request.headers.authorization?.split(' ')[1] ?? '', 'base64')
        .toString()
        .endsWith(':wrong'),
    ),
  ],
  [
    'par-unregistered-redirect-uri',
    'an unregistered redirect URI is pushed',
    /status/,
    takes(({ parameters: sent }) => sent.redirect_uri !== CALLBACK),
  ],
  [
    'par-unsupported-response-type',
    'an unknown response type is pushed',
    /status/,
    takes(({ parameters: sent }) => sent.response_type === 'token'),
  ],
  ['par-request-uri-is-refused', 'a request_uri is pushed', /status/, takes(({ parameters: sent }) => 'request_uri' in sent)],
  ['par-get-is-refused', 'a request is pushed with GET', /GET/, takes(({ request }) => request.method === 'GET')],
];

const claimsOf = ({ request }) => {
  try {
    return decodeJwt(request.headers.dpop);
  } catch {
    return {};
  }
};

/** The proofs of one check. */
const proofsOf = (name) => (exchange) => exchange.request.headers.dpop && claimsOf(exchange).jti?.startsWith(`${name}.`);

const MISTAKES = ['htm', 'htu', 'no-iat', 'old', 'future', 'typ', 'private-key', 'another-key', 'symmetric', 'tampered'];
const bearer = ({ request }) => request.headers.authorization?.split(' ')[1];

const dpopFaults = [
  ...MISTAKES.map((name) => [
    `dpop-proof-${name}`,
    `this mistake of a proof is taken: ${name}`,
    /wrong proof/,
    repeats('token', proofsOf(name), ({ client }) => client),
  ]),
  [
    'dpop-proof-no-jti',
    'a proof needs no jti',
    /wrong proof/,
    repeats(
      'token',
      (exchange) => claimsOf(exchange).htm && !claimsOf(exchange).jti,
      ({ client }) => client,
    ),
  ],
  [
    'dpop-proof-no-jwt',
    'anything is a proof',
    /wrong proof/,
    repeats(
      'token',
      ({ request }) => request.headers.dpop === 'x',
      ({ client }) => client,
    ),
  ],
  [
    'dpop-proof-replay',
    'a proof works twice',
    /second use/,
    repeats('token', proofsOf('replay'), ({ request }) => request.headers.dpop),
  ],
  ['dpop-proof-ath', 'the token of a proof is not compared', /another token/, repeats('userinfo', proofsOf('ath'), bearer)],
  [
    'dpop-bound-token-as-bearer',
    'a bound token is a bearer token, too',
    /bearer token/,
    refuses(
      'userinfo',
      ({ request, authorization }) => authorization.client_id === 'dpop' && /^Bearer /.test(request.headers.authorization),
      () => answer(200, { 'content-type': 'application/json' }, { sub: 'ann' }),
    ),
  ],
];

const typesCode = (when) => ({
  request({ request }) {
    const code = request.form?.get('user_code');
    if (code && when(code)) request.form.set('user_code', 'BBBB-BBBB');
  },
});

const withError = (id, from, to) =>
  json(
    'token',
    (exchange) => of(id)(exchange) && exchange.response.json.error === from,
    (it) => ({ ...it, error: to }),
  );

const deviceFaults = [
  [
    'device-code-typed-in-small-letters',
    'user codes are compared with their case',
    /device page|authorization_pending/,
    typesCode((code) => /[a-z]/.test(code)),
  ],
  [
    'device-denied',
    'a denial is not told',
    /authorization_pending/,
    withError('device', 'access_denied', 'authorization_pending'),
  ],
  [
    'device-code-of-another-client',
    'a device code is known to another client',
    /authorization_pending/,
    withError('device-other', 'invalid_grant', 'authorization_pending'),
  ],
  [
    'device-code-unknown',
    'an unknown device code is pending',
    /authorization_pending/,
    withError('device', 'invalid_grant', 'authorization_pending'),
  ],
  [
    'device-user-code-wrong',
    'a wrong user code is an internal error',
    /500/,
    {
      request: ({ request }) => (request.form?.get('user_code') === 'BBBB-BBBB' ? pageAnswer(500, 'Error') : undefined),
    },
  ],
];

const listed = ([name, fault, because, spoiler]) => ({ breaks: [name], fault, because, ...spoiler });

export const extensionFaults = [
  ...[...parFaults, ...dpopFaults, ...deviceFaults].map(listed),
  {
    breaks: ['device-code-typed', 'device-code-typed-in-small-letters', 'device-code-typed-without-hyphen'],
    fault: 'a device gets no ID token',
    because: /ID token/,
    ...json('token', of('device'), (it) => ({ ...it, id_token: undefined })),
  },
  {
    breaks: ['dpop-proof-htm'],
    everywhere: true,
    fault: 'tokens are not bound to the key',
    because: /cnf/,
    ...accessToken('dpop-machine', ({ cnf, ...claims }) => claims),
  },
];
