// The kinds of faults: small spoilers of requests and answers, from which the lists of faults are made.

import { forge, forgery } from '../harness/forger.js';
import { answer, errorAnswer, pageAnswer, redirectAnswer } from '../harness/proxy.js';

/** Whether an authorization request has these parameters with these values. */
export const asked =
  (expected) =>
  ({ authorization = {} }) =>
    Object.entries(expected).every(([name, value]) =>
      value === undefined ? name in authorization : authorization[name] === value,
    );

export const of =
  (id) =>
  ({ client }) =>
    client === id;

const both = (...parts) => ({
  async request(exchange) {
    for (const part of parts) {
      const reply = await part.request?.(exchange);
      if (reply) return reply;
    }
    return undefined;
  },
  async response(exchange) {
    for (const part of parts) await part.response?.(exchange);
  },
  async delivery(delivery) {
    for (const part of parts) await part.delivery?.(delivery);
  },
});

/** Spoils the ID tokens of the token endpoint. The signature stays valid. */
export const idToken = (when, change, header) =>
  both(forgery, {
    async response(exchange) {
      const { kind, response } = exchange;
      if (kind !== 'token' || !response.json?.id_token || !when(exchange)) return;
      response.json = {
        ...response.json,
        id_token: await forge(response.json.id_token, (claims) => change(claims, exchange), header),
      };
    },
  });

/** Spoils the members of the JSON of an endpoint. */
export const json = (kind, when, change) => ({
  response(exchange) {
    const { response } = exchange;
    if (exchange.kind !== kind || !response.json || !when(exchange)) return;
    response.json = change({ ...response.json }, exchange) ?? response.json;
  },
});

/** Spoils the headers or the status of the answers of an endpoint. */
export const head = (kind, when, change) => ({
  response(exchange) {
    if (exchange.kind === kind && when(exchange)) change(exchange.response, exchange);
  },
});

/** Removes or replaces parameters of a request before the provider sees them. */
export const parameters = (kind, when, change) => ({
  request(exchange) {
    const { request } = exchange;
    if (exchange.kind !== kind || !when(exchange)) return;
    change(request.form ?? request.url.searchParams, exchange);
  },
});

/** Answers in place of the provider. */
export const refuses = (kind, when, reply) => ({
  request: (exchange) => (exchange.kind === kind && when(exchange) ? reply(exchange) : undefined),
});

/** The error of an authorization request, at the redirect URI. */
export const errorAt =
  (error) =>
  ({ authorization, proxy }) => {
    const url = new URL(authorization.redirect_uri);
    url.searchParams.set('error', error);
    url.searchParams.set('iss', proxy.origin);
    if (authorization.state) url.searchParams.set('state', authorization.state);
    return redirectAnswer(url);
  };

/** Spoils the address of a redirect to an application. */
export const redirect = (when, change) => ({
  response(exchange) {
    const { response, proxy } = exchange;
    if (!response.headers.location) return;
    response.redirect((url) => {
      if (url.origin !== proxy.origin && when(exchange, url)) change(url, exchange);
    });
  },
});

/** Access tokens with other claims, signed with a key that is published. */
export const accessToken = (id, change) =>
  both(forgery, {
    async response(exchange) {
      const { kind, response } = exchange;
      if (kind !== 'token' || !response.json?.access_token || !of(id)(exchange)) return;
      response.json = { ...response.json, access_token: await forge(response.json.access_token, change) };
    },
  });

/** The first successful answer of an endpoint is repeated for requests that the provider would refuse. */
export function repeats(kind, when, key) {
  const known = new Map();
  return {
    request(exchange) {
      const before = exchange.kind === kind && when(exchange) ? known.get(key(exchange)) : undefined;
      return before && answer(200, before.headers, before.body);
    },
    response(exchange) {
      const { status, headers, body } = exchange.response;
      if (exchange.kind === kind && status === 200) known.set(key(exchange), { headers, body });
    },
  };
}

/** Spoils the logout token on its way to the application. The signature stays valid. */
export const logoutToken = (change, header) =>
  both(forgery, {
    async delivery({ parameters: sent }) {
      sent.set('logout_token', await forge(sent.get('logout_token'), change, header));
    },
  });

export { answer, both, errorAnswer, pageAnswer, redirectAnswer };
