// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// What left the rings is in the store. These queries give it in the form of live records, so that the list can't tell them apart.

import { get } from '../api/client';
import { log, page, type Raw, span } from '../api/decode';
import { logParams, spanParams } from '../api/params';
import type { Scope } from '../api/types';
import type { Filter, TailRecord } from './protocol';
import { timeOf } from './row';

export interface Wanted {
  scope: Scope;
  trace?: string;
  filter: Filter;
}

const PAGE = 300;
const iso = (ms: number) => new Date(ms).toISOString();

const wants = (w: Wanted, s: 'logs' | 'spans') => !w.filter.signals || w.filter.signals.includes(s);

function asRecord(raw: Raw): TailRecord {
  const s = span(raw);
  return {
    seq: 0,
    signal: 'span',
    project: s.project,
    deployment: s.deployment || undefined,
    server: s.server || undefined,
    service: s.service,
    traceId: s.traceId,
    spanId: s.spanId,
    name: s.name,
    start: iso(s.start),
    durationMs: s.end === undefined ? undefined : s.end - s.start,
    status: s.status === 'orphan' ? 'unset' : s.status,
    statusMessage: s.statusMessage,
    attributes: s.attributes,
  };
}

async function logs(w: Wanted, params: Record<string, string | number | undefined>, signal?: AbortSignal) {
  return page(await get<Raw>('/logs', { ...logParams(w.scope, w.filter), trace_id: w.trace, ...params }, signal), log);
}

async function spans(w: Wanted, start: number, end: number, signal?: AbortSignal): Promise<TailRecord[]> {
  if (!wants(w, 'spans')) return [];
  const a = await get<Raw>('/spans', { ...spanParams(w.scope, w.filter), trace_id: w.trace, start: iso(start), end: iso(end), limit: 1000 }, signal);
  return page(a, asRecord).data;
}

// The sort is stable: of the same moment, the order of the lists counts. They come newest first.
const merged = (...newestFirst: TailRecord[][]): TailRecord[] =>
  newestFirst
    .flatMap((list) => [...list].reverse())
    .map((r) => [timeOf(r), r] as const)
    .sort((a, b) => a[0] - b[0])
    .map(([, r]) => r);

/** A page of records before an instant, oldest first. `more` says whether older ones may exist. */
export async function before(w: Wanted, ms: number, signal?: AbortSignal): Promise<{ records: TailRecord[]; more: boolean }> {
  if (!wants(w, 'logs')) {
    const found = await spans(w, ms - 3_600_000, ms, signal);
    return { records: merged(found), more: found.length > 0 };
  }
  // The end is exclusive to the millisecond below; what has the same millisecond is told apart by its uid.
  const p = await logs(w, { end: iso(ms + 1), start: iso(ms - 31 * 86_400_000), limit: PAGE }, signal);
  const oldest = p.data.length > 0 ? Math.min(...p.data.map(timeOf)) : ms - 3_600_000;
  return { records: merged(p.data, await spans(w, oldest, ms, signal)), more: p.more };
}

/** Everything between two instants, oldest first, at most 1,000 logs. */
export async function between(w: Wanted, from: number, to: number, signal?: AbortSignal): Promise<TailRecord[]> {
  const a = wants(w, 'logs') ? (await logs(w, { start: iso(from), end: iso(to + 1), limit: 1000 }, signal)).data : [];
  return merged(a, await spans(w, from, to + 1, signal));
}

/** The lines around one, of the same source, oldest first. */
export async function around(uid: string, signal?: AbortSignal): Promise<TailRecord[]> {
  return merged(page(await get<Raw>('/logs', { around: uid, limit: 200 }, signal), log).data);
}

/** What tells whether two records are the same one. */
export const identityOf = (r: TailRecord): string => r.uid ?? (r.signal === 'span' ? `${r.traceId}/${r.spanId}/${r.end || r.durationMs !== undefined ? 1 : 0}` : `${r.time}/${r.server}/${JSON.stringify(r.body)}`);
