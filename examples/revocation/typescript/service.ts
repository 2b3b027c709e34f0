// A service with one protected route, `GET /hello`, which knows what ended at Authlog without asking it.
//
// It reads the events over NATS if `AUTHLOG_NATS_URL` is set, and over HTTP otherwise.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { feed } from './feed_source.js';
import { Refused, Verifier } from './verifier.js';

const { env } = process;
const url = env.AUTHLOG_URL!;
const source = env.AUTHLOG_NATS_URL
  ? (await import('./nats_source.js')).stream(env.AUTHLOG_NATS_URL)
  : feed(env.AUTHLOG_CLIENT_ID!, env.AUTHLOG_CLIENT_SECRET!);
const verifier = new Verifier({
  url,
  issuer: env.AUTHLOG_ISSUER ?? url,
  audience: (env.AUDIENCE ?? 'authlog').split(','),
  source,
  maxStaleness: Number(env.MAX_STALENESS ?? '2') * 1000,
  localOnly: env.ON_STALE === 'local-only',
});
await verifier.start();

// Only now: before, the service would refuse every token as stale.
const server = createServer((request, response) => void hello(request, response));
server.listen(Number(env.PORT ?? '8000'), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

async function hello(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url !== '/hello') return answer(response, 404, { error: 'not found' });
  const token = /^bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (!token) return answer(response, 401, { error: 'no token' }, { 'www-authenticate': 'Bearer' });
  try {
    const claims = await verifier.verify(token);
    return answer(response, 200, { hello: claims.sub });
  } catch (error) {
    if (!(error instanceof Refused)) return answer(response, 503, { error: 'unavailable' }, { 'retry-after': '1' });
    // The token may be valid, so the client has to keep it.
    if (error.reason === 'stale') return answer(response, 503, { error: 'stale' }, { 'retry-after': '1' });
    return answer(response, 401, { error: error.reason }, { 'www-authenticate': 'Bearer error="invalid_token"' });
  }
}

function answer(response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}
