// The Rust crate `openidconnect`.

import { Browser } from '../harness/browser.js';
import { Missing } from '../harness/check.js';
import { arrivalAt } from './arrival.js';
import { runProgram } from './program.js';

export const plan = 'Clients';

async function signsIn(provider) {
  const program = process.env.CONFORMANCE_RUST;
  if (!program) throw new Missing('CONFORMANCE_RUST names no program');
  const { id, secret, redirectUri } = provider.client('openidconnect');
  const settings = { issuer: provider.issuer, id, secret, redirect_uri: redirectUri, email: provider.person.claims.email.email };
  const browser = new Browser(provider);
  await runProgram(program, [], settings, (url) => arrivalAt(provider, url, browser));
}

export const checks = { 'openidconnect (Rust): client with a secret': signsIn };
