// The cookies of a browser (RFC 6265), as far as one origin needs them: path, expiry and the `Secure` attribute.

export class Cookies {
  #cookies = new Map();

  /** Stores what an answer for `url` sets. */
  store(url, lines) {
    for (const line of lines) {
      const [pair, ...attributes] = line.split(';').map((part) => part.trim());
      const at = pair.indexOf('=');
      const cookie = { name: pair.slice(0, at), value: pair.slice(at + 1), path: '/' };
      for (const attribute of attributes) {
        const [name, value = ''] = attribute.split(/=(.*)/s);
        switch (name.toLowerCase()) {
          case 'path':
            cookie.path = value;
            break;
          case 'max-age':
            cookie.expires = Date.now() + Number(value) * 1000;
            break;
          case 'expires':
            cookie.expires ??= Date.parse(value);
            break;
          case 'secure':
            cookie.secure = true;
            break;
        }
      }
      // A browser ignores a `Secure` cookie of a plain HTTP site, except of this machine.
      if (cookie.secure && url.protocol !== 'https:' && url.hostname !== 'localhost') continue;
      this.#cookies.set(`${cookie.path} ${cookie.name}`, cookie);
    }
  }

  /** The `Cookie` header for a request of `url`; empty if there is none. */
  header(url) {
    return [...this.#cookies.values()]
      .filter((cookie) => cookie.expires === undefined || cookie.expires > Date.now())
      .filter(({ path }) => url.pathname === path || url.pathname.startsWith(path.endsWith('/') ? path : `${path}/`))
      .sort((a, b) => b.path.length - a.path.length)
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');
  }
}
