// The modules of the plan "Back-Channel OP" (`oidcc-backchannel-rp-initiated-logout-certification-test-plan`), by their names.

import { demand, same, Unsupported } from '../harness/check.js';
import { checkLogoutToken } from '../harness/id_token.js';
import { isEndpoint } from './config_op.js';
import { beforeLogout, isSentBack, isSignedOut, logout } from './rp_initiated_logout.js';

export const plan = 'Back-channel logout';

async function discovery(provider) {
  const metadata = await provider.readMetadata();
  if (!metadata.backchannel_logout_supported) throw new Unsupported('no backchannel_logout_supported');
  same(metadata.backchannel_logout_supported, true, 'backchannel_logout_supported');
  same(metadata.backchannel_logout_session_supported, true, 'backchannel_logout_session_supported');
  isEndpoint(metadata, 'end_session_endpoint');
}

async function rpInitiatedLogout(provider) {
  if (!provider.metadata.backchannel_logout_supported) throw new Unsupported('no backchannel_logout_supported');
  const before = await beforeLogout(provider, 'backchannel');
  const { rp, login, browser, parameters } = before;
  demand(login.idToken.claims.sid, 'the ID token has no sid');
  isSentBack(await logout(provider, browser, parameters), parameters.state);
  const delivery = await provider.receiver.deliveryFor(login.idToken);
  same(delivery.method, 'POST', 'the method of the back-channel request');
  demand(/^application\/x-www-form-urlencoded/.test(delivery.type), `the back-channel request is ${delivery.type}`);
  same([...delivery.parameters.keys()], ['logout_token'], 'the parameters of the back-channel request');
  await checkLogoutToken(delivery.parameters.get('logout_token'), provider, { clientId: rp.client.id, idToken: login.idToken });
  await isSignedOut(before);
}

export const checks = {
  'oidcc-backchannel-logout-discovery-endpoint-verification': discovery,
  'oidcc-backchannel-rp-initiated-logout': rpInitiatedLogout,
};
