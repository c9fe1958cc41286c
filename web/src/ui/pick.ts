// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Which point of a chart is meant, by a click or by keys. No drawing here.

export type Kind = 'line' | 'bars' | 'stack';
type Column = readonly (number | null | undefined)[];

/** The bucket that x lies in: a bar stands to the right of its time, a point of a line belongs to the nearest time. -1: none. */
export function bucketAt(times: readonly number[], x: number, kind: Kind): number {
  if (times.length === 0) return -1;
  let lo = 0;
  let hi = times.length - 1;
  while (lo < hi) {
    const mid = (lo + hi + 1) >> 1;
    if (times[mid]! <= x) lo = mid;
    else hi = mid - 1;
  }
  if (kind === 'line' && lo + 1 < times.length && Math.abs(times[lo + 1]! - x) < Math.abs(times[lo]! - x)) return lo + 1;
  return lo;
}

/**
 * The series that a click at a value means: of lines the nearest, of bars and stacks the one whose bar is hit. Columns are as drawn,
 * stacks summed up. -1 when no series has a value there.
 */
export function seriesAt(columns: readonly Column[], bucket: number, value: number, kind: Kind): number {
  let best = -1;
  let least = Infinity;
  columns.forEach((c, i) => {
    const v = c[bucket];
    if (v === null || v === undefined || (kind !== 'line' && v <= 0)) return;
    // Above all bars the highest is meant.
    const away = kind === 'line' ? Math.abs(v - value) : v >= value ? v - value : 1e12 - v;
    // Of equal ones the one drawn last lies on top.
    if (away <= least) {
      best = i;
      least = away;
    }
  });
  return best;
}

// A bar of nothing is no point: there is nothing behind it to open.
const isPoint = (v: number | null | undefined, kind: Kind) => v !== null && v !== undefined && (kind === 'line' || v > 0);

/** The bucket with a value that is nearest to a time. -1 when the series has none. */
export function nearest(times: readonly number[], column: Column, time: number, kind: Kind): number {
  let best = -1;
  for (let i = 0; i < times.length; i++) if (isPoint(column[i], kind) && (best < 0 || Math.abs(times[i]! - time) < Math.abs(times[best]! - time))) best = i;
  return best;
}

/** Where a key leads from a point: left and right to the next bucket with a value, up and down to another series. */
export function moved(columns: readonly Column[], from: { bucket: number; series: number }, key: string, kind: Kind): { bucket: number; series: number } {
  const buckets = Math.max(0, ...columns.map((c) => c.length));
  const has = (b: number, s: number) => isPoint(columns[s]?.[b], kind);
  const walk = (b: number, by: 1 | -1) => {
    for (; b >= 0 && b < buckets; b += by) if (has(b, from.series)) return { ...from, bucket: b };
    return from;
  };
  switch (key) {
    case 'ArrowRight':
      return walk(from.bucket + 1, 1);
    case 'ArrowLeft':
      return walk(from.bucket < 0 ? buckets - 1 : from.bucket - 1, -1);
    case 'Home':
      return walk(0, 1);
    case 'End':
      return walk(buckets - 1, -1);
    case 'ArrowUp':
    case 'ArrowDown': {
      const by = key === 'ArrowUp' ? -1 : 1;
      for (let n = 1; n <= columns.length; n++) {
        const s = (from.series + by * n + columns.length * n) % columns.length;
        if (from.bucket < 0 || has(from.bucket, s)) return { ...from, series: s };
      }
      return from;
    }
    default:
      return from;
  }
}
