// How a client without a browser of its own gets the answer of an authorization request.

import { Browser } from '../harness/browser.js';
import { Failure } from '../harness/check.js';

/** The address at the redirect URI after the person answered all pages. */
export async function arrivalAt(provider, url, browser = new Browser(provider)) {
  const { callback, page } = await browser.visit(url);
  if (!callback) throw new Failure(`no answer at the redirect URI, but the page ${page.url.pathname} (${page.status})`);
  return callback;
}

/** Asserts that a promise of a library is rejected, and that the reason has this text somewhere. */
export async function isRefused(promise, text, what) {
  try {
    await promise;
  } catch (error) {
    const reasons = [];
    for (let at = error; at; at = at.cause)
      reasons.push(at.message, at.error, JSON.stringify(at.cause?.body ?? at.cause ?? null));
    if (reasons.some((reason) => String(reason).includes(text))) return;
    throw new Failure(`${what}: refused, but not with ${text}: ${reasons.join(' ')}`);
  }
  throw new Failure(`${what} is not refused`);
}
