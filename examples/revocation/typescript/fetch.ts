// HTTP answers with limits of time and size, which `fetch` does not have by itself.

/** Milliseconds until an answer is complete, and between two lines of one that goes on. */
export const TIMEOUT = 3000;
/** Characters of a complete answer, and of a line. */
const LARGEST = 256 * 1024;

/** The JSON of a successful answer. */
export async function fetchJson(url: string, init: RequestInit = {}): Promise<unknown> {
  // The signal also ends an answer that arrives too slowly.
  const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(TIMEOUT) });
  if (!answer.ok || !answer.body) throw new Error(`${answer.status} for ${url}`);
  let body = '';
  for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
    body += text;
    if (body.length > LARGEST) throw new Error(`${url} sends too much`);
  }
  return JSON.parse(body);
}

/** The lines of an answer, which is ended if no line arrives for a while. `check` throws if the answer is not what is wanted. */
export async function* fetchLines(url: string, init: RequestInit, check: (answer: Response) => void): AsyncGenerator<string> {
  const ending = new AbortController();
  const timer = setTimeout(() => ending.abort(new Error('the feed is silent')), TIMEOUT);
  try {
    const answer = await fetch(url, { ...init, signal: ending.signal });
    check(answer);
    let rest = '';
    for await (const text of answer.body!.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      if (rest.length > LARGEST) throw new Error('the feed sends a line that is too long');
      if (lines.length > 0) timer.refresh();
      yield* lines.filter((line) => line !== '');
    }
  } finally {
    clearTimeout(timer);
    ending.abort();
  }
}
