// The source that reads `GET /audit/events` as a client with the scope `events.read`.

import { clock, HistoryChanged } from './deny_list.js';
import { type Source, TIMEOUT } from './verifier.js';

export const feed =
  (clientId: string, clientSecret: string): Source =>
  async (verifier) => {
    const grant = await fetch(`${verifier.url}/oauth2/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'events.read' }),
      signal: AbortSignal.timeout(TIMEOUT),
    });
    if (!grant.ok) throw new Error(`${grant.status} for a token to read the feed`);
    const { access_token: token } = (await grant.json()) as { access_token: string };
    const deny = verifier.begin();
    const query = new URLSearchParams({ follow: 'true', heartbeat: '500' });
    // One event before, to see that it is the same.
    if (deny.position) query.set('after', String(deny.position.index - 1));
    else query.set('since', new Date(deny.since).toISOString());
    const asked = clock();
    for await (const line of lines(`${verifier.url}/audit/events?${query}`, token)) {
      const message = JSON.parse(line);
      if ('specversion' in message) verifier.take(deny, message);
      else if ('elapsed_ms' in message) verifier.noteCurrent(deny, Number(message.logindex), asked + message.elapsed_ms);
      else if (message.status === 409) throw new HistoryChanged(message.detail);
      else throw new Error(message.detail);
    }
  };

/** The lines of an answer, which is ended if nothing arrives for a while. */
async function* lines(url: string, token: string): AsyncGenerator<string> {
  const ending = new AbortController();
  const timer = setTimeout(() => ending.abort(new Error('the feed is silent')), TIMEOUT);
  try {
    const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` }, signal: ending.signal });
    if (answer.status === 409) throw new HistoryChanged('the log ends before the last event');
    if (!answer.ok || !answer.body) throw new Error(`${answer.status} for the feed`);
    let rest = '';
    for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
      timer.refresh();
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      yield* parts.filter((part) => part !== '');
    }
  } finally {
    clearTimeout(timer);
    ending.abort();
  }
}
