// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Since when there is data at all, so that a fresh installation doesn't show its first minutes at the edge of an empty day. Asked once,
// by the hour, which the store answers out of its rollups.

import { get } from '../api/client';
import { type Raw, series } from '../api/decode';
import { cell } from './store';

/** Unix ms of the oldest data, when it is less than a day old. */
export const oldest = cell<number | undefined>(undefined);

const first = async (path: string, start: string, step: string): Promise<number | undefined> => {
  const times = series(await get<Raw>(path, { start, step }), ['logs', 'traces', 'count']).flatMap((s) => s.points.filter((p) => (p[1] ?? 0) > 0).map((p) => p[0]));
  return times.length > 0 ? Math.min(...times) : undefined;
};

const HOUR = 3_600_000;

/** Fills `oldest`. What can't be known leaves the ranges as they are. */
export async function findOldest(now = Date.now()): Promise<void> {
  try {
    const hour = await first('/stats/traces', '-24h', '3600s');
    if (hour === undefined || now - hour > 23 * HOUR) return;
    // Of a first hour that is hardly over the minute counts.
    oldest.set(now - hour < 2 * HOUR ? ((await first('/stats/traces', '-2h', '60s')) ?? hour) : hour);
  } catch {
    /* no store, or signed out: the usual ranges */
  }
}
