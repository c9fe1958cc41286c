// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Tokens and cost, by model, project, server, service or provider; and the tools that were called.

import { useQuery as useData } from '@tanstack/react-query';
import { useMemo } from 'react';
import { get } from '../api/client';
import type { Raw } from '../api/decode';
import { scopeOf, scopeParams } from '../api/params';
import type { Series } from '../api/types';
import { count, money, whole } from '../lib/format';
import { apiRange, bounds, rangeOf, step, whileMoving } from '../lib/range';
import { useQuery } from '../lib/router';
import { waysOf } from '../traces/ways';
import { Behind, NO_POINT, openPoint, pointOf } from '../traces/Behind';
import { Chart } from '../ui/Chart';
import { ScopePicker } from '../ui/ScopePicker';
import { TimeRange } from '../ui/TimeRange';
import { Empty, ErrorNote, Loading, Segmented } from '../ui/ui';
import { combine, COST, INPUT, OUTPUT, totals } from './sums';
import { Tools } from './Tools';

const BY = [['model', 'Model'], ['project', 'Project'], ['server', 'Server'], ['service', 'Service'], ['provider', 'Provider']] as const;
type By = (typeof BY)[number][0];
// The store keeps usage by the hour.
const HOUR = 3_600_000;
const LEAST = '-6h';

export function UsagePage() {
  const [q, set] = useQuery();
  const range = rangeOf(q, '-24h', LEAST);
  const every = step(range, 48, HOUR);
  const point = pointOf(q);
  const by = (q.get('by') as By | null) ?? 'model';
  const params = { ...scopeParams(scopeOf(q)), ...apiRange(range), group_by: by, step: every.text };
  const data = useData({ queryKey: ['usage', params], queryFn: ({ signal }) => get<Raw>('/stats/usage', params, signal), refetchInterval: 30_000, placeholderData: whileMoving(params) });
  const rows = useMemo(() => (data.data ? totals(data.data) : []), [data.data]);
  const tokens = useMemo(() => (data.data ? combine(data.data, [...INPUT, ...OUTPUT]) : []), [data.data]);
  const cost = useMemo(() => (data.data ? combine(data.data, COST) : []), [data.data]);
  const sum = rows.reduce((a, r) => ({ input: a.input + r.input, output: a.output + r.output, cost: a.cost + r.cost, calls: a.calls + r.calls }), { input: 0, output: 0, cost: 0, calls: 0 });
  // Of the cost where there is any, else of the tokens.
  const part = (r: { cost: number; input: number; output: number }) => (sum.cost > 0 ? r.cost / sum.cost : (r.input + r.output) / Math.max(1, sum.input + sum.output));
  const brush = (a: number, b: number) => set({ from: Math.round(a), to: Math.round(b), ...NO_POINT });
  // The first bar begins before the range does.
  const [from, to] = bounds(range);
  const ends: [number, number] = [Math.floor(from / every.ms) * every.ms, to];
  const open = (ms: number, s: Series) => set(openPoint(ms, s));
  const shown: [number, number] | undefined = point && [point.from, point.to];
  return (
    <>
      <div className="page-bar">
        <h1>Usage</h1>
        <ScopePicker />
        <Segmented label="Group by" value={by} onChange={(v) => set({ by: v === 'model' ? null : v, ...NO_POINT })} options={BY} />
        <span className="grow" />
        <TimeRange fallback="-24h" least={LEAST} />
      </div>
      <div className="page">
        <div className="page-body">
          {data.isPending && <Loading what="Adding up tokens" query={['usage']} />}
          {data.error && <ErrorNote error={data.error} what="Usage" retry={() => void data.refetch()} />}
          {data.data && rows.length === 0 && (
            <Empty title="No calls of models in this time">
              <p className="soft">
                Tokens are read from spans of models: <code>gen_ai.usage.input_tokens</code> and <code>gen_ai.usage.output_tokens</code>, as OpenTelemetry's conventions name them. Cost is taken from the span where it has one.
              </p>
            </Empty>
          )}
          {rows.length > 0 && (
            <>
              <dl className="figures">
                {([['Tokens in', whole(sum.input)], ['Tokens out', whole(sum.output)], ['Calls', whole(sum.calls)], ['Cost', sum.cost > 0 ? money(sum.cost) : '']] as const).map(([k, v]) => (
                  <div key={k}>
                    <dt>{k}</dt>
                    {v ? <dd className="num">{v}</dd> : <dd className="nothing" title="The spans report no cost, and the table of prices knows none of these models.">not reported</dd>}
                  </div>
                ))}
              </dl>
              <div className={sum.cost > 0 ? 'two-charts' : ''}>
                <section className="panel" aria-label="Tokens">
                  <header><h2>Tokens</h2></header>
                  <Chart series={tokens} kind="stack" label="Tokens over time; drag to narrow" height={190} format={count} range={ends} shown={shown} onPoint={open} onBrush={brush} />
                </section>
                {sum.cost > 0 && (
                  <section className="panel" aria-label="Cost">
                    <header><h2>Cost</h2></header>
                    <Chart series={cost} kind="stack" label="Cost over time; drag to narrow" height={190} format={money} range={ends} shown={shown} onPoint={open} onBrush={brush} />
                  </section>
                )}
              </div>
              {point && <Behind point={point} ways={waysOf(by, point.of)} what="Usage" />}
              <section className="panel scroll-x" aria-label={`By ${by}`}>
                <table className="table">
                  <thead>
                    <tr>
                      <th>{BY.find(([k]) => k === by)![1]}</th>
                      <th className="num">Calls</th>
                      <th className="num">Tokens in</th>
                      <th className="num">Tokens out</th>
                      <th className="num">Cost</th>
                      <th className="num">A call</th>
                      <th>{sum.cost > 0 ? 'Share of cost' : 'Share of tokens'}</th>
                    </tr>
                  </thead>
                  <tbody>
                    {rows.map((r) => (
                      <tr key={r.name}>
                        <td className="mono">{r.name}</td>
                        <td className="num">{whole(r.calls)}</td>
                        <td className="num">{whole(r.input)}</td>
                        <td className="num">{whole(r.output)}</td>
                        <td className="num">{r.cost > 0 ? money(r.cost) : '–'}</td>
                        <td className="num soft">{r.calls > 0 ? `${count(Math.round((r.input + r.output) / r.calls))} tok` : '–'}</td>
                        <td className="share">
                          <span className="num">{(part(r) * 100).toFixed(part(r) < 0.1 ? 1 : 0)} %</span>
                          <span className="bar"><i style={{ width: `${part(r) * 100}%` }} /></span>
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </section>
            </>
          )}
          <Tools />
        </div>
      </div>
    </>
  );
}
