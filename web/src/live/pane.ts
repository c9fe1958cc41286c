// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// One stream on the page: its subscription, its list, what was dropped and what was loaded from the store. The model behind
// Pane.tsx; it has no React in it.

import { loadSession, session } from '../api/client';
import { cell } from '../lib/store';
import { TailClient, type Connection, type Subscription } from './client';
import type { Look } from './draw';
import { around, before, between, identityOf, type Wanted } from './history';
import type { Filled, Gap, Hello, Severity, TailRecord } from './protocol';
import { gapRow, gapText, noteRow, recordRow, type Row, timeOf } from './row';
import { LogView, type ViewEvents } from './view';

export interface Link {
  state: Connection;
  detail?: string;
  retryAt?: number;
  hello?: Hello;
}

/** The connection that all panes of the page share. */
export const link = cell<Link>({ state: 'closed' });

let client: TailClient | undefined;
/** It stays open from page to page: an idle connection costs nothing, a new one costs the gap. */
export function tail(): TailClient {
  client ??= new TailClient({
    url: `${location.origin.replace(/^http/, 'ws')}/ws`,
    onConnection: (state, detail, retryAt) => {
      link.set({ ...link.get(), state, detail, retryAt });
      // The session has ended, which a page that only listens would not notice: what answers this shows the login.
      if (state === 'login') void loadSession();
    },
    onHello: (hello) => link.set({ ...link.get(), hello }),
    onNotice: (code, message) => console.info(`live tail: ${code}: ${message}`),
  });
  return client;
}

export interface PaneState {
  received: number;
  perSecond: number;
  dropped: number;
  levels: Partial<Record<Severity, number>>;
  behind: number;
  following: boolean;
  selected: number;
  older: 'idle' | 'loading' | 'end' | string;
  problem?: string;
  ready: boolean;
}

const BACKFILL = 2000;
// In how many of the last rows one from the store may be already.
const LOOKED_BACK = 20_000;
const loaded = (row: Row, n: number) => `${gapText(row.gap!)}: ${n} ${n === 1 ? 'record' : 'records'} loaded from the store`;
// A restarted collector loads what its predecessor left before the store can answer for the gap.
const FILL_AFTER_MS = [800, 3000, 8000, 20_000];

// A connection belongs to who opened it: after signing out, or in, another one is made.
session.subscribe(() => {
  if (session.get() !== null) return;
  client?.close();
  client = undefined;
});

export class Pane {
  readonly state = cell<PaneState>({ received: 0, perSecond: 0, dropped: 0, levels: {}, behind: 0, following: true, selected: 0, older: 'idle', ready: false });
  readonly view: LogView;
  /** Attributes, services and names seen, for completion. */
  readonly seen = { attributes: new Map<string, Set<string>>(), services: new Set<string>(), names: new Set<string>(), events: new Set<string>() };
  private sub: Subscription | undefined;
  wanted: Wanted = { scope: {}, filter: {} };
  private readonly abort = new AbortController();
  private readonly ticker: ReturnType<typeof setInterval>;
  private levels: Partial<Record<Severity, number>> = {};
  private received = 0;
  private dropped = 0;
  private reported = 0;
  private hidden = new Set<string>();
  private older: PaneState['older'] = 'idle';
  /** The gap that the server is filling, and with how many records so far. */
  private filling: Row | undefined;
  private fillingCount = 0;
  /** What is older than the first line, as it comes: shown at once, when all of it is there. */
  private early: TailRecord[] = [];

  constructor(host: HTMLElement, look: Look, onOpen: (row: Row) => void) {
    const events: ViewEvents = {
      follow: (following) => this.patch({ following }),
      open: onOpen,
      selection: (selected) => this.patch({ selected }),
      top: () => void this.loadOlder(),
      fill: (row) => void this.fill(row, 0),
      behind: (behind) => this.behindNow(behind),
    };
    this.view = new LogView(host, look, events);
    this.ticker = setInterval(() => this.tick(), 500);
  }

  destroy(): void {
    this.sub?.close();
    this.abort.abort();
    clearInterval(this.ticker);
    this.view.destroy();
  }

  /** Streams what is wanted, from the beginning of what the rings hold. */
  stream(channel: string, wanted: Wanted): void {
    this.reset(wanted);
    this.sub = tail().subscribe(
      { channel, filter: wanted.filter, backfill: { records: BACKFILL, older: 'after' } },
      {
        records: (records) => this.take(records),
        gap: (gap) => this.gap(gap),
        stored: (records) => this.takeStored(records),
        older: (records) => this.early.push(...records),
        filled: (end) => this.filled(end),
        ready: ({ older }) => {
          this.patch({ ready: true, problem: undefined });
          if (older) this.setOlder('loading');
        },
        error: (code, message) => this.patch({ problem: `${message} (${code})` }),
      },
    );
  }

  /** Shows the lines around one, out of the store. */
  async context(uid: string): Promise<void> {
    this.reset({ scope: {}, filter: {} });
    this.view.setFollowing(false);
    this.older = 'end';
    try {
      const records = await around(uid, this.abort.signal);
      const rows = records.map((r) => recordRow(r));
      this.view.append(rows);
      const at = rows.find((r) => r.record?.uid === uid);
      if (at) requestAnimationFrame(() => this.view.reveal(at.key));
      this.patch({ ready: true, problem: records.length === 0 ? 'This line is not in the store: not loaded yet, or removed by retention.' : undefined });
    } catch (e) {
      this.failed(e);
    }
  }

  hide(levels: string[]): void {
    this.hidden = new Set(levels);
    this.view.setHidden((row) => row.kind === 'record' && row.record!.signal === 'log' && this.hidden.has(row.level));
  }

  note(text: string): void {
    this.view.append([noteRow(text, Date.now())]);
  }

  private reset(wanted: Wanted): void {
    this.sub?.close();
    this.sub = undefined;
    this.wanted = wanted;
    this.levels = {};
    this.received = this.dropped = this.reported = 0;
    this.older = 'idle';
    this.filling = undefined;
    this.early = [];
    this.view.clear();
    this.view.setFollowing(true);
    this.state.set({ ...this.state.get(), received: 0, dropped: 0, levels: {}, perSecond: 0, problem: undefined, ready: false, older: 'idle', selected: 0 });
  }

  private take(records: TailRecord[]): void {
    const rows: Row[] = [];
    for (const r of records) {
      const row = recordRow(r);
      row.hidden = this.hidden.size > 0 && r.signal === 'log' && this.hidden.has(row.level);
      if (r.signal === 'log') this.levels[row.level] = (this.levels[row.level] ?? 0) + 1;
      rows.push(row);
    }
    this.received += records.length;
    // A sample is enough to complete from, and costs nothing at 20,000 a second.
    for (let i = 0; i < records.length; i += Math.max(1, records.length >> 4)) this.learn(records[i]!);
    this.view.append(rows);
  }

  // The server begins a little before what was seen last, to be sure.
  private takeStored(records: TailRecord[]): void {
    const from = Math.min(...records.map(timeOf));
    const have = new Set<string>();
    this.view.lines.walk(Math.max(0, this.view.lines.count - LOOKED_BACK), (r) => {
      if (r.record && r.ms >= from) have.add(identityOf(r.record));
      return true;
    });
    const fresh = records.filter((r) => !have.has(identityOf(r)));
    this.fillingCount += fresh.length;
    this.take(fresh);
  }

  private filled(end: Filled): void {
    if (end.older) {
      this.prepend(this.early);
      this.early = [];
      this.setOlder('idle'); // the rest, and what is not complete, when somebody scrolls there
      return;
    }
    const row = this.filling;
    this.filling = undefined;
    if (!row) return;
    if (!end.complete) return void this.fill(row, 0);
    row.text = loaded(row, this.fillingCount);
    this.view.changed(row);
  }

  private learn(r: TailRecord): void {
    if (r.service) this.seen.services.add(r.service);
    if (r.name && this.seen.names.size < 500) this.seen.names.add(r.name);
    if (r.eventName) this.seen.events.add(r.eventName);
    for (const [k, v] of Object.entries(r.attributes ?? {})) {
      let values = this.seen.attributes.get(k);
      if (!values) {
        if (this.seen.attributes.size > 500) continue;
        this.seen.attributes.set(k, (values = new Set()));
      }
      if (values.size < 50 && (typeof v === 'string' || typeof v === 'number' || typeof v === 'boolean') && String(v).length <= 60) values.add(String(v));
    }
  }

  private gap(gap: Gap): void {
    if (gap.dropped) this.dropped += gap.dropped;
    const n = this.view.lines.count;
    const row = gapRow(gap, n > 0 ? (this.view.lines.at(n - 1)?.ms ?? Date.now()) : Date.now());
    this.view.append([row]);
    if (gap.filling) {
      this.filling = row;
      this.fillingCount = 0;
    } else if (gap.reason === 'restart' || gap.reason === 'evicted') setTimeout(() => void this.fill(row, 0), FILL_AFTER_MS[0]);
  }

  /** Loads what a gap lacks. The store may be some seconds behind: it is asked again, then left to the button. */
  async fill(row: Row, attempt: number): Promise<void> {
    if (this.abort.signal.aborted) return;
    const { before: a, after: b } = this.view.around(row.key);
    const from = a?.ms ?? row.ms;
    const to = b && Number.isFinite(b.ms) ? b.ms : Date.now();
    const have = new Set<string>();
    this.view.lines.walk(0, (r) => {
      if (r.record && r.ms >= from - 1 && r.ms <= to + 1) have.add(identityOf(r.record));
      return true;
    });
    try {
      const found = (await between(this.wanted, from, to, this.abort.signal)).filter((r) => !have.has(identityOf(r)));
      if (found.length > 0) {
        this.view.insertAfter(row.key, found.map((r) => recordRow(r)));
        row.text = loaded(row, found.length);
        this.view.changed(row);
        return;
      }
    } catch {
      /* the store is away: tried again below */
    }
    const wait = FILL_AFTER_MS[attempt + 1];
    if (wait) setTimeout(() => void this.fill(row, attempt + 1), wait);
    else {
      row.text = `${gapText(row.gap!)}: the store has nothing of it yet`;
      this.view.changed(row);
    }
  }

  async loadOlder(): Promise<void> {
    if (this.older === 'loading' || this.older === 'end' || !this.state.get().ready) return;
    const first = this.view.lines.at(0);
    if (!first || !Number.isFinite(first.ms)) return;
    this.setOlder('loading');
    try {
      const have = new Set<string>();
      this.view.lines.walk(0, (r) => {
        if (r.record) have.add(identityOf(r.record));
        return r.ms <= first.ms + 1000;
      });
      const { records, more } = await before(this.wanted, first.ms, this.abort.signal);
      const fresh = records.filter((r) => !have.has(identityOf(r)) && timeOf(r) <= first.ms);
      this.prepend(fresh);
      this.setOlder(more && fresh.length > 0 ? 'idle' : 'end');
    } catch (e) {
      if ((e as Error).name !== 'AbortError') this.setOlder((e as Error).message);
    }
  }

  private prepend(records: TailRecord[]): void {
    // Keys rise with the index, so the newest of the older rows is made first.
    const rows = [...records].reverse().map((r) => recordRow(r, true)).reverse();
    for (const row of rows) row.hidden = row.record!.signal === 'log' && this.hidden.has(row.level);
    this.view.prepend(rows);
  }

  retryOlder(): void {
    this.setOlder('idle');
    void this.loadOlder();
  }

  private setOlder(older: PaneState['older']): void {
    this.older = older;
    this.patch({ older });
  }

  private failed(e: unknown): void {
    if ((e as Error).name !== 'AbortError') this.patch({ problem: (e as Error).message, ready: true });
  }

  private pendingBehind = 0;
  private behindNow(n: number): void {
    this.pendingBehind = n;
    if (n === 0) this.patch({ behind: 0 });
  }

  // Counters change the page twice a second, however many records come.
  private tick(): void {
    const perSecond = (this.received - this.reported) * 2;
    this.reported = this.received;
    const s = this.state.get();
    if (s.received === this.received && s.perSecond === perSecond && s.dropped === this.dropped && s.behind === this.pendingBehind) return;
    this.patch({ received: this.received, perSecond, dropped: this.dropped, levels: { ...this.levels }, behind: this.pendingBehind });
  }

  private patch(p: Partial<PaneState>): void {
    this.state.set({ ...this.state.get(), ...p });
  }
}
