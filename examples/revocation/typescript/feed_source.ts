// The source that reads `GET /audit/events` as a client with the scope `events.read`.

import { HistoryChanged, Moment } from './deny_list.js';
import { fetchJson, fetchLines, TIMEOUT } from './fetch.js';
import type { Source } from './verifier.js';

export const feed =
  (clientId: string, clientSecret: string): Source =>
  async (verifier) => {
    const grant = await fetchJson(`${verifier.url}/oauth2/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'events.read' }),
    });
    const authorization = `Bearer ${(grant as { access_token: string }).access_token}`;
    const deny = verifier.begin();
    const query = new URLSearchParams({ follow: 'true', heartbeat: '500' });
    // One event before, to see that it is the same.
    if (deny.position) query.set('after', String(deny.position.index - 1));
    else query.set('since', new Date(deny.since).toISOString());
    const asked = Moment.now();
    let heard = asked;
    for await (const line of fetchLines(`${verifier.url}/audit/events?${query}`, { headers: { authorization } }, check)) {
      // The machine may have been suspended. What was on the way meanwhile is old.
      if (heard.age() > TIMEOUT) throw new Error('the feed was silent');
      heard = Moment.now();
      const message = JSON.parse(line);
      if ('specversion' in message) verifier.take(deny, message);
      else if ('elapsed_ms' in message) {
        // By the clock here, which runs as fast as that of Authlog.
        const age = heard.steady - asked.steady - message.elapsed_ms;
        verifier.noteCurrent(deny, Number(message.logindex), heard.earlier(Math.max(age, 0)));
      } else if (message.status === 409) throw new HistoryChanged(message.detail);
      else throw new Error(message.detail);
    }
    throw new Error('the feed has ended');
  };

function check(answer: Response): void {
  if (answer.status === 409) throw new HistoryChanged('the log ends before the last event');
  if (!answer.ok) throw new Error(`${answer.status} for the feed`);
}
