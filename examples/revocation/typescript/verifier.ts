// Verifies Authlog's access tokens in memory: with its key set, and with a deny list that follows its events.

import { errors, jwtVerify } from 'jose';

import { type Claims, clock, type CloudEvent, DenyList, HistoryChanged, LONGEST_LIFETIME, type Moment } from './deny_list.js';
import { KeySet, sleep } from './key_set.js';

/** A token that is not accepted. `stale` means that the deny list or the keys are too old to know. */
export class Refused extends Error {
  constructor(readonly reason: 'invalid' | 'ended' | 'stale') {
    super(reason);
  }
}

/** Reads events until it fails, and passes them to `take` and `noteCurrent`. */
export type Source = (verifier: Verifier) => Promise<void>;

export type Options = {
  url: string;
  issuer: string;
  audience: string[];
  source: Source;
  /** Milliseconds. */
  maxStaleness?: number;
  /** Milliseconds. */
  keysMaxAge?: number;
  localOnly?: boolean;
};

export class Verifier {
  readonly url: string;
  /** The index of the last event that is known. */
  logIndex = 0;
  private readonly keys: KeySet;
  private deny = new DenyList();
  private resumes = false;
  private currentAsOf?: Moment;
  private readonly waiting = new Set<() => void>();

  constructor(private readonly options: Options) {
    this.url = options.url;
    this.keys = new KeySet(options.url, options.keysMaxAge ?? 300_000);
  }

  /** Fetches the keys and follows the events in the background, and returns when tokens can be verified. */
  async start(): Promise<void> {
    void this.follow();
    await this.keys.start();
    while (!this.currentAsOf) await sleep(20);
  }

  /** The claims of a valid access token. Throws `Refused`. */
  async verify(token: string): Promise<Claims> {
    const { issuer, audience } = this.options;
    const checks = { issuer, audience, typ: 'at+jwt', algorithms: ['ES256', 'RS256', 'EdDSA'] };
    const verified = jwtVerify<Claims>(token, this.keys.find, { ...checks, requiredClaims: ['exp', 'sub', 'client_id'] });
    const { payload: claims } = await verified.catch((error: unknown) => {
      // If the set cannot be fetched, it may have the key by now.
      if (error instanceof errors.JWKSNoMatchingKey && this.keys.hasFailed) throw new Refused('stale');
      if (error instanceof errors.JOSEError || error instanceof TypeError) throw new Refused('invalid');
      throw error;
    });
    // A client's own token has no session. A token with `cnf` is bound to a key, which has to be proved.
    const isComplete = claims.sid === undefined ? claims.sub === claims.client_id : claims.epoch !== undefined;
    if (!isComplete || 'cnf' in claims) throw new Refused('invalid');
    if (this.deny.hasEnded(claims)) throw new Refused('ended');
    if (this.isStale()) throw new Refused('stale');
    return claims;
  }

  /** Whether what is known is too old. Before everything was read once, it always is. */
  private isStale(): boolean {
    if (!this.currentAsOf) return true;
    if (this.options.localOnly) return false;
    return this.staleness() > (this.options.maxStaleness ?? 2000) || !this.keys.isCurrent();
  }

  /** The age of the deny list in milliseconds. */
  staleness(): number {
    return this.currentAsOf?.age() ?? Infinity;
  }

  /** Waits until the event with this index is known: the header `Authlog-Log-Index` of an answer of Authlog. */
  async waitFor(logIndex: number, timeout: number): Promise<boolean> {
    const until = clock() + timeout;
    while (this.logIndex < logIndex && clock() < until) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, until - clock());
        const waiting = this.waiting;
        waiting.add(done);
        function done() {
          clearTimeout(timer);
          waiting.delete(done);
          resolve();
        }
      });
    }
    return this.logIndex >= logIndex;
  }

  /** Reads the events from the source, again and again. */
  private async follow(): Promise<void> {
    for (let wait = 100; ; ) {
      const before = this.currentAsOf;
      try {
        await this.options.source(this);
      } catch (error) {
        if (error instanceof HistoryChanged) this.resumes = false;
        console.warn(`the events cannot be read: ${error}`);
      }
      wait = this.currentAsOf !== before ? 100 : Math.min(2 * wait, 2000);
      await sleep(wait * (0.5 + Math.random() / 2));
    }
  }

  /** The list that the source continues: the present one, or an empty one. */
  begin(): DenyList {
    return this.resumes ? this.deny.resume() : new DenyList();
  }

  take(deny: DenyList, event: CloudEvent): void {
    deny.take(event);
    if (deny === this.deny) this.noteReached(deny.position!.index);
  }

  /** Every event up to the moment `asOf` is in this list. Until then, the list of before is used. */
  noteCurrent(deny: DenyList, logIndex: number, asOf: Moment): void {
    if (deny.since > Date.now() - LONGEST_LIFETIME) throw new HistoryChanged('the clock was set back');
    const last = deny.position?.index ?? logIndex;
    if (!deny.isConfirmed || last < logIndex) {
      throw new HistoryChanged(`the log has ${logIndex} events, and not the next one after ${last} that was read`);
    }
    deny.forget();
    if (deny !== this.deny) {
      this.logIndex = 0;
      [this.deny, this.resumes, this.currentAsOf] = [deny, deny.position !== undefined, asOf];
    } else if (!this.currentAsOf || asOf.steady > this.currentAsOf.steady) {
      this.currentAsOf = asOf;
    }
    this.noteReached(last);
  }

  private noteReached(logIndex: number): void {
    this.logIndex = Math.max(this.logIndex, logIndex);
    for (const wake of this.waiting) wake();
  }
}
