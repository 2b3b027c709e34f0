// npm `oidc-client-ts` in Chromium: an application without a server of its own, of another origin than the provider.

import { demand, Failure, same } from '../harness/check.js';
import { answersPages, withChromium } from './chromium.js';

export const plan = 'Clients';

const inBrowser = (use) => (provider) =>
  withChromium(async (context) => {
    const page = await context.newPage();
    await page.goto(`http://localhost:${provider.ports.app}/`);
    await use(provider, page);
  });

/** What the library says of the person after a sign-in. */
async function result(page) {
  await page.waitForFunction(() => window.result || window.failure);
  const failure = await page.evaluate(() => window.failure);
  if (failure) throw new Failure(`oidc-client-ts: ${failure}`);
  return page.evaluate(() => ({
    profile: window.result.profile,
    access: window.result.access_token,
    refresh: window.result.refresh_token,
  }));
}

function isThePerson(provider, { profile, access }) {
  same(profile.email, provider.person.claims.email.email, 'email');
  demand(access, 'no access token');
}

async function byRedirect(provider, page) {
  await page.evaluate(() => {
    manager.signinRedirect();
  });
  await page.waitForURL((url) => url.origin === provider.origin);
  await answersPages(provider, page);
  const first = await result(page);
  isThePerson(provider, first);
  await renews(provider, page, first);
}

/** Silent renewal with the refresh token, which asks nothing of the person. */
async function renews(provider, page, before) {
  await page.evaluate(() => {
    window.result = undefined;
    report(manager.signinSilent());
  });
  const after = await result(page);
  same(after.profile.sub, before.profile.sub, 'sub after the renewal');
  demand(after.access !== before.access, 'the access token is the old one');
}

async function byPopup(provider, page) {
  const opened = page.waitForEvent('popup');
  await page.evaluate(() => {
    report(manager.signinPopup());
  });
  const popup = await opened;
  await popup.waitForURL((url) => url.origin === provider.origin);
  await answersPages(provider, popup);
  isThePerson(provider, await result(page));
}

export const checks = {
  'oidc-client-ts: redirect and silent renewal': inBrowser(byRedirect),
  'oidc-client-ts: pop-up': inBrowser(byPopup),
};
