// The deny list: what ended within the longest lifetime of an access token, as Authlog's events say.

import type { JWTPayload } from 'jose';

export const LONGEST_LIFETIME = 24 * 60 * 60 * 1000; // ms: no access token lives longer
const KEEP_FOR = LONGEST_LIFETIME + 60 * 60 * 1000; // for tokens of nodes whose clocks differ
const SESSION = 'dev.authlog.session.';
const CLIENT = 'dev.authlog.client.';
const ENDED = ['logged-out.v1', 'revoked.v1', 'refresh-token-reused.v1', 'authorization-code-reused.v1'];
const ENDS_SESSION = new Set(ENDED.map((name) => SESSION + name));

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

export class DenyList {
  readonly since = Date.now() - KEEP_FOR;
  /** The last event. */
  position?: Position;
  /** `kind/id` -> when it was added; in this order, as a map keeps it. */
  private readonly ended = new Map<string, number>();
  /** Account -> the lowest live epoch, and the session that was kept. */
  private readonly epochs = new Map<string, Epoch>();

  /** Applies the next event, and skips one that was applied before. Any other means that the log is not the same. */
  take({ id, time, ...event }: CloudEvent): void {
    const index = Number(event.logindex);
    const last = this.position ?? { index: index - 1, id, time };
    if (index === last.index + 1) {
      this.apply(event.type, event.subject, event.data);
      this.position = { index, id, time };
    } else if (!(index < last.index) && !(index === last.index && id === last.id && time === last.time)) {
      throw new HistoryChanged(`event ${index} does not follow event ${last.index}`);
    }
  }

  private apply(type: string, subject: string, data: Data): void {
    if (ENDS_SESSION.has(type)) this.add(`session/${data.session_id}`);
    else if (type === `${CLIENT}locked.v1` || type === `${CLIENT}removed.v1`) this.add(`client/${subject}`);
    else if (type === `${CLIENT}unlocked.v1`) this.ended.delete(`client/${subject}`);
    else if (type === `${CLIENT}secret-retired.v1`) this.add(`secret/${data.secret_id}`);
    else if (type === `${CLIENT}changed.v1`) {
      if (data.grants?.includes('client_credentials')) this.ended.delete(`grant/${subject}`);
      else this.add(`grant/${subject}`);
    } else if (type.startsWith('dev.authlog.user.') && typeof data.session_epoch === 'number') {
      // Any type, also one that is newer than this program.
      const known = this.epochs.get(subject);
      if (known && known.epoch >= data.session_epoch) return;
      this.epochs.delete(subject);
      this.epochs.set(subject, { added: clock(), epoch: data.session_epoch, kept: data.kept_session_id ?? null });
    }
  }

  private add(name: string): void {
    this.ended.delete(name);
    this.ended.set(name, clock());
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
