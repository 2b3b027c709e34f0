// The device authorization grant (RFC 8628). The suite has no plan for it, so the names are of this file.

import { Browser } from '../harness/browser.js';
import { demand, same, Unsupported } from '../harness/check.js';
import { checkIdToken } from '../harness/id_token.js';
import { random, RelyingParty } from '../harness/relying_party.js';

export const plan = 'Device grant';

const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

/** A device that asked for a code (§3.1, §3.2). */
async function begin(provider, id = 'device') {
  const { device_authorization_endpoint: endpoint, token_endpoint: tokens } = provider.metadata;
  if (!endpoint) throw new Unsupported('no device_authorization_endpoint');
  const rp = new RelyingParty(provider, provider.client(id));
  const { status, headers, json: device } = await rp.post(endpoint, { scope: 'openid email' });
  same(status, 200, 'the status of the device authorization endpoint');
  demand(/no-store/.test(headers.get('cache-control') ?? ''), 'the answer may be cached');
  demand(device.device_code?.length >= 22, 'the device code can be guessed');
  demand(/^[\x21-\x7e]{6,20}$/.test(device.user_code), `a person cannot type the user code ${device.user_code}`);
  demand(URL.canParse(device.verification_uri) && device.expires_in > 0, 'no verification_uri or no expires_in');
  const pause = () => new Promise((resolve) => setTimeout(resolve, ((device.interval ?? 5) + 0.3) * 1000));
  const poll = (client = rp) => client.post(tokens, { grant_type: GRANT, device_code: device.device_code });
  return { rp, device, pause, poll, browser: new Browser(provider) };
}

const isError = ({ status, json }, ...errors) => {
  same(status, 400, 'the status of an error');
  demand(errors.includes(json?.error), `the error is ${json?.error}, none of ${errors}`);
};

/** The person types the code, as people do. */
const typed = (type) => async (provider) => {
  const { rp, device, pause, poll, browser } = await begin(provider);
  isError(await poll(), 'authorization_pending');
  const { page, callback } = await browser.visit(device.verification_uri, { userCode: type(device.user_code) });
  demand(!callback && page.status === 200, `the device page ends with ${callback ?? page.status}`);
  await pause();
  const tokens = rp.granted(await poll());
  await checkIdToken(tokens.id_token, provider, { clientId: rp.client.id });
};

async function denied(provider) {
  const { device, poll, browser } = await begin(provider);
  await browser.visit(device.verification_uri, { userCode: device.user_code, denies: true });
  isError(await poll(), 'access_denied');
}

async function ofAnotherClient(provider) {
  const { device, poll, browser } = await begin(provider);
  await browser.visit(device.verification_uri, { userCode: device.user_code });
  isError(await poll(new RelyingParty(provider, provider.client('device-other'))), 'invalid_grant');
}

async function unknown(provider) {
  const { rp } = await begin(provider);
  isError(
    await rp.post(provider.metadata.token_endpoint, { grant_type: GRANT, device_code: random(32) }),
    'invalid_grant',
    'expired_token',
  );
}

/** A code that was not given out grants nothing, and is no error of the server. */
async function wrongUserCode(provider) {
  const { device, poll, browser } = await begin(provider);
  const { page, callback } = await browser.visit(device.verification_uri, { userCode: 'BBBB-BBBB' });
  demand(!callback && page.status < 500, `a wrong code is answered with ${callback ?? page.status}`);
  isError(await poll(), 'authorization_pending', 'slow_down');
}

export const checks = {
  'device-code-typed': typed((code) => code),
  'device-code-typed-in-small-letters': typed((code) => code.toLowerCase()),
  'device-code-typed-without-hyphen': typed((code) => code.replaceAll('-', '')),
  'device-denied': denied,
  'device-code-of-another-client': ofAnotherClient,
  'device-code-unknown': unknown,
  'device-user-code-wrong': wrongUserCode,
};
