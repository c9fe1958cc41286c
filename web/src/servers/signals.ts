// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Which signals of a server are in the store: since when, and when last.

import { useQuery as useData } from '@tanstack/react-query';
import { get } from '../api/client';
import { metricName, page, type Raw, str, time } from '../api/decode';
import type { Server } from '../api/types';

export interface Seen {
  first?: number;
  last?: number;
  /** What named the project: an attribute that identity leaves on the record, if any. */
  service?: string;
}

export type Signals = Record<'logs' | 'spans' | 'metrics' | 'scores', Seen | undefined>;

const edge = async (path: string, server: Server, order: 'asc' | 'desc', signal: AbortSignal) => {
  const r = page(await get<Raw>(path, { project: server.project, server: server.id, limit: 1, order, start: '-30d' }, signal), (x) => x).data[0];
  return r ? { ms: time(r, 'time', 'start'), service: str(r, 'service') } : undefined;
};

async function seen(path: string, server: Server, signal: AbortSignal): Promise<Seen | undefined> {
  const [first, last] = await Promise.all([edge(path, server, 'asc', signal), edge(path, server, 'desc', signal)]);
  return last ? { first: first?.ms, last: last.ms, service: last.service } : undefined;
}

export function useSignals(server: Server) {
  return useData({
    queryKey: ['signals', server.project, server.id],
    queryFn: async ({ signal }): Promise<Signals> => {
      const [logs, spans, scores, metrics] = await Promise.all([
        seen('/logs', server, signal),
        seen('/spans', server, signal),
        seen('/scores', server, signal),
        get<Raw>('/metrics', { project: server.project, server: server.id, start: '-7d' }, signal).then((a) => page(a, metricName).data),
      ]);
      const last = Math.max(0, ...metrics.map((m) => m.lastSeen ?? 0));
      return { logs, spans, scores, metrics: metrics.length > 0 ? { last: last || undefined } : undefined };
    },
    enabled: server.id !== '',
    refetchInterval: 10_000,
  });
}
