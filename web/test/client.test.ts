// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import { beforeEach, describe, expect, it, vi } from 'vitest';
import { TailClient } from '../src/live/client';
import type { Gap, TailRecord } from '../src/live/protocol';

class FakeSocket {
  static all: FakeSocket[] = [];
  readyState = 0;
  sent: { type: string; id?: number; payload: Record<string, unknown> }[] = [];
  onopen?: () => void;
  onmessage?: (e: { data: string }) => void;
  onclose?: (e: { code: number; reason: string }) => void;
  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {
    FakeSocket.all.push(this);
  }
  send(text: string) {
    this.sent.push(JSON.parse(text));
  }
  close(code = 1000) {
    this.drop(code);
  }
  accept() {
    this.readyState = 1;
    this.onopen?.();
    this.say('hello', { epoch: 'e1', ping_interval_ms: 25_000 });
  }
  say(type: string, payload: unknown, id?: number) {
    this.onmessage?.({ data: JSON.stringify({ type, payload, id }) });
  }
  drop(code: number, reason = '') {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
  last(type: string) {
    return this.sent.filter((m) => m.type === type).at(-1)!;
  }
}

const record = (seq: number): TailRecord => ({ seq, signal: 'log', project: 'p', time: '2026-01-01T00:00:00Z', body: `line ${seq}` });
const socket = () => FakeSocket.all.at(-1)!;

function setup() {
  const seen: number[] = [];
  const gaps: Gap[] = [];
  const states: string[] = [];
  const client = new TailClient({ url: 'ws://x/ws', WebSocket: FakeSocket as never, backoff: { min: 100, max: 1000 }, random: () => 1, onConnection: (s) => states.push(s) });
  const sub = client.subscribe({ channel: 'project:p', filter: { text: 'x' }, backfill: { records: 10 } }, { records: (r) => seen.push(...r.map((x) => x.seq)), gap: (g) => gaps.push(g) });
  const accepted = (payload: object = {}) => socket().say('subscribed', { sub: 7, epoch: 'e1', seq: 0, recovered: true, ...payload }, socket().last('subscribe').id);
  return { client, sub, seen, gaps, states, accepted };
}

beforeEach(() => {
  FakeSocket.all = [];
  vi.useFakeTimers();
});

describe('TailClient', () => {
  it('subscribes with filter and backfill, and delivers in order', () => {
    const { seen, accepted } = setup();
    socket().accept();
    expect(socket().protocols).toEqual(['tailrace.v1']);
    expect(socket().last('subscribe').payload).toEqual({ channel: 'project:p', filter: { text: 'x' }, backfill: { records: 10 } });
    accepted();
    socket().say('batch', { sub: 7, after: 0, last: 3, records: [record(1), record(3)] });
    socket().say('batch', { sub: 7, after: 3, last: 4, records: [record(4)] });
    expect(seen).toEqual([1, 3, 4]);
  });

  it.each([false, true])('gets what is older after the rest, and does not ask again for it (cut off: %s)', (cut) => {
    const { sub, seen, gaps, accepted } = setup();
    const told: unknown[] = [];
    sub.request = { channel: 'project:p', backfill: { records: 10, older: 'after' } };
    sub.handlers.older = (r) => told.push(r.map((x) => x.body));
    sub.handlers.filled = (f) => told.push(f);
    sub.handlers.ready = (info) => told.push(info);
    socket().accept();
    accepted({ seq: 2, filling: true, older: true, at: 1000 });
    socket().say('batch', { sub: 7, after: 2, last: 3, records: [record(3)] });
    expect(told).toEqual([{ recovered: true, resumed: false, older: true }]);
    if (cut) {
      socket().drop(1006);
      vi.advanceTimersByTime(200);
      socket().accept();
      expect(told.at(-1)).toMatchObject({ complete: false, older: true });
      expect(socket().last('subscribe').payload).toMatchObject({ resume: { epoch: 'e1', seq: 3 } });
    } else {
      socket().say('batch', { sub: 7, after: 3, last: 3, stored: true, older: true, records: [{ ...record(1), seq: undefined }] });
      socket().say('filled', { sub: 7, records: 1, complete: true, signals: ['log'], older: true });
      expect(told.slice(1)).toEqual([['line 1'], expect.objectContaining({ complete: true, older: true })]);
    }
    expect(seen).toEqual([3]);
    expect(gaps).toEqual([]);
  });

  it('leaves out what comes twice', () => {
    const { seen, accepted } = setup();
    socket().accept();
    accepted();
    socket().say('batch', { sub: 7, after: 0, last: 3, records: [record(2), record(3)] });
    socket().say('batch', { sub: 7, after: 1, last: 4, records: [record(2), record(3), record(4)] });
    expect(seen).toEqual([2, 3, 4]);
  });

  it('reports a hole between ranges that nobody announced', () => {
    const { gaps, accepted } = setup();
    socket().accept();
    accepted();
    socket().say('batch', { sub: 7, after: 0, last: 3, records: [record(3)] });
    socket().say('batch', { sub: 7, after: 9, last: 10, records: [record(10)] });
    expect(gaps).toEqual([{ after: 3, last: 9, dropped: null, reason: 'protocol' }]);
  });

  it('reports gaps of the server and goes on behind them', () => {
    const { gaps, seen, accepted } = setup();
    socket().accept();
    accepted();
    socket().say('batch', { sub: 7, after: 0, last: 3, records: [record(3)] });
    socket().say('gap', { sub: 7, after: 3, last: 8, dropped: 5, by_severity: { info: 5 }, reason: 'slow' });
    socket().say('batch', { sub: 7, after: 8, last: 9, records: [record(9)] });
    expect(gaps).toHaveLength(1);
    expect(gaps[0]).toMatchObject({ dropped: 5, reason: 'slow' });
    expect(seen).toEqual([3, 9]);
  });

  it('comes back with back-off and resumes behind the last record', () => {
    const { states, seen, gaps, accepted } = setup();
    socket().accept();
    accepted();
    socket().say('batch', { sub: 7, after: 0, last: 5, records: [record(5)] });
    socket().drop(1006);
    expect(states.at(-1)).toBe('waiting');
    vi.advanceTimersByTime(99);
    expect(FakeSocket.all).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(FakeSocket.all).toHaveLength(2);
    socket().drop(1006); // again: twice the wait
    vi.advanceTimersByTime(199);
    expect(FakeSocket.all).toHaveLength(2);
    vi.advanceTimersByTime(1);
    socket().accept();
    expect(socket().last('subscribe').payload).toEqual({ channel: 'project:p', filter: { text: 'x' }, resume: { epoch: 'e1', seq: 5 } });
    accepted({ seq: 5 });
    socket().say('batch', { sub: 7, after: 5, last: 6, records: [record(6)] });
    expect(seen).toEqual([5, 6]);
    expect(gaps).toEqual([]);
  });

  it('takes what the store fills in, and has it read again when cut off meanwhile', () => {
    const { seen, gaps, accepted } = setup();
    socket().accept();
    accepted({ at: 1000 });
    socket().say('batch', { sub: 7, after: 0, last: 5, at: 2000, records: [record(5)] });
    socket().drop(4490);
    vi.advanceTimersByTime(100);
    for (const cut of [true, false]) {
      socket().accept();
      expect(socket().last('subscribe').payload).toMatchObject({ resume: { epoch: 'e1', seq: 5, at: 2000 } });
      accepted({ epoch: 'e2', seq: 0, at: 9000, filling: true });
      if (!cut) break;
      socket().drop(1006);
      vi.advanceTimersByTime(1000);
    }
    socket().say('batch', { sub: 7, after: 0, last: 0, stored: true, records: [{ ...record(1), seq: undefined }] });
    socket().say('filled', { sub: 7, records: 1, complete: true, signals: ['log'] });
    socket().say('batch', { sub: 7, after: 0, last: 1, at: 9500, records: [record(1)] });
    expect(seen).toEqual([5, 0, 1]);
    expect(gaps).toEqual([expect.objectContaining({ reason: 'restart', filling: true }), expect.objectContaining({ reason: 'restart', filling: true })]);
  });

  it('marks a restart of the server and takes its new numbers', () => {
    const { seen, gaps, accepted } = setup();
    socket().accept();
    accepted();
    socket().say('batch', { sub: 7, after: 0, last: 50, records: [record(50)] });
    socket().drop(4490);
    vi.advanceTimersByTime(100);
    socket().accept();
    accepted({ epoch: 'e2', seq: 0, recovered: false });
    socket().say('batch', { sub: 7, after: 0, last: 2, records: [record(1), record(2)] });
    expect(gaps).toMatchObject([{ reason: 'restart' }]);
    expect(seen).toEqual([50, 1, 2]);
  });

  it('takes what the server reads from its store, and says since when it must be read', () => {
    const { seen, gaps, accepted, sub } = setup();
    const order: unknown[] = [];
    sub.handlers.stored = (r) => order.push(r.map((x) => x.body));
    sub.handlers.filled = (f) => order.push(f.records);
    socket().accept();
    expect(socket().last('subscribe').payload.resume).toBeUndefined();
    accepted({ at: 1000 });
    socket().say('batch', { sub: 7, after: 0, last: 50, at: 2000, records: [record(50)] });
    socket().drop(4490);
    vi.advanceTimersByTime(100);
    socket().accept();
    expect(socket().last('subscribe').payload.resume).toEqual({ epoch: 'e1', seq: 50, at: 2000 });
    accepted({ epoch: 'e2', seq: 0, recovered: false, filling: true, at: 9000 });
    expect(gaps).toMatchObject([{ reason: 'restart', filling: true }]);
    socket().say('batch', { sub: 7, stored: true, records: [{ signal: 'log', project: 'p', body: 'kept' }] });
    socket().say('filled', { sub: 7, records: 1, complete: true, signals: ['log'] });
    socket().say('batch', { sub: 7, after: 0, last: 1, records: [record(1)] });
    expect(order).toEqual([['kept'], 1]);
    expect(seen).toEqual([50, 1]);
    expect(gaps).toHaveLength(1);
  });

  it('reports what left the rings while it was away', () => {
    const { gaps, seen, accepted } = setup();
    socket().accept();
    accepted();
    socket().say('batch', { sub: 7, after: 0, last: 5, records: [record(5)] });
    socket().drop(1006);
    vi.advanceTimersByTime(100);
    socket().accept();
    accepted({ seq: 90, recovered: false, gap: { after: 5, last: 90, dropped: 85, reason: 'evicted', query: ['/api/v1/logs'] } });
    socket().say('batch', { sub: 7, after: 90, last: 91, records: [record(91)] });
    expect(gaps).toMatchObject([{ dropped: 85, reason: 'evicted' }]);
    expect(seen).toEqual([5, 91]);
  });

  it('does not try again when it is not authenticated or not understood', () => {
    for (const [code, state] of [[4401, 'login'], [4403, 'stopped'], [4400, 'stopped']] as const) {
      const { states } = setup();
      socket().accept();
      socket().drop(code);
      vi.advanceTimersByTime(60_000);
      expect(states.at(-1)).toBe(state);
    }
    expect(FakeSocket.all).toHaveLength(3);
  });

  it('finds a dead connection by its silence', () => {
    const { states } = setup();
    socket().accept();
    vi.advanceTimersByTime(31_000);
    expect(socket().last('ping')).toBeDefined();
    vi.advanceTimersByTime(30_000);
    expect(states).toContain('waiting');
  });

  it('tells an error of a subscription to it, and forgets what was closed', () => {
    const error = vi.fn();
    const client = new TailClient({ url: 'ws://x/ws', WebSocket: FakeSocket as never });
    client.subscribe({ channel: 'nonsense' }, { records: () => {}, error });
    socket().accept();
    socket().say('error', { code: 'INVALID_CHANNEL', message: 'no such channel', temporary: false }, socket().last('subscribe').id);
    expect(error).toHaveBeenCalledWith('INVALID_CHANNEL', 'no such channel', false);
    const closed = client.subscribe({ channel: 'project:x' }, { records: () => {} });
    const id = socket().last('subscribe').id!;
    closed.close();
    socket().say('subscribed', { sub: 9, epoch: 'e1', seq: 0 }, id);
    expect(socket().last('unsubscribe').payload).toEqual({ sub: 9 });
  });

  it('survives nonsense', () => {
    const { seen, accepted } = setup();
    socket().accept();
    accepted();
    socket().onmessage?.({ data: 'not json' });
    socket().say('unheard-of', {});
    socket().say('batch', { sub: 99, after: 0, last: 1, records: [record(1)] });
    expect(seen).toEqual([]);
  });
});
