// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from 'vitest';
import { log, series, server, span, traceSpans, traceSummary } from '../src/api/decode';
import { attributeParams } from '../src/api/params';
import { bytes, count, duration, lineTime, millis, money } from '../src/lib/format';
import { apiRange, moment, step } from '../src/lib/range';
import { withQuery } from '../src/lib/router';
import { checks } from '../src/servers/checks';
import { totals } from '../src/usage/sums';

describe('answers', () => {
  it('a span keeps its nanoseconds and its missing end', () => {
    const a = span({ traceId: 't', spanId: 's', parentSpanId: null, name: 'n', start: '2026-01-01T00:00:00.123456789Z', durationMs: 1.5, status: 'Error', attributes: { a: '1' } });
    expect(a.start).toBeCloseTo(Date.parse('2026-01-01T00:00:00.123Z') + 0.456789, 3);
    expect(a.end! - a.start).toBeCloseTo(1.5, 3);
    expect(a).toMatchObject({ parentId: '', status: 'error' });
    expect(span({ start: '2026-01-01T00:00:00Z', state: 'started' }).end).toBeUndefined();
    expect(span({ start: '2026-01-01T00:00:00Z', state: 'orphaned' }).status).toBe('orphan');
  });

  it('spans of a trace, summaries, logs, servers', () => {
    expect(traceSpans({ data: { traceId: 't', spans: [{ spanId: 'a' }, { spanId: 'b' }] } }).map((x) => x.spanId)).toEqual(['a', 'b']);
    expect(traceSummary({ traceId: 't', name: 'n', servers: ['s1'], start: '2026-01-01T00:00:00Z', durationMs: 5, spanCount: 3, errorCount: 1, inputTokens: 2, outputTokens: 3 })).toMatchObject({ server: 's1', spans: 3, errors: 1, tokens: 5 });
    expect(log({ severity: 'warn', body: 'x', time: '2026-01-01T00:00:00Z' })).toMatchObject({ severity: 'warn', signal: 'log' });
    expect(server({ id: 'a', memoryUsageMb: 2, spans: 4 })).toMatchObject({ memory: 2e6, spans: 4, logs: 0 });
  });

  it('series of values and of statistics', () => {
    const t = '2026-01-01T00:00:00Z';
    expect(series({ data: [{ group: { model: 'm' }, points: [{ time: t, value: 1 }, { time: t, value: null }] }], range: { stepMs: 60_000 } })).toEqual([{ label: 'm', every: 60_000, points: [[Date.parse(t), 1], [Date.parse(t), null]] }]);
    expect(series({ data: [{ group: {}, points: [{ time: t, traces: 3, errors: 1 }] }] }, 'errors')[0]!.points[0]![1]).toBe(1);
    expect(totals({ data: [{ group: { model: 'm' }, points: [{ inputTokens: 1, outputTokens: 2, calls: 1, cost: null }, { inputTokens: 3, outputTokens: 4, calls: 1, cost: 0.5 }] }, { group: { model: 'idle' }, points: [{ inputTokens: 0 }] }] })).toEqual([{ name: 'm', input: 4, output: 6, cost: 0.5, calls: 2 }]);
  });
});

describe('numbers and times', () => {
  it.each([[0.00042, '420ns'], [0.42, '420µs'], [1.234, '1.23ms'], [999, '999ms'], [1234, '1.23s'], [35_000, '35s'], [61_000, '1m 1s'], [3_660_000, '1h 1m'], [0.9996, '1.00ms'], [9.996, '10ms'], [999.7, '1.00s'], [9_996, '10s'], [59_960, '1m 0s'], [119_800, '2m 0s'], [3_599_600, '1h 0m'], [86_390_000, '1d 0h'], [172_799_000, '2d 0h'], [-61_000, '-1m 1s'], [NaN, '–']])('%d ms', (ms, text) => expect(duration(ms)).toBe(text));
  it('others', () => {
    expect([count(999), count(1500), count(2_000_000)]).toEqual(['999', '1.5k', '2M']);
    expect(bytes(1536)).toBe('1.5 KiB');
    expect([money(0), money(0.0031), money(1.5)]).toEqual(['$0', '$0.0031', '$1.50']);
    expect(lineTime(Date.parse('2026-01-01T01:02:03.004Z'), 'utc')).toBe('01:02:03.004');
    expect(millis('2026-01-01T00:00:00.000000500Z') - Date.parse('2026-01-01T00:00:00Z')).toBeCloseTo(0.0005, 3);
    expect(millis('never')).toBeNaN();
  });
  it('ranges', () => {
    expect(moment('-15m', 1_000_000)).toBe(100_000);
    expect(apiRange({ from: '-1h' })).toEqual({ start: '-1h' });
    expect(apiRange({ from: '0', to: '1000' })).toEqual({ start: '1970-01-01T00:00:00.000Z', end: '1970-01-01T00:00:01.000Z' });
    expect(step({ from: '-1h' }).ms).toBe(60_000);
    expect(step({ from: '-1h' }, 48, 3_600_000).text).toBe('3600s');
  });
});

describe('requests', () => {
  it('state in the URL', () => {
    expect(withQuery('/live', 'project=a&q=x', { q: '', server: 's 1', split: true })).toBe('/live?project=a&server=s+1&split=1');
  });
  it('attributes', () => {
    expect(attributeParams({ attributes: { a: 'b', c: { exists: true }, d: ['x', 'y'] } })).toEqual({ attribute: ['a=b', 'c', 'd=x'] });
  });
});

describe('advice for a server', () => {
  const now = Date.now();
  const base = server({ id: 's1', project: 'shop', deployment: 'd', state: 'running', lastSeen: new Date(now).toISOString(), logs: 1, spans: 1 });
  const all = { logs: { last: now }, spans: { last: now }, metrics: { last: now }, scores: undefined };
  const what = (s: typeof base, signals?: Parameters<typeof checks>[1]) => checks(s, signals, now).map((c) => c.what);
  it('says what is missing, with what to change', () => {
    expect(what(base, all)).toEqual(['Logs, spans and metrics arrive']);
    expect(what({ ...base, project: 'default' }, all)[0]).toMatch(/names no project/);
    expect(what({ ...base, id: '' }, all)[0]).toMatch(/no server id/);
    expect(what(base, { ...all, spans: undefined })[0]).toBe('No spans, ever');
    expect(what(base, { ...all, spans: { last: now - 3_600_000 } })[0]).toBe('No spans for a while');
    expect(what(base, { ...all, logs: undefined })[0]).toBe('No logs, ever');
    expect(what(base, { ...all, metrics: undefined })[0]).toBe('No metrics, ever');
    expect(what({ ...base, lastSeen: now - 600_000 }, all)[0]).toMatch(/five minutes/);
    for (const c of checks({ ...base, project: 'default', id: '' }, { logs: undefined, spans: undefined, metrics: undefined, scores: undefined }, now)) if (/ever|names no|no server id/.test(c.what)) expect(c.snippet).toBeTruthy();
  });
});
