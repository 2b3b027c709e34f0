// Every check and every fault, in the order of the table.

import * as mcpTypescript from './clients/mcp_typescript.js';
import * as oauth4webapi from './clients/oauth4webapi.js';
import * as oidcClientTs from './clients/oidc_client_ts.js';
import * as openidClient from './clients/openid_client.js';
import * as openidconnect from './clients/openidconnect.js';
import * as python from './clients/python.js';
import { basicFaults, generalFaults } from './faults/basic_op.js';
import { clientFaults } from './faults/clients.js';
import { extensionFaults } from './faults/extensions.js';
import { logoutFaults } from './faults/logout.js';
import * as backchannel from './modules/backchannel_logout.js';
import * as basic from './modules/basic_op.js';
import * as config from './modules/config_op.js';
import * as device from './modules/device.js';
import * as dpop from './modules/dpop.js';
import * as par from './modules/par.js';
import * as logout from './modules/rp_initiated_logout.js';

const named =
  (isModule) =>
  ({ plan, checks: list }) =>
    Object.entries(list).map(([name, run]) => ({ plan, name, run, isModule }));

export const checks = [
  ...[basic, config, logout, backchannel, par, dpop, device].flatMap(named(true)),
  ...[openidClient, ...oauth4webapi.groups, oidcClientTs, mcpTypescript, python, openidconnect].flatMap(named(false)),
];

export const faults = [...basicFaults, ...generalFaults, ...logoutFaults, ...extensionFaults, ...clientFaults];
