// Checks rules of the example in TypeScript that no event of this version of Authlog shows: `check_examples.py` starts this with the
// folder of the compiled example.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const load = (name) => import(pathToFileURL(resolve(process.argv[2], name)));
const { DenyList, HistoryChanged, Moment } = await load('deny_list.js');
const { Verifier } = await load('verifier.js');

function check(what, found, wanted) {
  if (found !== wanted) process.exitCode = 1;
  console.log(`TypeScript: ${what}: ${found === wanted ? 'passed' : `FAILED: ${found}, and not ${wanted}`}`);
}

const event = (index, kind, data, subject = 'ann') => ({
  id: `event/${index}`,
  logindex: String(index),
  time: '2026-11-30T00:00:00Z',
  type: `dev.authlog.${kind}`,
  subject,
  data,
});

function outcome(events, token) {
  const deny = new DenyList();
  try {
    events.forEach(([kind, data, subject], index) => deny.take(event(index + 7, kind, data, subject)));
  } catch (error) {
    if (error instanceof HistoryChanged) throw error;
    return 'not understood';
  }
  return deny.hasEnded(token) ? 'ended' : 'live';
}

function refuses(work) {
  try {
    work();
  } catch (error) {
    if (error instanceof HistoryChanged) return true;
    throw error;
  }
  return false;
}

const known = JSON.parse(readFileSync(new URL('later_versions.json', import.meta.url), 'utf8'));
for (const { events, then } of known.cases) {
  const kinds = events.map(([kind, data]) => `${kind} ${JSON.stringify(data)}`).join(', ');
  check(`after ${kinds} the token is ${then}`, outcome(events, known.token), then);
}

const verifier = new Verifier({ url: 'http://127.0.0.1:1', issuer: 'authlog', audience: ['authlog'], localOnly: true });
check('local-only accepts nothing before the events are known', verifier.isStale(), true);
let deny = verifier.begin();
verifier.take(deny, event(7, 'user.locked.v1', { session_epoch: 1 }));
verifier.noteCurrent(deny, 7, Moment.now());
check('local-only accepts tokens from then on', verifier.isStale(), false);
check('a heartbeat that names a missing event changes the history', refuses(() => verifier.noteCurrent(deny, 8, Moment.now())), true);
deny = verifier.begin();
check('a heartbeat does not count before the last event was seen again', refuses(() => verifier.noteCurrent(deny, 7, Moment.now())), true);
check('nor is a next event taken', refuses(() => verifier.take(deny, event(8, 'user.locked.v1', { session_epoch: 2 }))), true);
verifier.take(deny, event(7, 'user.locked.v1', { session_epoch: 1 }));
check('but then it does', refuses(() => verifier.noteCurrent(deny, 7, Moment.now())), false);
