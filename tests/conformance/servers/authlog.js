// Authlog: the program, with a store of its own in a temporary directory.

import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { freePort } from '../harness/ports.js';
import { registrations } from '../harness/registrations.js';
import { formTo, Provider } from './provider.js';

const run = promisify(execFile);
const PERSON = {
  username: 'ann',
  password: 'correct horse battery',
  claims: {
    profile: { name: 'Ann Example', preferred_username: 'ann' },
    email: { email: 'ann@example.com', email_verified: false },
    phone: {},
  },
};

/** Checks and plans that may say "not supported". Each module permits it. */
const LACKS = ['oidcc-idtoken-unsigned', 'oidcc-scope-address'];
/** A pushed request can be used again until it expires, for example after a reload (RFC 9126 §4, ADR 38). */
const DEVIATIONS = ['request_uri again'];

export async function startAuthlog({ proxy, ports, program }) {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'authlog-conformance-'));
  const port = await freePort();
  const environment = {
    PATH: process.env.PATH,
    AUTHLOG_LISTEN: `127.0.0.1:${port}`,
    AUTHLOG_PUBLIC_URL: proxy.origin,
    AUTHLOG_DATA_DIR: directory,
    // All checks come from one address.
    AUTHLOG_RATE_LIMIT: 'off',
    AUTHLOG_LOG: 'warn',
    ...(process.env.AUTHLOG_DATABASE_URL && { AUTHLOG_DATABASE_URL: process.env.AUTHLOG_DATABASE_URL }),
  };
  const child = spawn(program, [], { env: environment, stdio: ['ignore', 'ignore', 'inherit'] });
  process.on('exit', () => child.kill());
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
    await rm(directory, { recursive: true, force: true });
  };
  try {
    proxy.forwardTo(port);
    const keySet = `http://127.0.0.1:${port}/.well-known/jwks.json`;
    await isReady(keySet, child, () => true);
    const clients = new Map();
    for (const registration of registrations(ports))
      clients.set(registration.id, await create(program, environment, registration));
    // The key of ID tokens is generated some seconds after the first client is registered.
    await isReady(keySet, child, ({ keys }) => keys.some(({ alg }) => alg === 'RS256'));
    await register(`http://127.0.0.1:${port}/api/auth/register`);
    const it = new Provider({
      name: 'authlog',
      proxy,
      ports,
      clients,
      person: PERSON,
      replyTo,
      lacks: LACKS,
      deviations: DEVIATIONS,
      stop,
    });
    proxy.forwardTo(port, await it.discover());
    return it;
  } catch (error) {
    await stop();
    throw error;
  }
}

async function isReady(url, child, condition) {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (child.exitCode !== null) throw new Error(`authlog ended with code ${child.exitCode}`);
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok && condition(await response.json())) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('authlog is not ready after 30 s');
}

/** Registers a client at the command line. */
async function create(program, environment, client) {
  const option = (name, values) => (values ?? []).flatMap((value) => [name, value]);
  const { stdout } = await run(
    program,
    [
      'client',
      'create',
      '--json',
      '--id',
      client.id,
      '--name',
      client.id,
      '--auth-method',
      client.auth,
      '--scope',
      client.scope,
      ...option('--grant', client.grants),
      ...option('--redirect-uri', client.redirectUris),
      ...option('--audience', client.audience && [client.audience]),
      ...option('--post-logout-redirect-uri', client.postLogoutRedirectUris),
      ...option('--backchannel-logout-uri', client.backchannelLogoutUri && [client.backchannelLogoutUri]),
      ...(client.pkce === false ? ['--require-pkce', 'false'] : []),
    ],
    { env: environment },
  );
  return { ...client, secret: JSON.parse(stdout).secret ?? undefined, redirectUri: client.redirectUris?.[0] };
}

async function register(url) {
  const { username, password, claims } = PERSON;
  const body = JSON.stringify({ fullname: claims.profile.name, email: claims.email.email, username, password });
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  if (response.status !== 201) throw new Error(`registration: ${response.status} ${await response.text()}`);
}

/** How the person answers a page. */
function replyTo(page, { userCode, denies, isTyped } = {}) {
  const signIn = formTo(page, '/sign-in');
  if (signIn) return { kind: 'sign-in', form: signIn, values: { username: PERSON.username, password: PERSON.password } };
  if (page.url.pathname.endsWith('/oauth2/end_session')) {
    const signOut = formTo(page, '/sign-out');
    return signOut && { kind: 'logout', form: signOut };
  }
  for (const form of page.forms) {
    const button = form.buttons.find(({ name, value }) => name === 'decision' && value === (denies ? 'deny' : 'allow'));
    const field = form.fields.find(({ name }) => name === 'user_code');
    if (button) return { kind: denies ? 'denial' : 'consent', form, button };
    if (field && !isTyped) return { kind: 'device', form, values: { user_code: userCode ?? field.value } };
  }
  return undefined;
}
