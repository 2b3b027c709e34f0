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
import { basicFaults, generalFaults } from './faults/basic_op.js';
import { logoutFaults } from './faults/logout.js';
import { faultLine, tryFault } from './faults/run.js';
import * as openidClient from './clients/openid_client.js';
import * as oauth4webapi from './clients/oauth4webapi.js';
import * as oidcClientTs from './clients/oidc_client_ts.js';
import * as mcpTypescript from './clients/mcp_typescript.js';
import * as python from './clients/python.js';
import { serveMcp } from './clients/mcp_server.js';
import { serveApplication } from './clients/application.js';
import { Receiver } from './harness/receiver.js';

const { values: options } = parseArgs({
  options: { provider: { type: 'string', default: 'authlog' }, only: { type: 'string', default: '' }, faults: { type: 'boolean' } },
});
const named = (isModule) => ({ plan, checks: list }) => Object.entries(list).map(([name, run]) => ({ plan, name, run, isModule }));
const checks = [
  ...[basic, config, logout, backchannel].flatMap(named(true)),
  ...[openidClient, ...oauth4webapi.groups, oidcClientTs, mcpTypescript, python].flatMap(named(false)),
]
  .filter(({ plan, name }) => `${plan} ${name}`.includes(options.only));

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
const proxy = await Proxy.start();
const ports = { app: await freePort(), logout: await freePort(), mcp: await freePort() };
const start = options.provider === 'authlog' ? startAuthlog : startOidcProvider;
const provider = await start({ proxy, ports, program: process.env.AUTHLOG_PROGRAM });
provider.receiver = await Receiver.start(ports.logout, proxy);
const mcpServer = await serveMcp(provider);
const application = await serveApplication(ports.app, provider, provider.client('oidc-client-ts'));
let failed;
if (options.faults) {
  const list = [...basicFaults, ...generalFaults, ...logoutFaults].filter((it) => !it.provider || it.provider === provider.name);
  const outcomes = [];
  for (const fault of list) {
    const result = await tryFault(fault, checks, provider);
    if (result) { outcomes.push(result); console.log(faultLine(result)); }
  }
  failed = outcomes.some(({ outcome }) => /^NOT/.test(outcome));
} else {
  const results = await runAll(checks, provider, { report: (result) => console.log(line(result)) });
  failed = results.some(({ outcome }) => outcome === 'FAILED');
}
await application.stop();
await mcpServer.stop();
await provider.stop();
await proxy.stop();
process.exit(failed ? 1 : 0);
