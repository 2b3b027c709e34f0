// Runs the checks against a provider, and prints one line for each.
//
//   node run.js [--provider authlog|oidc-provider] [--only TEXT] [--faults]

import { parseArgs } from 'node:util';

import { line, runAll } from './harness/check.js';
import { Proxy } from './harness/proxy.js';
import { freePort } from './harness/ports.js';
import { startAuthlog } from './servers/authlog.js';
import { startOidcProvider } from './servers/oidc_provider.js';
import * as basic from './modules/basic_op.js';
import * as config from './modules/config_op.js';
import * as logout from './modules/rp_initiated_logout.js';
import * as backchannel from './modules/backchannel_logout.js';
import { Receiver } from './harness/receiver.js';

const { values: options } = parseArgs({
  options: { provider: { type: 'string', default: 'authlog' }, only: { type: 'string', default: '' }, faults: { type: 'boolean' } },
});
const modules = [basic, config, logout, backchannel];
const checks = modules
  .flatMap(({ plan, checks: named }) => Object.entries(named).map(([name, run]) => ({ plan, name, run })))
  .filter(({ plan, name }) => `${plan} ${name}`.includes(options.only));

const proxy = await Proxy.start();
const ports = { app: await freePort(), logout: await freePort(), mcp: await freePort() };
const start = options.provider === 'authlog' ? startAuthlog : startOidcProvider;
const provider = await start({ proxy, ports, program: process.env.AUTHLOG_PROGRAM });
provider.receiver = await Receiver.start(ports.logout, proxy);
const results = await runAll(checks, provider, { report: (result) => console.log(line(result)) });
await provider.stop();
await proxy.stop();
process.exit(results.some(({ outcome }) => outcome === 'FAILED') ? 1 : 0);
