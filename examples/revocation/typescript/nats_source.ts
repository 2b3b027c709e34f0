// The source that reads the events from the JetStream stream `AUTH_EVENTS`, with nats.js.

import { DeliverPolicy, jetstream, jetstreamManager, type JsMsg, type OrderedConsumerOptions, type StreamInfo } from '@nats-io/jetstream';
import { connect, type Msg, type NatsConnection } from '@nats-io/transport-node';

import { type CloudEvent, type DenyList, HistoryChanged, Moment } from './deny_list.js';
import { TIMEOUT } from './fetch.js';
import { sleep } from './key_set.js';
import type { Source, Verifier } from './verifier.js';

const STREAM = 'AUTH_EVENTS';
const HEARTBEATS = 'auth-heartbeat.v1';
/** Of this client alone, so that its permissions let it read no answer to another. */
const INBOX = '_INBOX_verifier';
/** Messages at the end of the stream, among which there is an event. */
const END = 64;

export const stream =
  (servers: string): Source =>
  async (verifier) => {
    const { username, password } = new URL(servers);
    const credentials = username ? { user: decodeURIComponent(username), pass: decodeURIComponent(password) } : {};
    const connection = await connect({ servers, reconnect: false, timeout: TIMEOUT, inboxPrefix: INBOX, ...credentials });
    try {
      const reader = new Reader(verifier, connection);
      connection.subscribe(HEARTBEATS, { callback: (error, message) => reader.attempt(() => reader.hear(error, message)) });
      // What this publisher says is then about the stream that is read and compared after it.
      await reader.goOnUntil(() => reader.publisher !== undefined);
      const info = await (await jetstreamManager(connection, { checkAPI: false })).streams.info(STREAM);
      reader.excluded = notEvents(info.config.description ?? '');
      // This consumer starts again by itself after a message that it missed.
      const consumers = jetstream(connection, { checkAPI: false }).consumers;
      const consumer = await consumers.get(STREAM, whereToStart(info, reader.deny));
      const messages = await consumer.consume({ callback: (message) => reader.attempt(() => reader.take(message)) });
      void messages.closed().then((error) => reader.end(error ?? new Error('the stream has ended')));
      await reader.goOnUntil(() => false);
    } finally {
      await connection.close();
    }
  };

/** At the last event, to see that it is the same; without one 25 hours ago, or at the end of the stream if that is older. */
function whereToStart({ state }: StreamInfo, deny: DenyList): Partial<OrderedConsumerOptions> {
  // No event has a sequence below its log index.
  if (deny.position) return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: deny.position.index };
  if (Date.parse(state.last_ts) < deny.since) {
    return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: Math.max(1, state.last_seq - END + 1) };
  }
  return { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(deny.since).toISOString() };
}

/** The sequences of messages that an operator excluded, such as `Not events: 21, 30-32.` */
function notEvents(description: string): [number, number][] {
  const listed = /Not events: ([0-9, -]+)/.exec(description)?.[1] ?? '';
  const parts = listed.split(',').filter((part) => part.trim() !== '');
  return parts.map((part) => part.split('-').map(Number)).map((ends) => [ends[0]!, ends.at(-1)!]);
}

/** Counts a heartbeat when every event that it names has been applied. */
class Reader {
  readonly deny: DenyList;
  excluded: [number, number][] = [];
  /** Who sends the heartbeats. */
  publisher?: string;
  /** When it began, by the clock here. */
  private base = Infinity;
  private waiting: { logIndex: number; asOf: Moment }[] = [];
  private consumer?: string;
  private heard = Moment.now();
  private trouble?: unknown;

  constructor(
    private readonly verifier: Verifier,
    private readonly connection: NatsConnection,
  ) {
    this.deny = verifier.begin();
  }

  /** Does this, unless something is wrong already. */
  attempt(work: () => void): void {
    try {
      if (!this.trouble) work();
    } catch (error) {
      this.end(error);
    }
  }

  end(error: unknown): void {
    this.trouble ??= error;
  }

  hear(error: Error | null, message: Msg): void {
    if (error) throw error;
    // The machine may have been suspended. What was on the way meanwhile is old.
    if (this.heard.age() > TIMEOUT) throw new Error('there was no heartbeat');
    this.heard = Moment.now();
    const { publisher, logindex, elapsed_ms: elapsed } = message.json<{ publisher: string; logindex: string; elapsed_ms: number }>();
    // After a failover of the database, the log and the stream may have another history: compare it.
    if ((this.publisher ??= publisher) !== publisher) throw new Error('another publisher sends heartbeats');
    // The clocks of both sides are not compared. The heartbeat with the least delay says best when the publisher began.
    this.base = Math.min(this.base, this.heard.steady - elapsed);
    this.waiting.push({ logIndex: Number(logindex), asOf: this.heard.earlier(this.heard.steady - this.base - elapsed) });
    this.count();
  }

  take(message: JsMsg): void {
    const { headers, seq, info } = message;
    // The library began again after a message that it missed, perhaps on a stream that was deleted and filled again.
    if ((this.consumer ??= info.consumer) !== info.consumer) throw new Error('another consumer delivers the events');
    // Another client published a message without these, or one that is listed.
    if (!headers?.has('ce-id') || !headers.has('ce-logindex')) return;
    if (this.excluded.some(([first, last]) => first <= seq && seq <= last)) return;
    const names = ['id', 'logindex', 'time', 'type', 'subject'];
    const event = Object.fromEntries(names.map((name) => [name, headers.get(`ce-${name}`)]));
    this.verifier.take(this.deny, { ...event, data: message.json() } as CloudEvent);
    this.count();
  }

  private count(): void {
    const reached = this.deny.position?.index ?? 0;
    if (!this.deny.isConfirmed) {
      if (this.waiting.some(({ logIndex }) => logIndex < reached)) throw new HistoryChanged(`the log ends before event ${reached}`);
      return;
    }
    const counted = this.waiting.filter(({ logIndex }) => logIndex <= reached).at(-1);
    if (!counted) return;
    this.waiting = this.waiting.filter(({ logIndex }) => logIndex > reached);
    this.verifier.noteCurrent(this.deny, counted.logIndex, counted.asOf);
  }

  /** Returns if that holds, and throws when something is wrong. */
  async goOnUntil(condition: () => boolean): Promise<void> {
    for (let [position, moved] = [this.deny.position, Moment.now()]; !condition(); await sleep(TIMEOUT / 60)) {
      if (this.waiting.length === 0 || this.deny.position !== position) [position, moved] = [this.deny.position, Moment.now()];
      if (this.trouble) throw this.trouble;
      if (this.connection.isClosed()) throw new Error('the connection to NATS is lost');
      if (this.heard.age() > TIMEOUT) throw new Error('there is no heartbeat');
      if (moved.age() > TIMEOUT) {
        // To begin at another event than the last one helps if the stream has another history.
        const Stuck = this.deny.isConfirmed ? Error : HistoryChanged;
        throw new Stuck('the stream does not deliver the events that heartbeats name');
      }
    }
  }
}
