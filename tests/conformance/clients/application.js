// The pages of an application in the browser: it signs in with `oidc-client-ts`, and has a server of its own.

import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';

// The build for browsers is not among the exports of the package.
const PACKAGE = createRequire(import.meta.url).resolve('oidc-client-ts/package.json');
const LIBRARY = path.join(path.dirname(PACKAGE), 'dist/browser/oidc-client-ts.min.js');

/** Serves the pages on a port until `stop` is called. */
export async function serveApplication(port, provider, client) {
  const settings = {
    authority: provider.issuer,
    client_id: client.id,
    redirect_uri: `http://localhost:${port}/callback.html`,
    popup_redirect_uri: `http://localhost:${port}/popup.html`,
    scope: 'openid email',
    loadUserInfo: true,
  };
  const page = (
    script,
  ) => `<!doctype html><meta charset="utf-8"><title>application</title><script src="/library.js"></script><script>
    const manager = new oidc.UserManager(${JSON.stringify(settings)});
    const report = (promise) => promise.then((user) => (window.result = user), (error) => (window.failure = String(error)));
    ${script}
  </script>`;
  const pages = {
    '/': page(''),
    '/callback.html': page('report(manager.signinRedirectCallback());'),
    '/popup.html': page('manager.signinPopupCallback();'),
  };
  const library = await readFile(LIBRARY);
  const server = http.createServer(({ url }, response) => {
    const [at] = url.split('?');
    if (at === '/library.js') return response.writeHead(200, { 'content-type': 'text/javascript' }).end(library);
    const html = pages[at];
    return response.writeHead(html ? 200 : 404, { 'content-type': 'text/html' }).end(html ?? '');
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(resolve);
      }),
  };
}
