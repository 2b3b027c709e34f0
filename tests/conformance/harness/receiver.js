// The application's endpoint for logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.5).

import http from 'node:http';

import { decodeJwt } from 'jose';

import { Failure } from './check.js';

const PATIENCE = 10_000;

export class Receiver {
  #server;
  #received = [];

  /** `proxy` may spoil a token on the way, for the broken copies. */
  static async start(port, proxy) {
    const receiver = new Receiver();
    receiver.#server = http.createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      const parameters = new URLSearchParams(body);
      const delivery = { method: request.method, type: request.headers['content-type'], parameters };
      await proxy.fault?.delivery?.(delivery);
      receiver.#received.push(delivery);
      response.writeHead(200, { 'cache-control': 'no-store' }).end();
    });
    await new Promise((resolve) => receiver.#server.listen(port, '127.0.0.1', resolve));
    return receiver;
  }

  /** Waits for the logout token of a session. */
  async deliveryFor({ claims }) {
    const end = Date.now() + PATIENCE;
    for (;;) {
      const found = this.#received.find(({ parameters }) => isFor(parameters.get('logout_token'), claims));
      if (found) return found;
      if (Date.now() > end) {
        const others = this.#received.length;
        throw new Failure(
          `no logout token for the session arrived within ${PATIENCE / 1000} s (${others} for others, or unreadable)`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function isFor(token, { sid, sub }) {
  try {
    const claims = decodeJwt(token);
    return claims.sid === undefined ? claims.sub === sub : claims.sid === sid;
  } catch {
    return false;
  }
}
