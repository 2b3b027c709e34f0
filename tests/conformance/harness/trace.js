// What the proxy knows of each exchange: the authorization request that a code, a token or a page belongs to.

export class Trace {
  #requests = new Map();

  /**
   * Sets `parameters` as the client sent them, `authorization`, the parameters of the authorization request, and `client`. `recall`
   * finds the request of a `state`.
   */
  sees(exchange) {
    const { request, kind } = exchange;
    const parameters = Object.fromEntries(request.form ?? request.url.searchParams);
    const basic = /^Basic (.*)$/.exec(request.headers.authorization ?? '');
    // The id is form-encoded (RFC 6749 §2.3.1).
    const user = basic && decodeURIComponent(Buffer.from(basic[1], 'base64').toString().split(':')[0]);
    const bearer = /^(?:Bearer|DPoP) (.*)$/.exec(request.headers.authorization ?? '')?.[1];
    if (kind === 'authorization' || kind === 'pushed_authorization_request') {
      exchange.authorization = { ...this.#requests.get(parameters.request_uri), ...parameters };
      if (parameters.state) this.#requests.set(parameters.state, exchange.authorization);
    } else {
      const known = [parameters.code, parameters.refresh_token, parameters.access_token, bearer].find((it) =>
        this.#requests.has(it),
      );
      exchange.authorization = this.#requests.get(known) ?? {};
    }
    if (kind === 'end_session' && parameters.state) this.#requests.set(parameters.state, parameters);
    exchange.parameters = parameters;
    exchange.recall = (key) => this.#requests.get(key);
    exchange.client = user ?? parameters.client_id ?? exchange.authorization.client_id;
  }

  seesAnswer({ kind, response, authorization }) {
    const { location } = response.headers;
    if (location && URL.canParse(location)) {
      const { searchParams } = new URL(location);
      const request = this.#requests.get(searchParams.get('state'));
      if (request && searchParams.has('code')) this.#requests.set(searchParams.get('code'), request);
    }
    const json = kind === 'token' || kind === 'pushed_authorization_request' ? response.json : undefined;
    for (const name of ['access_token', 'refresh_token', 'request_uri']) {
      if (json?.[name]) this.#requests.set(json[name], authorization);
    }
  }
}
