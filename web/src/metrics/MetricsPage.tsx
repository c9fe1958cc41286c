// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Metrics: any of them over time, grouped by an attribute.

import { useQuery as useData } from '@tanstack/react-query';
import { useMemo, useRef, useState } from 'react';
import { get } from '../api/client';
import { metricName, page, type Raw, series } from '../api/decode';
import { scopeOf, scopeParams } from '../api/params';
import type { MetricName, Series } from '../api/types';
import { bytes, count, duration } from '../lib/format';
import { apiRange, bounds, rangeOf, step, whileMoving } from '../lib/range';
import { useQuery } from '../lib/router';
import { waysOf } from '../traces/ways';
import { Behind, NO_POINT, openPoint, pointOf } from '../traces/Behind';
import { otlpEndpoint } from '../lib/snippets';
import { Chart } from '../ui/Chart';
import { ScopePicker } from '../ui/ScopePicker';
import { TimeRange } from '../ui/TimeRange';
import { Empty, ErrorNote, Loading, Snippet } from '../ui/ui';
import { byLast, complete, drawn } from './lines';

const AGGREGATES = ['avg', 'sum', 'min', 'max', 'count', 'rate', 'p50', 'p90', 'p99'] as const;

/** What one usually wants to see of a kind of metric. */
export const usual = (m: MetricName | undefined): string => (!m ? 'avg' : m.type === 'histogram' || m.type === 'exponential_histogram' ? 'p90' : m.type === 'sum' && m.monotonic ? 'rate' : 'avg');

export function unitFormat(unit: string): (v: number) => string {
  if (unit === 'By') return bytes;
  if (unit === 's') return (v) => duration(v * 1000);
  if (unit === 'ms') return duration;
  return count;
}

export function MetricsPage() {
  const [q, set] = useQuery();
  const [find, setFind] = useState('');
  const range = rangeOf(q);
  const asked = { ...scopeParams(scopeOf(q)), ...apiRange(range) };
  const names = useData({ queryKey: ['metrics', asked], queryFn: async ({ signal }) => page(await get<Raw>('/metrics', asked, signal), metricName).data, refetchInterval: range.to ? false : 30_000, placeholderData: whileMoving(asked) });
  const list = (names.data ?? []).filter((m) => m.name.toLowerCase().includes(find.toLowerCase()));
  const name = q.get('name') ?? list[0]?.name ?? '';
  const metric = names.data?.find((m) => m.name === name);
  const aggregate = q.get('agg') ?? usual(metric);
  const by = q.get('by') ?? '';
  return (
    <>
      <div className="page-bar">
        <h1>Metrics</h1>
        <ScopePicker />
        <span className="grow" />
        <TimeRange />
      </div>
      <div className="metrics">
        <nav className="metric-names" aria-label="Metrics">
          <input className="input" data-filter placeholder="Find a metric" aria-label="Find a metric" value={find} onChange={(e) => setFind(e.target.value)} />
          <ul>
            {list.map((m) => (
              <li key={`${m.name} ${m.type}`}>
                <button type="button" aria-current={m.name === name} onClick={() => set({ name: m.name, agg: null, by: null, ...NO_POINT })}>
                  <span className="ellipsis mono" title={m.description}>{m.name}</span>
                  <span className="faint">{m.type.replace('exponential_histogram', 'exp. histogram')}{m.unit && ` · ${m.unit}`}</span>
                </button>
              </li>
            ))}
          </ul>
        </nav>
        <div className="page">
          <div className="page-body">
            {names.isPending && <Loading what="Looking for metrics" query={['metrics']} />}
            {names.error && <ErrorNote error={names.error} what="Metrics" retry={() => void names.refetch()} />}
            {names.data?.length === 0 && (
              <Empty title="No metrics in this time">
                <p className="soft">Any OpenTelemetry SDK sends metrics here; Prometheus endpoints can be scraped by the collector's own receiver.</p>
                <Snippet text={`export OTEL_EXPORTER_OTLP_ENDPOINT=${otlpEndpoint()}\nexport OTEL_METRICS_EXPORTER=otlp`} />
              </Empty>
            )}
            {/* What is shown of it goes by its kind: a chart of anything else would be taken away under the reader's hands. */}
            {name && !names.isPending && (
              <section className="panel" aria-label={name}>
                <header className="metric-head">
                  <h2 className="mono ellipsis">{name}</h2>
                  <span className="soft ellipsis grow">{metric?.description}</span>
                  <label className="row soft">
                    show
                    <select className="select" value={aggregate} onChange={(e) => set({ agg: e.target.value, ...NO_POINT })}>
                      {AGGREGATES.map((a) => (
                        <option key={a}>{a}</option>
                      ))}
                    </select>
                  </label>
                  <label className="row soft">
                    by
                    <GroupBy key={by} value={by} onChange={(v) => set({ by: v, ...NO_POINT })} />
                  </label>
                </header>
                <MetricChart name={name} type={metric?.type} unit={aggregate === 'count' ? '' : (metric?.unit ?? '')} aggregate={aggregate} by={by} />
              </section>
            )}
          </div>
        </div>
      </div>
    </>
  );
}

// Any attribute can be grouped by; those of the conventions are offered.
const KNOWN = ['project', 'deployment', 'server', 'service', 'gen_ai.request.model', 'gen_ai.token.type', 'gen_ai.operation.name', 'gen_ai.agent.name', 'outcome', 'http.route', 'http.response.status_code', 'error.type', 'process.pid'];

function GroupBy({ value, onChange }: { value: string; onChange: (v: string) => void }) {
  const [text, setText] = useState(value);
  return (
    <>
      <input className="input" list="group-by" placeholder="nothing" value={text} onChange={(e) => setText(e.target.value)} onBlur={() => text !== value && onChange(text.trim())} onKeyDown={(e) => e.key === 'Enter' && onChange(text.trim())} />
      <datalist id="group-by">
        {KNOWN.map((k) => (
          <option key={k} value={k} />
        ))}
      </datalist>
    </>
  );
}

function MetricChart({ name, type, unit, aggregate, by }: { name: string; type?: string; unit: string; aggregate: string; by: string }) {
  const [q, set] = useQuery();
  const range = rangeOf(q);
  const point = pointOf(q);
  const params = { ...scopeParams(scopeOf(q)), ...apiRange(range), name, type, aggregate, group_by: by || undefined, step: step(range, 120).text };
  const data = useData({ queryKey: ['metric-series', params], queryFn: async ({ signal }) => complete(series(await get<Raw>('/metrics/series', params, signal)), aggregate).map((s) => ({ ...s, label: s.label || aggregate })), refetchInterval: range.to ? false : 10_000, placeholderData: whileMoving(params) });
  const rows = useMemo(() => byLast(data.data ?? []), [data.data]);
  const before = useRef<Series[]>([]);
  const shown = useMemo(() => (before.current = drawn(rows, before.current)), [rows]);
  const format = unitFormat(unit);
  if (data.error) return <div className="body"><ErrorNote error={data.error} retry={() => void data.refetch()} /></div>;
  if (!data.data) return <div className="body"><Loading what="Asking for the series" query={['metric-series']} /></div>;
  return (
    <>
      <Chart series={shown} label={`${aggregate} of ${name}`} height={300} format={format} range={bounds(range)} shown={point && [point.from, point.to]} onPoint={(ms, s) => set(openPoint(ms, s))} onBrush={(a, b) => set({ from: Math.round(a), to: Math.round(b), ...NO_POINT })} />
      {point && <Behind point={point} ways={by ? waysOf(by, point.of) : []} what={name} />}
      {rows.length > 1 && (
        <table className="table">
          <thead>
            <tr>
              <th>{by || 'series'}</th>
              <th className="num">least</th>
              <th className="num">mean</th>
              <th className="num">most</th>
              <th className="num">last</th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, 50).map((s) => {
              const v = s.points.map((p) => p[1]).filter((x): x is number => x !== null);
              return (
                <tr key={s.label}>
                  <td>{s.label}</td>
                  <td className="num">{v.length ? format(Math.min(...v)) : '–'}</td>
                  <td className="num">{v.length ? format(v.reduce((a, b) => a + b, 0) / v.length) : '–'}</td>
                  <td className="num">{v.length ? format(Math.max(...v)) : '–'}</td>
                  <td className="num">{v.length ? format(v[v.length - 1]!) : '–'}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
    </>
  );
}
