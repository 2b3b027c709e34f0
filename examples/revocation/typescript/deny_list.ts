// The deny list: what ended within the longest lifetime of an access token, as Authlog's events say.

import type { JWTPayload } from 'jose';

export const LONGEST_LIFETIME = 24 * 60 * 60 * 1000; // ms: no access token lives longer
const KEEP_FOR = LONGEST_LIFETIME + 60 * 60 * 1000; // for tokens of nodes whose clocks differ
const SESSION = 'dev.authlog.session.';
const CLIENT = 'dev.authlog.client.';
const USER = 'dev.authlog.user.';
const ENDS_SESSION = ['logged-out', 'revoked', 'refresh-token-reused', 'authorization-code-reused'].map((it) => SESSION + it);
const OF_ACCOUNTS = ['password-reset', 'password-changed', 'sessions-revoked', 'role-changed', 'locked', 'erased'];
const ENDS_OTHERS = OF_ACCOUNTS.map((it) => USER + it);

export type Claims = JWTPayload & { sub: string; client_id: string; epoch?: number; sid?: string; psid?: string; secret_id?: string };
export type CloudEvent = { id: string; logindex: string; time: string; type: string; subject: string; data: Data };
type Data = {
  session_id?: string;
  secret_id?: string;
  grants?: string[];
  session_epoch?: number | null;
  kept_session_id?: string | null;
};
type Position = { index: number; id: string; time: string };
type Epoch = { added: number; epoch: number; kept: string | null };

/** The log is not the one that was read before, so the deny list is built again. */
export class HistoryChanged extends Error {}

/** Milliseconds that no change of the time of day affects. On Linux they do not pass while the machine is suspended. */
export const clock = () => performance.now();

/** An instant by two clocks, in milliseconds: one that is never set, and one that never stands still. */
export class Moment {
  private constructor(
    readonly steady: number,
    readonly wall: number,
  ) {}

  static now(): Moment {
    return new Moment(clock(), Date.now());
  }

  /** The time since, by the clock that says more. So a clock that is set back makes nothing younger. */
  age(): number {
    return Math.max(clock() - this.steady, Date.now() - this.wall);
  }

  earlier(ms: number): Moment {
    return new Moment(this.steady - ms, this.wall - ms);
  }
}

export class DenyList {
  readonly since = Date.now() - KEEP_FOR;
  /** The last event. */
  position?: Position;
  /** Whether the log that is read has that event. */
  isConfirmed = true;
  /** `kind/id` -> when it was added; in this order, as a map keeps it. */
  private readonly ended = new Map<string, number>();
  /** Account -> the lowest live epoch, and the session that was kept. */
  private readonly epochs = new Map<string, Epoch>();

  /** Begins to read again at the last event, which has to be seen before anything counts. */
  resume(): this {
    this.isConfirmed = this.position === undefined;
    return this;
  }

  /** Applies the next event, and skips one that was applied before. Any other means that the log is not the same. */
  take({ id, time, type, subject, data, logindex }: CloudEvent): void {
    const index = Number(logindex);
    const last = this.position ?? { index: index - 1, id, time };
    if (index === last.index + 1 && this.isConfirmed) {
      // To skip it could miss an end. Without it, the list grows too old.
      if (!this.apply(type, subject, data)) throw new Error(`event ${index}, a ${type}, is not understood: update this program`);
      this.position = { index, id, time };
    } else if (index === last.index && id === last.id && time === last.time) {
      this.isConfirmed = true;
    } else if (!(index < last.index)) {
      throw new HistoryChanged(`event ${index} does not follow event ${last.index}`);
    }
  }

  /** A later version of a type ends what the first one ends. It takes nothing off the list. Returns whether the event is understood. */
  private apply(type: string, subject: string, data: Data): boolean {
    const name = type.slice(0, type.lastIndexOf('.'));
    if (ENDS_SESSION.includes(name)) return this.add('session', data.session_id);
    if (name === `${CLIENT}locked` || name === `${CLIENT}removed`) return this.add('client', subject);
    if (name === `${CLIENT}secret-retired`) return this.add('secret', data.secret_id);
    if (name === `${CLIENT}changed`) {
      if (!Array.isArray(data.grants)) return false;
      if (!data.grants.includes('client_credentials')) return this.add('grant', subject);
    }
    if (type === `${CLIENT}changed.v1`) this.ended.delete(`grant/${subject}`);
    if (type === `${CLIENT}unlocked.v1`) this.ended.delete(`client/${subject}`);
    if (!name.startsWith(USER)) return true;
    // Any type of an account with an epoch, also one that is newer than this program.
    const { session_epoch: epoch = null, kept_session_id: kept = null } = data;
    if (epoch === null) return !ENDS_OTHERS.includes(name) || type === `${USER}role-changed.v1`;
    if (!Number.isInteger(epoch)) return false;
    const known = this.epochs.get(subject);
    if (known && known.epoch >= epoch) return true;
    this.epochs.delete(subject);
    this.epochs.set(subject, { added: clock(), epoch, kept });
    return true;
  }

  private add(kind: string, id: string | undefined): boolean {
    if (id === undefined) return false;
    this.ended.delete(`${kind}/${id}`);
    this.ended.set(`${kind}/${id}`, clock());
    return true;
  }

  hasEnded({ sub, sid, psid, epoch, client_id, secret_id }: Claims): boolean {
    const names = [`session/${sid}`, `session/${psid}`, `client/${client_id}`, `secret/${secret_id}`];
    // A client's own token has no session.
    if (sid === undefined) names.push(`grant/${client_id}`);
    if (names.some((name) => this.ended.has(name))) return true;
    const live = this.epochs.get(sub);
    return live !== undefined && sid !== undefined && epoch! < live.epoch && sid !== live.kept;
  }

  /** Removes what no unexpired token needs. */
  forget(): void {
    const oldest = clock() - KEEP_FOR;
    for (const [name, added] of this.ended) {
      if (added >= oldest) break;
      this.ended.delete(name);
    }
    for (const [account, { added }] of this.epochs) {
      if (added >= oldest) break;
      this.epochs.delete(account);
    }
  }
}
