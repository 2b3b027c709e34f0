// A service with one protected route, `GET /protected`, which knows what ended at Authlog without asking it.
//
// It reads the events over NATS if `NATS_URL` is set, and over HTTP otherwise.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { feed } from './feed_source.js';
import { Refused, Verifier } from './verifier.js';

const { env } = process;
const issuer = env.ISSUER!;
const source = env.NATS_URL
  ? (await import('./nats_source.js')).stream(env.NATS_URL)
  : feed(env.CLIENT_ID!, env.CLIENT_SECRET!);
const verifier = new Verifier({
  url: env.AUTHLOG_URL ?? issuer,
  issuer,
  audience: (env.AUDIENCE ?? 'authlog').split(','),
  source,
  maxStaleness: Number(env.MAX_STALENESS_MS ?? '2000'),
  keysMaxAge: Number(env.KEYS_MAX_AGE_MS ?? '300000'),
  localOnly: env.ON_STALE === 'local-only',
});
await verifier.start();

// Only now: before, the service would refuse every token as stale.
const server = createServer((request, response) => void serve(request, response));
const [host, port] = (env.LISTEN ?? '127.0.0.1:8000').split(':');
server.listen(Number(port), host, () => {
  console.log(`listening on ${host}:${(server.address() as AddressInfo).port}`);
});

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url !== '/protected') return answer(response, 404, { error: 'not found' });
  const token = /^bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (!token) return answer(response, 401, { error: 'no token' }, { 'www-authenticate': 'Bearer' });
  const index = request.headers['authlog-log-index'];
  try {
    let claims = await verifier.verify(token);
    if (index) {
      // Authlog answered the caller with this index. The caller wants to see what it changed.
      await verifier.waitFor(Number(index), 1000);
      claims = await verifier.verify(token);
    }
    return answer(response, 200, { subject: claims.sub });
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
