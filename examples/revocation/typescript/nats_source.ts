// The source that reads the events from the JetStream stream `AUTH_EVENTS`, with nats.js.

import { DeliverPolicy, jetstream, jetstreamManager, type OrderedConsumerOptions, type StreamInfo } from '@nats-io/jetstream';
import { connect, type NatsConnection, type Subscription } from '@nats-io/transport-node';

import { clock, type CloudEvent, type DenyList } from './deny_list.js';
import { sleep, type Source, TIMEOUT, type Verifier } from './verifier.js';

const STREAM = 'AUTH_EVENTS';
const HEARTBEATS = 'auth-heartbeat.v1';
/** Of this client alone, so that its permissions let it read no answer to another. */
const INBOX = '_INBOX_verifier';

export const stream =
  (servers: string): Source =>
  async (verifier) => {
    const { username, password } = new URL(servers);
    const credentials = username ? { user: decodeURIComponent(username), pass: decodeURIComponent(password) } : {};
    const connection = await connect({ servers, reconnect: false, timeout: TIMEOUT, inboxPrefix: INBOX, ...credentials });
    try {
      // The heartbeats first: what they say is then about the events that follow.
      const heartbeats = connection.subscribe(HEARTBEATS);
      const deny = verifier.begin();
      const info = await (await jetstreamManager(connection, { checkAPI: false })).streams.info(STREAM);
      const reader = new Reader(verifier, deny, notEvents(info.config.description ?? ''));
      const closed = connection.closed().then((error) => Promise.reject(error ?? new Error('the connection to NATS is lost')));
      const events = reader.readEvents(connection, whereToStart(info, deny));
      await Promise.race([closed, events, reader.readHeartbeats(heartbeats), reader.watch()]);
    } finally {
      await connection.close();
    }
  };

/** At the last event, to see that it is the same; without one 25 hours ago, or at the newest event if that is older. */
function whereToStart({ state }: StreamInfo, deny: DenyList): Partial<OrderedConsumerOptions> {
  // No event has a sequence below its log index.
  if (deny.position) return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: deny.position.index };
  const newest = state.messages > 0 ? Date.parse(state.last_ts) : Infinity;
  const since = new Date(Math.min(deny.since, newest)).toISOString();
  return { deliver_policy: DeliverPolicy.StartTime, opt_start_time: since };
}

/** The sequences of messages that an operator excluded, such as `Not events: 21, 30-32.` */
function notEvents(description: string): [number, number][] {
  const listed = /Not events: ([0-9, -]+)/.exec(description)?.[1] ?? '';
  const parts = listed.split(',').filter((part) => part.trim() !== '');
  return parts.map((part) => part.split('-').map(Number)).map((ends) => [ends[0]!, ends.at(-1)!]);
}

/** Counts a heartbeat when every event that it names has been applied. */
class Reader {
  private waiting: { logIndex: number; asOf: number }[] = [];
  /** Publisher -> when it began, by the clock here. */
  private readonly bases = new Map<string, number>();
  private heard = clock();

  constructor(
    private readonly verifier: Verifier,
    private readonly deny: DenyList,
    private readonly excluded: [number, number][],
  ) {}

  async readEvents(connection: NatsConnection, start: Partial<OrderedConsumerOptions>): Promise<void> {
    // This consumer starts again by itself after a message that it missed.
    const consumer = await jetstream(connection, { checkAPI: false }).consumers.get(STREAM, start);
    for await (const message of await consumer.consume()) {
      const { headers, seq } = message;
      // Another client published a message without these, or one that is listed.
      if (!headers?.has('ce-id') || !headers.has('ce-logindex')) continue;
      if (this.excluded.some(([first, last]) => first <= seq && seq <= last)) continue;
      const names = ['id', 'logindex', 'time', 'type', 'subject'];
      const event = Object.fromEntries(names.map((name) => [name, headers.get(`ce-${name}`)]));
      this.verifier.take(this.deny, { ...event, data: message.json() } as CloudEvent);
      this.count();
    }
  }

  async readHeartbeats(heartbeats: Subscription): Promise<void> {
    for await (const message of heartbeats) {
      this.heard = clock();
      const { publisher, logindex, elapsed_ms: elapsed } = message.json<{ publisher: string; logindex: string; elapsed_ms: number }>();
      // The clocks of both sides are not compared. The heartbeat with the least delay says best when the publisher began.
      const base = Math.min(this.bases.get(publisher) ?? Infinity, clock() - elapsed);
      this.bases.set(publisher, base);
      this.waiting.push({ logIndex: Number(logindex), asOf: base + elapsed });
      this.count();
    }
  }

  /** Ends if there are no heartbeats, or no events that heartbeats name. */
  async watch(): Promise<void> {
    for (let [position, moved] = [this.deny.position, clock()]; ; await sleep(TIMEOUT / 10)) {
      if (this.waiting.length === 0 || this.deny.position !== position) [position, moved] = [this.deny.position, clock()];
      if (clock() - Math.min(moved, this.heard) > TIMEOUT) throw new Error('NATS is silent');
    }
  }

  private count(): void {
    const reached = this.deny.position?.index ?? 0;
    const counted = this.waiting.filter(({ logIndex }) => logIndex <= reached).at(-1);
    if (!counted) return;
    this.waiting = this.waiting.filter(({ logIndex }) => logIndex > reached);
    this.verifier.noteCurrent(this.deny, counted.logIndex, counted.asOf);
  }
}
