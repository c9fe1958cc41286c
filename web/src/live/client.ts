// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// A client of tailrace.v1, usable without the rest of the console: it needs a WebSocket and nothing else.
//
//   const tail = new TailClient({ url: 'ws://localhost:4400/ws' });
//   const sub = tail.subscribe({ channel: 'project:shop', backfill: { records: 500 } }, {
//     records: (batch) => …,   // each record once, in the order of the server
//     gap: (gap) => …,         // what is missing at this very place, and why
//   });
//   sub.update({ min_severity: 'warn' });
//   sub.close(); tail.close();
//
// Connections come and go; subscriptions stay. After a reconnect each one resumes behind the last record that it has seen.
// Callbacks run one after the other, never from within a call of this API. Nothing here keeps a record.

import { type Batch, type Filled, type Filter, type Gap, type Hello, type Json, type ServerMessage, type TailRecord, verdict } from './protocol';

export type Connection = 'connecting' | 'open' | 'waiting' | 'login' | 'stopped' | 'closed';

export interface TailOptions {
  url: string;
  /** Sent in the first message; a browser with a session cookie needs none. */
  token?: string;
  /** Called on every change; `detail` says in words what is the matter, `retryAt` (Unix ms) when the next try is made. */
  onConnection?: (state: Connection, detail?: string, retryAt?: number) => void;
  onHello?: (hello: Hello) => void;
  onNotice?: (code: string, message: string) => void;
  /** For tests and for Node before version 22. */
  WebSocket?: new (url: string, protocols: string[]) => WebSocket;
  /** First and greatest wait before another try, in ms. */
  backoff?: { min: number; max: number };
  random?: () => number;
}

export interface Subscribe {
  channel: string;
  filter?: Filter;
  /** `older: 'after'`: what the store adds to `records` does not hold up the rest, and comes to `older`. */
  backfill?: { records?: number; since?: string; older?: 'first' | 'after' };
  max_rate?: number;
}

export interface Handlers {
  records: (records: TailRecord[]) => void;
  gap?: (gap: Gap) => void;
  /** Records that the server read from its store, oldest first; without this they come as `records`. Ones from before may be among them. */
  stored?: (records: TailRecord[]) => void;
  /** Records of the store that stand before all others of the subscription, oldest first, for `older: 'after'`. */
  older?: (records: TailRecord[]) => void;
  filled?: (end: Filled) => void;
  /** The server has accepted it. `recovered`: everything since the last record comes; else a gap was reported before. */
  ready?: (info: { recovered: boolean; resumed: boolean; older: boolean }) => void;
  error?: (code: string, message: string, temporary: boolean) => void;
}

const ACK_EVERY_MS = 500;

/** One subscription; made by TailClient.subscribe. */
export class Subscription {
  /** The server's name for it on this connection. */
  sub: string | number | undefined;
  epoch = '';
  /** Everything up to here was delivered, filtered out or reported as a gap. */
  last = 0;
  /** The server's clock at `last`, when it tells: how far back its store has to be read after a restart. */
  private at: number | undefined;
  /** Where it was before the server began to read its store: cut off meanwhile, it is read again from there. */
  private before: { epoch: string; last: number } | undefined;
  /** Older records are still to come. */
  private older = false;
  private ackedAt = 0;
  private paused = false;

  /** @internal */
  constructor(
    private readonly tail: TailClient,
    public request: Subscribe,
    readonly handlers: Handlers,
  ) {}

  /** Changes filter and rate from here on; what has passed is not filtered again. */
  update(change: { filter?: Filter; max_rate?: number }): void {
    this.request = { ...this.request, ...change };
    if (this.sub !== undefined) this.tail.send('update', { sub: this.sub, ...change });
  }

  pause(): void {
    this.paused = true;
    if (this.sub !== undefined) this.tail.send('pause', { sub: this.sub });
  }

  resume(): void {
    this.paused = false;
    if (this.sub !== undefined) this.tail.send('resume', { sub: this.sub });
  }

  close(): void {
    if (this.sub !== undefined) this.tail.send('unsubscribe', { sub: this.sub });
    this.tail.forget(this);
  }

  /** @internal What to send on a new connection. */
  opening(): Record<string, Json> {
    const { channel, filter, backfill, max_rate } = this.request;
    // What it has is whole from its place on: the older ones are not asked for again.
    if (this.older) this.filled({ records: 0, complete: false, older: true, message: 'The connection was lost meanwhile' });
    const out: Record<string, unknown> = { channel };
    if (filter && Object.keys(filter).length > 0) out.filter = filter;
    if (max_rate) out.max_rate = max_rate;
    if (this.before) ({ epoch: this.epoch, last: this.last } = this.before);
    this.before = undefined;
    if (this.epoch) out.resume = { epoch: this.epoch, seq: this.last, ...(this.at === undefined ? {} : { at: this.at }) };
    else if (backfill) out.backfill = backfill;
    return out as Record<string, Json>;
  }

  /** @internal */
  accepted(p: { sub: string | number; epoch: string; seq: number; recovered?: boolean; gap?: Gap; filling?: boolean; older?: boolean; at?: number }): void {
    const resumed = this.epoch !== '';
    const restarted = resumed && this.epoch !== p.epoch;
    this.sub = p.sub;
    // Of an earlier run the server says 'evicted' too: it can't know more of it. The epoch says more.
    if (p.gap) this.handlers.gap?.({ ...p.gap, reason: restarted ? 'restart' : (p.gap.reason ?? 'evicted'), dropped: p.gap.dropped ?? null, filling: p.filling ?? false });
    // Sequence numbers begin again with the server; what it had and the store has not is lost, and said.
    else if (restarted) this.handlers.gap?.({ after: this.last, last: p.seq, dropped: null, reason: 'restart', filling: p.filling ?? false });
    this.older = p.older ?? false;
    if (p.filling && !this.older) this.before = { epoch: this.epoch, last: this.last };
    else this.at = p.at ?? this.at;
    if (restarted || !resumed) this.last = 0;
    this.epoch = p.epoch;
    if (p.gap && p.gap.last > this.last) this.last = p.gap.last;
    this.handlers.ready?.({ recovered: p.recovered ?? !resumed, resumed, older: this.older });
    if (this.paused) this.tail.send('pause', { sub: this.sub });
  }

  /** @internal */
  filled(end: Filled): void {
    this.before = undefined;
    this.older = false;
    this.handlers.filled?.(end);
  }

  /** @internal */
  batch(b: Batch): void {
    if (b.stored) {
      for (const r of b.records) r.seq ??= 0;
      ((b.older ? this.handlers.older : this.handlers.stored) ?? this.handlers.records)(b.records);
      return;
    }
    this.at = b.at ?? this.at;
    // A hole between ranges would be a record missed silently: never let one pass unmarked.
    if (this.last > 0 && b.after > this.last) this.handlers.gap?.({ after: this.last, last: b.after, dropped: null, reason: 'protocol' });
    const fresh = b.records.length > 0 && b.records[0]!.seq > this.last ? b.records : b.records.filter((r) => r.seq > this.last);
    if (b.last > this.last) this.last = b.last;
    if (fresh.length > 0) this.handlers.records(fresh);
    const now = Date.now();
    if (now - this.ackedAt >= ACK_EVERY_MS && this.sub !== undefined) {
      this.ackedAt = now;
      this.tail.send('ack', { sub: this.sub, seq: this.last });
    }
  }

  /** @internal */
  missed(g: Gap): void {
    if (g.last > this.last) this.last = g.last;
    this.handlers.gap?.(g);
  }
}

export class TailClient {
  private socket: WebSocket | undefined;
  private readonly subs = new Set<Subscription>();
  private readonly pending = new Map<number, Subscription>();
  private nextId = 1;
  private tries = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private watch: ReturnType<typeof setInterval> | undefined;
  private heard = 0;
  private sent = 0;
  private pingMs = 25_000;
  private state: Connection = 'closed';
  private ended = false;

  constructor(private readonly options: TailOptions) {}

  /** Subscribes; connects if need be. The channel need not exist yet. */
  subscribe(request: Subscribe, handlers: Handlers): Subscription {
    const s = new Subscription(this, request, handlers);
    this.subs.add(s);
    if (this.socket?.readyState === 1) this.open(s);
    else this.connect();
    return s;
  }

  /** Tries at once instead of waiting for the back-off. */
  reconnect(): void {
    if (this.ended) return;
    this.tries = 0;
    clearTimeout(this.retry);
    this.retry = undefined;
    this.connect();
  }

  close(): void {
    this.ended = true;
    clearTimeout(this.retry);
    clearInterval(this.watch);
    this.subs.clear();
    this.socket?.close(1000);
    this.socket = undefined;
    this.become('closed');
  }

  /** @internal */
  send(type: string, payload: unknown, id?: number): void {
    if (this.socket?.readyState !== 1) return;
    this.sent = Date.now();
    this.socket.send(JSON.stringify(id === undefined ? { type, payload } : { type, payload, id }));
  }

  /** @internal */
  forget(s: Subscription): void {
    this.subs.delete(s);
    for (const [id, p] of this.pending) if (p === s) this.pending.delete(id);
    s.sub = undefined;
  }

  private connect(): void {
    if (this.ended || this.retry !== undefined || (this.socket && this.socket.readyState <= 1)) return;
    this.become('connecting');
    const Socket = this.options.WebSocket ?? WebSocket;
    const socket = new Socket(this.options.url, ['tailrace.v1']);
    this.socket = socket;
    socket.onopen = () => {
      if (this.options.token) this.send('auth', { token: this.options.token });
      this.heard = Date.now();
      clearInterval(this.watch);
      this.watch = setInterval(() => this.beat(), 5000);
      for (const s of this.subs) this.open(s);
      this.become('open');
    };
    socket.onmessage = (event) => {
      this.heard = Date.now();
      this.receive(String(event.data));
    };
    socket.onclose = (event) => {
      if (this.socket === socket) this.lost(event.code, event.reason);
    };
  }

  private open(s: Subscription): void {
    const id = this.nextId++;
    this.pending.set(id, s);
    this.send('subscribe', s.opening(), id);
  }

  private lost(code: number, reason: string): void {
    clearInterval(this.watch);
    this.socket = undefined;
    this.pending.clear();
    for (const s of this.subs) s.sub = undefined;
    if (this.ended) return;
    switch (verdict(code)) {
      case 'login':
        this.become('login', reason || 'Sign in to see live data');
        return;
      case 'stop':
        this.become('stopped', reason || `The server closed the connection with code ${code}`);
        return;
    }
    const { min, max } = this.options.backoff ?? { min: 300, max: 15_000 };
    // Full jitter: a thousand clients of a restarted server come back spread out.
    const wait = Math.min(max, min * 2 ** Math.min(this.tries++, 10)) * (0.5 + 0.5 * (this.options.random ?? Math.random)());
    this.retry = setTimeout(() => {
      this.retry = undefined;
      this.connect();
    }, wait);
    this.become('waiting', reason || undefined, Date.now() + wait);
  }

  // A connection that died without a word is found by its silence: the server answers a ping at once.
  private beat(): void {
    const now = Date.now();
    if (now - this.heard > this.pingMs * 2) {
      const socket = this.socket;
      this.lost(4000, 'The server has gone silent');
      socket?.close(4000);
    } else if (now - Math.max(this.heard, this.sent) > this.pingMs) this.send('ping', {});
  }

  private receive(text: string): void {
    let m: ServerMessage;
    try {
      m = JSON.parse(text) as ServerMessage;
    } catch {
      this.options.onNotice?.('INVALID_MESSAGE', 'The server sent something that is not JSON');
      return;
    }
    const p = (m.payload ?? {}) as never;
    switch (m.type) {
      case 'hello': {
        const hello = p as Hello;
        if (hello.ping_interval_ms) this.pingMs = hello.ping_interval_ms;
        this.tries = 0;
        this.options.onHello?.(hello);
        break;
      }
      case 'subscribed': {
        const s = this.pending.get(Number(m.id));
        this.pending.delete(Number(m.id));
        if (s && this.subs.has(s)) s.accepted(p);
        else this.send('unsubscribe', { sub: (p as Batch).sub });
        break;
      }
      case 'batch':
        this.find((p as Batch).sub)?.batch(p);
        break;
      case 'filled':
        this.find((p as Batch).sub)?.filled(p);
        break;
      case 'gap':
        this.find((p as Batch).sub)?.missed(p);
        break;
      case 'notice':
        this.options.onNotice?.((p as { code: string }).code, (p as { message: string }).message);
        break;
      case 'error': {
        const e = p as { code: string; message: string; temporary?: boolean };
        const s = m.id === undefined ? undefined : this.pending.get(Number(m.id));
        if (s) {
          this.pending.delete(Number(m.id));
          s.handlers.error?.(e.code, e.message, e.temporary ?? false);
        } else this.options.onNotice?.(e.code, e.message);
        break;
      }
    }
  }

  private find(sub: string | number): Subscription | undefined {
    for (const s of this.subs) if (s.sub === sub) return s;
    return undefined;
  }

  private become(state: Connection, detail?: string, retryAt?: number): void {
    if (state === this.state && state !== 'waiting') return;
    this.state = state;
    this.options.onConnection?.(state, detail, retryAt);
  }
}
