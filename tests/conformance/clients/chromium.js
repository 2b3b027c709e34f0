// Chromium without a window, and the person who answers the provider's pages in it.

import { existsSync } from 'node:fs';

import { chromium } from 'playwright-core';

import { Missing } from '../harness/check.js';

const PROGRAMS = [process.env.CONFORMANCE_CHROMIUM, '/usr/bin/chromium', '/usr/bin/google-chrome'];
const DEADLINE = 20_000;

export async function withChromium(use) {
  const executablePath = PROGRAMS.find((path) => path && existsSync(path));
  if (!executablePath) throw new Missing('no Chromium is installed');
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  try {
    const context = await browser.newContext();
    context.setDefaultTimeout(DEADLINE);
    return await use(context);
  } finally {
    await browser.close();
  }
}

/** Answers the pages of the provider until the window is at another site, or closed. */
export async function answersPages(provider, page) {
  const seen = [];
  while (seen.length < 6) {
    await page.waitForLoadState('load').catch(() => undefined);
    if (page.isClosed() || !page.url().startsWith(provider.origin)) return seen;
    const reply = provider.replyTo(await describe(page));
    if (!reply) return seen;
    seen.push(reply.kind);
    await fillIn(page, reply);
  }
  return seen;
}

/** The page in the terms of `browser.js`. */
async function describe(page) {
  const forms = await page.evaluate(() =>
    [...document.forms].map((form) => ({
      id: form.id || undefined,
      action: form.getAttribute('action') ?? '',
      method: form.method.toUpperCase(),
      fields: [...form.querySelectorAll('input')].map(({ name, type, value }) => ({ name, type, value })),
      buttons: [...form.elements].filter(({ tagName }) => tagName === 'BUTTON').map(({ name, value }) => ({ name, value })),
    })),
  );
  return { url: new URL(page.url()), status: 200, text: '', forms };
}

async function fillIn(page, { form, values = {}, button }) {
  const within = page.locator(`form[action="${form.action}"]`).first();
  for (const [name, value] of Object.entries(values)) await within.locator(`[name="${name}"]`).fill(value);
  const named = button ? `button[name="${button.name}"][value="${button.value}"]` : 'button[type="submit"]';
  await page.evaluate(() => (window.answered = true));
  await within.locator(named).first().click();
  // The next document has no mark. A pop-up may be closed before it is asked.
  await page
    .waitForFunction(() => !window.answered)
    .catch((error) => {
      if (!page.isClosed()) throw error;
    });
}
