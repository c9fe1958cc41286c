// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Which series of a metric are drawn, and in which order.

import type { Series } from '../api/types';

// A bucket that is not over has not all of its sum: the line would always end in a fall.
const SUMMED = new Set(['sum', 'count', 'rate']);

export function complete(list: Series[], aggregate: string, now = Date.now()): Series[] {
  if (!SUMMED.has(aggregate)) return list;
  return list.map((s) => {
    const over = s.points.filter((p) => p[0] + s.every <= now);
    // Of what has just begun it is all there is.
    return { ...s, points: over.some((p) => p[1]) ? over : s.points };
  });
}

/** The highest last value first. */
export const byLast = (list: Series[]): Series[] => [...list].sort((a, b) => (b.points.at(-1)?.[1] ?? 0) - (a.points.at(-1)?.[1] ?? 0));

const MOST = 8;

/**
 * The first of them, each where it was among those drawn before, whatever its value is now: colours, and the place of the keyboard, go by
 * it. New ones take the places of those that are gone, by their labels.
 */
export function drawn(rows: Series[], before: Series[] = []): Series[] {
  const most = rows.slice(0, MOST);
  const known = new Set(before.map((s) => s.label));
  const fresh = most.filter((s) => !known.has(s.label)).sort((a, b) => a.label.localeCompare(b.label));
  const places = before.map((was) => most.find((s) => s.label === was.label) ?? fresh.shift());
  return [...places, ...fresh].filter((s) => s !== undefined);
}
