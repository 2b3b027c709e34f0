// A browser without a screen: it follows redirects, keeps cookies and submits forms, and stops where the provider sends it away.

import { parse } from 'node-html-parser';

import { Cookies } from './cookies.js';
import { Failure } from './check.js';

const MOST_STEPS = 30;
const DEADLINE = 15_000;

export class Browser {
  #cookies = new Cookies();
  #provider;

  /** `provider` says which origin is its own, and how a person answers its pages. */
  constructor(provider) {
    this.#provider = provider;
  }

  /**
   * Opens an address and lets the person answer every page until the provider redirects to another site.
   * Returns that address as `callback`, or the last page as `page` if there is nothing to answer on it. `seen` are the kinds of the
   * pages on the way, in their order. The person types `userCode` where a device code is asked for, and `denies` what is asked.
   */
  async visit(url, { method = 'GET', form, answers = true, userCode, denies = false } = {}) {
    const seen = [];
    let step = { url: new URL(url), method, form };
    for (let count = 0; count < MOST_STEPS; count++) {
      const answer = await this.#request(step);
      if (answer.location) {
        if (answer.location.origin !== this.#provider.origin) return { callback: answer.location, seen };
        step = { url: answer.location, method: 'GET' };
        continue;
      }
      // A person types a code once, and does not ask again for what was denied.
      const isDone = seen.includes('denial');
      const options = { userCode, denies, isTyped: seen.includes('device') };
      const reply = answers && !isDone ? this.#provider.replyTo(answer.page, options) : undefined;
      if (!reply) return { page: answer.page, seen };
      seen.push(reply.kind);
      if (seen.length > 6) throw new Failure(`the provider shows pages without an end: ${seen.join(', ')}`);
      step = submission(answer.page, reply);
    }
    throw new Failure(`more than ${MOST_STEPS} redirects`);
  }

  async #request({ url, method, form, from }) {
    const headers = { accept: 'text/html' };
    const cookie = this.#cookies.header(url);
    if (cookie) headers.cookie = cookie;
    // A form on a page of the provider has its origin; a form on the page of an application has that of the application.
    if (method === 'POST') headers.origin = from ?? 'https://app.example';
    const response = await fetch(url, {
      method,
      headers,
      body: form,
      redirect: 'manual',
      signal: AbortSignal.timeout(DEADLINE),
    });
    this.#cookies.store(url, response.headers.getSetCookie());
    const location = response.headers.get('location');
    if (location && response.status >= 300 && response.status < 400) {
      await response.arrayBuffer();
      return { location: new URL(location, url) };
    }
    return { page: pageOf(url, response, await response.text()) };
  }
}

function pageOf(url, response, html) {
  const isHtml = /^text\/html/.test(response.headers.get('content-type') ?? '');
  return {
    url,
    status: response.status,
    text: html,
    forms: isHtml ? formsOf(parse(html)) : [],
  };
}

function formsOf(document) {
  return document.querySelectorAll('form').map((form) => {
    const id = form.getAttribute('id');
    const elsewhere = id ? document.querySelectorAll(`button[form="${id}"]`) : [];
    return {
      id,
      action: form.getAttribute('action') ?? '',
      method: (form.getAttribute('method') ?? 'get').toUpperCase(),
      fields: form.querySelectorAll('input').map((input) => ({
        name: input.getAttribute('name'),
        type: input.getAttribute('type') ?? 'text',
        value: input.getAttribute('value') ?? '',
      })),
      buttons: [...form.querySelectorAll('button'), ...elsewhere].map((button) => ({
        name: button.getAttribute('name'),
        value: button.getAttribute('value') ?? '',
      })),
    };
  });
}

/** The request of a form with what the person filled in: `values` by name, and the pressed `button`. */
function submission(page, { form, values = {}, button }) {
  const body = new URLSearchParams();
  for (const { name, type, value } of form.fields) {
    if (!name) continue;
    if (type === 'checkbox' && !(name in values)) continue;
    body.append(name, values[name] ?? value);
  }
  if (button?.name) body.append(button.name, button.value);
  const url = new URL(form.action || page.url, page.url);
  if (form.method === 'GET') {
    url.search = body.toString();
    return { url, method: 'GET' };
  }
  return { url, method: 'POST', form: body, from: page.url.origin };
}
