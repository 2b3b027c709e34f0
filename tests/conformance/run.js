// Runs the checks against one provider, and prints one line for each. `scripts/conformance.sh` installs what they need.

import { parseArgs } from 'node:util';

import { checks, faults } from './checks.js';
import { serveApplication } from './clients/application.js';
import { serveMcp } from './clients/mcp_server.js';
import { faultLine, tryFaults } from './faults/run.js';
import { line, runAll } from './harness/check.js';
import { freePort } from './harness/ports.js';
import { Proxy } from './harness/proxy.js';
import { Receiver } from './harness/receiver.js';
import { startAuthlog } from './servers/authlog.js';
import { startOidcProvider } from './servers/oidc_provider.js';

const STARTS = { authlog: startAuthlog, 'oidc-provider': startOidcProvider };

/** Starts the provider behind its proxy, and the servers of the applications. */
async function start(name) {
  const proxy = await Proxy.start();
  const ports = { app: await freePort(), logout: await freePort(), mcp: await freePort() };
  const provider = await STARTS[name]({ proxy, ports, program: process.env.AUTHLOG_PROGRAM });
  provider.receiver = await Receiver.start(ports.logout, proxy);
  const application = await serveApplication(ports.app, provider, provider.client('oidc-client-ts'));
  const servers = [application, await serveMcp(provider), provider.receiver, provider, proxy];
  const stop = async () => {
    for (const server of servers) await server.stop();
  };
  return { provider, stop };
}

const print = (text) => console.log(text);

const { values: options } = parseArgs({
  options: {
    provider: { type: 'string', default: 'authlog' },
    only: { type: 'string', default: '' },
    faults: { type: 'boolean' },
  },
});
if (!STARTS[options.provider]) throw new Error(`no provider ${options.provider}`);
if (options.provider === 'authlog' && !process.env.AUTHLOG_PROGRAM) throw new Error('AUTHLOG_PROGRAM names no program');
const chosen = checks.filter(({ plan, name }) => `${plan} ${name}`.includes(options.only));

// The program that was started ends with this one.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
const { provider, stop } = await start(options.provider);
const results = options.faults
  ? await tryFaults(faults, chosen, provider, (result) => print(faultLine(result)))
  : await runAll(chosen, provider, { report: (result) => print(line(result)) });
await stop();

const outcomes = [...new Set(results.map(({ outcome }) => outcome))];
print(outcomes.map((it) => `${results.filter(({ outcome }) => outcome === it).length} ${it}`).join(', '));
process.exit(results.some(({ outcome }) => /^(FAILED|NOT)/.test(outcome)) ? 1 : 0);
