// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The tools that were called: how often, how often in vain, and how long that took. Tokens are those that a tool's own span carries: the models
// that it calls have spans of their own.

import { useQuery as useData } from '@tanstack/react-query';
import { useMemo } from 'react';
import { get } from '../api/client';
import type { Raw } from '../api/decode';
import { scopeOf, scopeParams } from '../api/params';
import { duration, whole } from '../lib/format';
import { apiRange, bounds, rangeOf, step, whileMoving } from '../lib/range';
import { useQuery } from '../lib/router';
import { Chart } from '../ui/Chart';
import { ErrorNote } from '../ui/ui';
import { CALLS, combine, tools } from './sums';

export function Tools() {
  const [q, set] = useQuery();
  const range = rangeOf(q, '-24h', '-6h'); // as the page around it
  const params = { ...scopeParams(scopeOf(q)), ...apiRange(range), group_by: 'tool', step: step(range, 48, 3_600_000).text };
  const data = useData({ queryKey: ['tools', params], queryFn: ({ signal }) => get<Raw>('/stats/usage', params, signal), refetchInterval: 30_000, placeholderData: whileMoving(params) });
  const rows = useMemo(() => (data.data ? tools(data.data) : []), [data.data]);
  const calls = useMemo(() => (data.data ? combine(data.data, CALLS) : []), [data.data]);
  if (rows.length === 0) return data.error ? <ErrorNote error={data.error} what="Tools" retry={() => void data.refetch()} /> : null;
  const tokens = rows.some((t) => t.tokens > 0);
  return (
    <section className="panel scroll-x" aria-label="Tools">
      <header>
        <h2>Tools</h2>
        <span className="soft">{whole(rows.reduce((n, t) => n + t.calls, 0))} calls</span>
      </header>
      <Chart series={calls} kind="stack" label="Calls of tools over time; drag to narrow" height={140} format={whole} range={bounds(range)} onBrush={(a, b) => set({ from: Math.round(a), to: Math.round(b) })} />
      <table className="table">
        <thead>
          <tr>
            <th>Tool</th>
            <th className="num">Calls</th>
            <th className="num">Failed</th>
            <th className="num">Mean</th>
            <th className="num">Together</th>
            {tokens && <th className="num">Own tokens</th>}
          </tr>
        </thead>
        <tbody>
          {rows.map((t) => (
            <tr key={t.name}>
              <td className="mono">{t.name}</td>
              <td className="num">{whole(t.calls)}</td>
              <td className={`num${t.failed > 0 ? ' bad' : ''}`}>{whole(t.failed)}</td>
              <td className="num">{duration(t.ms / t.calls)}</td>
              <td className="num">{duration(t.ms)}</td>
              {tokens && <td className="num">{whole(t.tokens)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
