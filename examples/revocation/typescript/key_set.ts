// The keys with which Authlog signs access tokens.

import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';

import { Moment } from './deny_list.js';
import { fetchJson } from './fetch.js';

/** Milliseconds between two requests that unknown keys cause, because anyone can send a token that names one. */
const AGAIN = 10_000;
/** Milliseconds after a request that failed. */
const RETRY = 2000;

/** Fetches the keys in the background, and again at half of `maxAge`. If that fails, those of before stay. */
export class KeySet {
  /** Whether the last request failed. */
  hasFailed = false;
  private readonly url: string;
  private keys: JWTVerifyGetKey = createLocalJWKSet({ keys: [] });
  private asOf?: Moment;
  private asked?: Moment;
  private asking?: Promise<void>;

  constructor(
    url: string,
    private readonly maxAge: number,
  ) {
    this.url = `${url}/.well-known/jwks.json`;
  }

  /** Returns when there is a set. */
  async start(): Promise<void> {
    void this.keep();
    while (!this.asOf) await sleep(20);
  }

  isCurrent(): boolean {
    return this.asOf !== undefined && this.asOf.age() <= this.maxAge;
  }

  /** The key that a token names. For an unknown one, this waits for the next set. */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    try {
      return await this.keys(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      if (!this.asking && this.asked && this.asked.age() <= AGAIN) throw error;
      await this.ask();
      return this.keys(header, token);
    }
  };

  private async keep(): Promise<void> {
    for (;;) {
      await this.ask();
      await sleep((0.5 + Math.random() / 2) * (this.hasFailed ? RETRY : this.maxAge / 2));
    }
  }

  /** Fetches the set once for all who wait for it. */
  private ask(): Promise<void> {
    this.asking ??= this.fetch().finally(() => (this.asking = undefined));
    return this.asking;
  }

  private async fetch(): Promise<void> {
    const asked = (this.asked = Moment.now());
    try {
      // A cache on the way may not add its age to that of these keys.
      const set = await fetchJson(this.url, { headers: { 'cache-control': 'no-cache' } });
      // Any set replaces the one of before, also an empty one: a retired key must not stay.
      this.keys = createLocalJWKSet(set as JSONWebKeySet);
      this.asOf = asked;
      this.hasFailed = false;
    } catch (error) {
      console.warn(`the key set cannot be fetched: ${error}`);
      this.hasFailed = true;
    }
  }
}

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
