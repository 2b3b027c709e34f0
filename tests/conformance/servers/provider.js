// A provider under test: its metadata, its clients, its person, and how the person answers its pages.

export class Provider {
  constructor({ name, proxy, clients, ports, person, replyTo, lacks = [], deviations = [], stop }) {
    Object.assign(this, { name, proxy, clients, ports, person, replyTo, stop });
    this.origin = proxy.origin;
    this.issuer = proxy.origin;
    this.lacking = new Set(lacks);
    this.deviations = new Set(deviations);
  }

  /** Reads the metadata once. The checks of the discovery document read it again. */
  async discover() {
    this.metadata = await this.readMetadata();
    return this.metadata;
  }

  readMetadata() {
    return this.json(`${this.issuer}/.well-known/openid-configuration`);
  }

  async json(url) {
    const response = await fetch(url, { signal: AbortSignal.timeout(15_000) });
    if (!response.ok) throw new Error(`${url} answered ${response.status}`);
    return response.json();
  }

  /** Whether this check may say "not supported", by its name or its plan. */
  lacks({ plan, name }) {
    return this.lacking.has(name) || this.lacking.has(plan);
  }

  client(id) {
    const client = this.clients.get(id);
    if (!client) throw new Error(`no client ${id}`);
    return client;
  }
}

/** The form of a page whose action has this path. */
export function formTo(page, path) {
  return page.forms.find(({ action }) => new URL(action || page.url, page.url).pathname.endsWith(path));
}
