// What breaks each module of the logout plans.

import { decodeJwt, decodeProtectedHeader } from 'jose';

import { POST_LOGOUT } from '../harness/registrations.js';
import { json, logoutToken, pageAnswer, redirect, redirectAnswer, refuses } from './kinds.js';

const always = () => true;
const NAMES = ['id_token_hint', 'post_logout_redirect_uri', 'state'];

/** A logout with exactly these parameters. */
const shape =
  (...names) =>
  ({ parameters }) =>
    NAMES.every((name) => name in parameters === names.includes(name));

/** The browser is sent where the request says, without a question. */
const obeys = (when) =>
  refuses('end_session', when, ({ parameters }) => {
    const url = new URL(parameters.post_logout_redirect_uri);
    url.searchParams.set('state', parameters.state);
    return redirectAnswer(url);
  });

/** A page that says that the person is signed out, which is not true. */
const pretends = (when) => refuses('end_session', when, () => pageAnswer(200, 'You are signed out.'));

const hint = (parameters, read) => {
  try {
    return read(parameters.id_token_hint);
  } catch {
    return {};
  }
};

/** Whether a redirect ends a logout of the client "logout" that had a state. */
const endsLogout = ({ recall }, url) => {
  const request = recall(url.searchParams.get('state'));
  return url.href.startsWith(POST_LOGOUT) && request && hint(request, decodeJwt).aud === 'logout';
};

export const logoutFaults = [
  {
    breaks: [
      'oidcc-rp-initiated-logout-discovery-endpoint-verification',
      'oidcc-backchannel-logout-discovery-endpoint-verification',
      'oidcc-discovery-endpoint-verification',
    ],
    fault: 'end_session_endpoint is no URL',
    because: /end_session_endpoint/,
    ...json('metadata', always, (it) => ({ ...it, end_session_endpoint: '/end_session' })),
  },
  {
    breaks: ['oidcc-rp-initiated-logout'],
    fault: 'another state comes back from a logout',
    because: /state/,
    ...redirect(endsLogout, (url) => url.searchParams.set('state', 'other')),
  },
  {
    breaks: ['oidcc-rp-initiated-logout-bad-post-logout-redirect-uri'],
    fault: 'every post-logout redirect URI is good',
    because: /is sent to/,
    ...obeys(({ parameters }) => parameters.post_logout_redirect_uri?.endsWith('/bad_post_logout_redirect_uri')),
  },
  {
    breaks: ['oidcc-rp-initiated-logout-modified-id-token-hint'],
    fault: 'an id_token_hint without a signature is good',
    because: /is sent to/,
    ...obeys(({ parameters }) => hint(parameters, decodeProtectedHeader).alg === 'none'),
  },
  {
    breaks: ['oidcc-rp-initiated-logout-no-id-token-hint'],
    fault: 'a redirect needs no id_token_hint',
    because: /is sent to/,
    ...obeys(shape('post_logout_redirect_uri', 'state')),
  },
  {
    breaks: ['oidcc-rp-initiated-logout-no-params'],
    fault: 'a logout without parameters does nothing',
    because: /expected an error/,
    ...pretends(shape()),
  },
  {
    breaks: ['oidcc-rp-initiated-logout-no-post-logout-redirect-uri'],
    fault: 'a logout without a redirect URI does nothing',
    because: /expected an error/,
    ...pretends(shape('id_token_hint', 'state')),
  },
  {
    breaks: ['oidcc-rp-initiated-logout-no-state'],
    fault: 'a state that was not sent comes back',
    because: /parameters at the post-logout/,
    ...redirect(
      (exchange, url) => url.href === POST_LOGOUT,
      (url) => url.searchParams.set('state', 'other'),
    ),
  },
  {
    breaks: ['oidcc-rp-initiated-logout-only-state'],
    fault: 'a logout with a state alone does nothing',
    because: /expected an error/,
    ...pretends(shape('state')),
  },
  {
    breaks: ['oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri'],
    fault: 'the query of a post-logout redirect URI is not compared',
    because: /is sent to/,
    ...obeys(({ parameters }) => parameters.post_logout_redirect_uri?.includes('?')),
  },
  {
    breaks: ['oidcc-rp-initiated-logout-bad-id-token-hint'],
    fault: 'an id_token_hint of the application is good',
    because: /is sent to/,
    ...obeys(
      ({ parameters }) =>
        hint(parameters, decodeJwt).sub === 'SubjectID' && hint(parameters, decodeProtectedHeader).alg !== 'none',
    ),
  },
  {
    breaks: ['oidcc-backchannel-logout-discovery-endpoint-verification'],
    fault: 'backchannel_logout_session_supported is false',
    because: /session_supported/,
    ...json('metadata', always, (it) => ({ ...it, backchannel_logout_session_supported: false })),
  },
  ...[
    ['a logout token with a nonce', /nonce/, logoutToken((claims) => ({ ...claims, nonce: 'x' }))],
    ['a logout token without events', /events/, logoutToken(({ events, ...claims }) => claims)],
    ['a logout token for another client', /aud/, logoutToken((claims) => ({ ...claims, aud: 'other' }))],
    ['a logout token of another issuer', /iss/, logoutToken((claims) => ({ ...claims, iss: 'https://other.example' }))],
    ['a logout token without jti', /jti/, logoutToken(({ jti, ...claims }) => claims)],
    ['a logout token signed with an unpublished key', /forged/, { ...logoutToken((claims) => claims), response: undefined }],
    ['a parameter with the logout token', /parameters/, { delivery: ({ parameters }) => parameters.set('extra', 'x') }],
  ].map(([fault, because, spoiler]) => ({ breaks: ['oidcc-backchannel-rp-initiated-logout'], fault, because, ...spoiler })),
];
