// Verifies Authlog's access tokens in memory: with its key set, and with a deny list that follows its events.

import { createRemoteJWKSet, errors, jwtVerify } from 'jose';

import { type Claims, clock, type CloudEvent, DenyList, HistoryChanged, LONGEST_LIFETIME } from './deny_list.js';

/** Milliseconds without an answer or a heartbeat. */
export const TIMEOUT = 3000;

/** A token that is not accepted. `stale` means that the deny list is too old to know. */
export class Refused extends Error {
  constructor(readonly reason: 'invalid' | 'ended' | 'stale') {
    super(reason);
  }
}

/** Reads events until it fails, and passes them to `take` and `noteCurrent`. */
export type Source = (verifier: Verifier) => Promise<void>;

export type Options = { url: string; issuer: string; audience: string[]; source: Source; maxStaleness?: number; localOnly?: boolean };

export class Verifier {
  readonly url: string;
  /** The index of the last event that is known. */
  logIndex = 0;
  private readonly maxStaleness: number;
  private readonly keys;
  private deny = new DenyList();
  private resumes = false;
  private currentAsOf = -Infinity;
  private readonly waiting = new Set<() => void>();

  constructor(private readonly options: Options) {
    this.url = options.url;
    this.maxStaleness = options.localOnly ? Infinity : (options.maxStaleness ?? 2000);
    // For an unknown key the set is fetched at most every ten seconds. `keepKeys` does the rest, so that keys outlive an outage.
    const how = { cacheMaxAge: Infinity, cooldownDuration: 10_000, timeoutDuration: TIMEOUT };
    this.keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', options.url), how);
  }

  /** Fetches the keys and follows the events in the background, and returns when tokens can be verified. */
  async start(): Promise<void> {
    void this.keepKeys();
    void this.follow();
    while (this.currentAsOf === -Infinity || !this.keys.jwks()) await sleep(20);
  }

  /** The claims of a valid access token. Throws `Refused`. */
  async verify(token: string): Promise<Claims> {
    const { issuer, audience } = this.options;
    const checks = { issuer, audience, typ: 'at+jwt', algorithms: ['ES256', 'RS256', 'EdDSA'] };
    const verified = jwtVerify<Claims>(token, this.keys, { ...checks, requiredClaims: ['exp', 'sub', 'client_id'] });
    const { payload: claims } = await verified.catch((error: unknown) => {
      // A set that cannot be fetched is no error of jose's.
      if (error instanceof errors.JOSEError || error instanceof TypeError) throw new Refused('invalid');
      throw error;
    });
    // A client's own token has no session. A token with `cnf` is bound to a key, which has to be proved.
    const isComplete = claims.sid === undefined ? claims.sub === claims.client_id : claims.epoch !== undefined;
    if (!isComplete || 'cnf' in claims) throw new Refused('invalid');
    if (this.deny.hasEnded(claims)) throw new Refused('ended');
    if (this.staleness() > this.maxStaleness) throw new Refused('stale');
    return claims;
  }

  /** The age of the deny list in milliseconds. */
  staleness(): number {
    return clock() - this.currentAsOf;
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

  /** Fetches the keys before they are five minutes old. If that fails, those of before stay. */
  private async keepKeys(): Promise<void> {
    for (;;) {
      await this.keys.reload().catch((error: unknown) => console.warn(`the key set cannot be fetched: ${error}`));
      await sleep(this.keys.jwks() ? 240_000 : 1000);
    }
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
      wait = this.currentAsOf > before ? 100 : Math.min(2 * wait, 2000);
      await sleep(wait * (0.5 + Math.random() / 2));
    }
  }

  /** The list that the source continues: the present one, or an empty one. */
  begin(): DenyList {
    return this.resumes ? this.deny : new DenyList();
  }

  take(deny: DenyList, event: CloudEvent): void {
    deny.take(event);
    if (deny === this.deny) this.noteReached(deny.position!.index);
  }

  /** Every event up to `asOf`, by `clock`, is in this list. Until then, the list of before is used. */
  noteCurrent(deny: DenyList, logIndex: number, asOf: number): void {
    if (deny.since > Date.now() - LONGEST_LIFETIME) throw new HistoryChanged('the clock was set back');
    deny.forget();
    this.currentAsOf = deny === this.deny ? Math.max(asOf, this.currentAsOf) : asOf;
    this.deny = deny;
    this.resumes = deny.position !== undefined;
    this.noteReached(logIndex);
  }

  private noteReached(logIndex: number): void {
    this.logIndex = Math.max(this.logIndex, logIndex);
    for (const wake of this.waiting) wake();
  }
}

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
