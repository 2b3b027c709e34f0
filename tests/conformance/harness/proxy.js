// A reverse proxy between the clients and the provider. Without a fault it changes nothing; with one it spoils requests or answers.

import http from 'node:http';

import { Trace } from './trace.js';

export class Proxy {
  #server;
  #trace = new Trace();
  #endpoints = new Map();

  /** What is broken at the moment. */
  fault = undefined;

  /** Listens on a free port; `target` is the port of the provider. */
  static async start() {
    const proxy = new Proxy();
    proxy.#server = http.createServer((request, response) => {
      proxy.#serve(request, response).catch((error) => {
        if (!response.headersSent) response.writeHead(502, { 'content-type': 'text/plain' });
        response.end(`proxy: ${error.message}`);
      });
    });
    // Clients keep connections, and close them first.
    proxy.#server.keepAliveTimeout = 60_000;
    await new Promise((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port() {
    return this.#server.address().port;
  }

  get origin() {
    return `http://localhost:${this.port}`;
  }

  /** Begins to forward to a provider, whose endpoints are found by its metadata. */
  forwardTo(port, metadata) {
    this.target = port;
    for (const [name, value] of Object.entries(metadata ?? {})) {
      if (typeof value !== 'string' || !value.startsWith(this.origin)) continue;
      this.#endpoints.set(new URL(value).pathname, name.replace(/_(endpoint|uri)$/, ''));
    }
  }

  /** The kind of an endpoint: `authorization`, `token`, `userinfo`, `jwks`, `end_session`, … */
  #kindOf(path) {
    return path.startsWith('/.well-known/o') ? 'metadata' : this.#endpoints.get(path);
  }

  async #serve(incoming, outgoing) {
    const request = await readRequest(incoming, this.origin);
    const exchange = { request, kind: this.#kindOf(request.url.pathname), proxy: this };
    this.#trace.sees(exchange);
    const { fault } = this;
    exchange.response = (await fault?.request?.(exchange)) ?? (await this.#forward(request));
    this.#trace.seesAnswer(exchange);
    await fault?.response?.(exchange);
    const { status, headers, body } = exchange.response;
    delete headers['transfer-encoding'];
    outgoing.writeHead(status, { ...headers, 'content-length': body.length });
    outgoing.end(incoming.method === 'HEAD' ? undefined : body);
  }

  #forward({ method, url, headers, form, body }) {
    const content = form ? Buffer.from(form.toString()) : body;
    const { 'content-length': _, 'transfer-encoding': __, 'accept-encoding': ___, ...kept } = headers;
    if (content.length > 0 || method === 'POST') kept['content-length'] = content.length;
    const options = {
      host: '127.0.0.1',
      port: this.target,
      method,
      path: url.pathname + url.search,
      headers: kept,
    };
    return new Promise((resolve, reject) => {
      const request = http.request(options, async (response) => {
        resolve(answer(response.statusCode, response.headers, await read(response)));
      });
      request.on('error', reject);
      request.end(content);
    });
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** An answer of the provider, or in its place. `json` reads and replaces the body. */
export function answer(status, headers, body) {
  return {
    status,
    headers: { ...headers },
    body: Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
    get json() {
      try {
        return JSON.parse(this.body.toString());
      } catch {
        return undefined;
      }
    },
    set json(value) {
      this.body = Buffer.from(JSON.stringify(value));
    },
    /** Changes the address of a redirect. */
    redirect(change) {
      if (!URL.canParse(this.headers.location ?? '')) return;
      const url = new URL(this.headers.location);
      change(url);
      this.headers.location = url.href;
    },
  };
}

export const errorAnswer = (status, error) => answer(status, { 'content-type': 'application/json' }, { error });
export const pageAnswer = (status, text) => answer(status, { 'content-type': 'text/html' }, `<!doctype html><p>${text}</p>`);
export const redirectAnswer = (location) => answer(303, { location: String(location) }, '');

async function readRequest(incoming, origin) {
  const body = await read(incoming);
  const isForm = /^application\/x-www-form-urlencoded/.test(incoming.headers['content-type'] ?? '');
  return {
    method: incoming.method,
    url: new URL(incoming.url, origin),
    headers: { ...incoming.headers },
    form: isForm ? new URLSearchParams(body.toString()) : undefined,
    body,
  };
}

async function read(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
