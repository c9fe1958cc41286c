// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Time ranges of the pages that look back: relative ones move on, absolute ones stay. In the URL: from=-1h, or from=…&to=… in ms.

import { dateTime } from './format';
import { oldest } from './oldest';

export interface Range {
  from: string;
  to?: string;
}

export const PRESETS = [
  ['-5m', '5 m'],
  ['-15m', '15 m'],
  ['-1h', '1 h'],
  ['-6h', '6 h'],
  ['-24h', '24 h'],
  ['-7d', '7 d'],
  ['-30d', '30 d'],
] as const;

const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Without a range in the URL, `fallback`; a shorter one, but not below `least`, where it reaches back to the oldest data. */
export function rangeOf(query: URLSearchParams, fallback = '-1h', least = '-5m'): Range {
  const from = query.get('from') ?? fitting(fallback, least);
  return { from, to: query.get('to') ?? undefined };
}

function fitting(fallback: string, least: string, now = Date.now()): string {
  const since = oldest.get();
  if (since === undefined) return fallback;
  const names = PRESETS.map(([v]) => v as string);
  return names.slice(names.indexOf(least), names.indexOf(fallback)).find((v) => moment(v, now) <= since) ?? fallback;
}

/** Unix ms of one end. */
export function moment(text: string | undefined, now = Date.now()): number {
  if (!text) return now;
  const m = /^-(\d+)([smhd])$/.exec(text);
  if (m) return now - Number(m[1]) * UNITS[m[2]!]!;
  const n = Number(text);
  return Number.isFinite(n) ? n : now;
}

export const bounds = (r: Range, now = Date.now()): [number, number] => [moment(r.from, now), moment(r.to, now)];

/** What the REST interface is asked for. */
export function apiRange(r: Range): { start: string; end?: string } {
  const one = (t: string) => (/^-\d+[smhd]$/.test(t) ? t : new Date(moment(t)).toISOString());
  return r.to ? { start: one(r.from), end: one(r.to) } : { start: one(r.from) };
}

/** A step that gives about `points` points, of a round length. */
export function step(r: Range, points = 60, least = 1000): { ms: number; text: string } {
  const [a, b] = bounds(r);
  const raw = Math.max(least, (b - a) / points);
  const nice = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400].map((s) => s * 1000);
  const ms = nice.find((n) => n >= raw) ?? 86_400_000;
  return { ms, text: `${ms / 1000}s` };
}

export const describe = (r: Range): string => (r.to ? `${dateTime(moment(r.from))} – ${dateTime(moment(r.to))}` : (PRESETS.find(([v]) => v === r.from)?.[1] ?? `since ${dateTime(moment(r.from))}`));

// Records may come later than their time says.
const LATE = 10_000;

/** How often what a time range holds is asked for again: while it may still grow. */
export const whileGrowing = (to: number | undefined) => (): number | false => (to === undefined || Date.now() < to + LATE ? 5000 : false);

/**
 * Placeholder data for a query whose key ends with its parameters: what is shown stays while only the begin has moved, as that of a
 * relative range does by itself when the data grow older than it. Anything else that is asked anew must not show the old answer.
 */
export function whileMoving(params: object): <T>(old: T | undefined, before?: { queryKey: readonly unknown[] }) => T | undefined {
  const timeless = (p: unknown) => JSON.stringify({ ...(p as object), start: undefined, step: undefined });
  return (old, before) => (before && timeless(before.queryKey.at(-1)) === timeless(params) ? old : undefined);
}
