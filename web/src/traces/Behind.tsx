// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// What stands behind one point of a chart: the traces and log records of its bucket, in the same selection. Which point is in the
// URL (at, of), so that it can be shared, and the back button closes it.

import { useQuery as useData } from '@tanstack/react-query';
import { type ReactNode, useEffect, useRef } from 'react';
import { get, type Params } from '../api/client';
import { log, page, type Raw, traceSummary } from '../api/decode';
import { scopeOf, scopeParams } from '../api/params';
import type { Series } from '../api/types';
import { count, dateTime, duration, lineTime } from '../lib/format';
import { whileGrowing } from '../lib/range';
import { navigate, type Patch, useQuery, withQuery } from '../lib/router';
import { colourOf } from '../live/draw';
import { message, timeOf } from '../live/row';
import { AnsiText } from '../ui/AnsiText';
import { Icon } from '../ui/Icon';
import { ErrorNote, IconButton, Link, Loading, Segmented } from '../ui/ui';

export interface Point {
  from: number;
  to: number;
  /** The label of the series. */
  of: string;
}

export function pointOf(q: URLSearchParams): Point | undefined {
  const m = /^(\d+)-(\d+)$/.exec(q.get('at') ?? '');
  const [from, to] = [Number(m?.[1]), Number(m?.[2])];
  return m && from < to && to < 8.64e15 ? { from, to, of: q.get('of') ?? '' } : undefined;
}

export const openPoint = (from: number, { label, every }: Series): Patch => ({ at: `${Math.round(from)}-${Math.round(from + every)}`, of: label, show: null });
export const NO_POINT: Patch = { at: null, of: null, show: null };

/** One way to find the traces of a group: what REST is asked for, and the same for the page of traces. */
export interface Narrowing {
  params: Params;
  patch: Patch;
}

const ALL: Narrowing = { params: {}, patch: {} };
const PAGE = 50;
const iso = (ms: number) => new Date(ms).toISOString();

/**
 * `ways` are tried in turn until one finds traces: conventions differ in which attribute names a model, and the attribute of a metric
 * need not be on any span. `first` is a tab of the page's own, such as the scores of the point.
 */
export function Behind({ point, ways, what, first }: { point: Point; ways: Narrowing[]; what: string; first?: { name: string; content: ReactNode } }) {
  const [q, set] = useQuery();
  const heading = useRef<HTMLHeadingElement>(null);
  const tabs: [string, string][] = [...(first ? ([['first', first.name]] as [string, string][]) : []), ['traces', 'Traces'], ['logs', 'Log records']];
  const tab = tabs.find(([k]) => k === q.get('show'))?.[0] ?? tabs[0]![0];
  const close = () => {
    set(NO_POINT);
    document.querySelector<HTMLElement>('.chart-plot')?.focus();
  };
  // Who opened it by the keyboard goes on in it.
  useEffect(() => {
    if (document.activeElement?.classList.contains('chart-plot') || document.activeElement === document.body) heading.current?.focus({ preventScroll: true });
    heading.current?.closest('section')?.scrollIntoView({ block: 'nearest' });
  }, [point.from, point.of]);
  return (
    <section className="panel behind" aria-label="Behind the point" onKeyDown={(e) => e.key === 'Escape' && close()}>
      <header>
        <h2 ref={heading} tabIndex={-1}>
          {point.of || what}
          <span className="soft num"> {dateTime(point.from).slice(0, -4)} – {lineTime(point.to, 'local').slice(0, 8)}</span>
        </h2>
        <span className="grow" />
        <Segmented label="What of this time" value={tab} onChange={(v) => set({ show: v === tabs[0]![0] ? null : v })} options={tabs} />
        <IconButton icon="close" label="Close (Esc)" small onClick={close} />
      </header>
      {tab === 'first' && first!.content}
      {tab === 'traces' && <Traces point={point} ways={ways} />}
      {tab === 'logs' && <Logs point={point} scope={ways[0]?.params ?? {}} />}
    </section>
  );
}

function Traces({ point, ways }: { point: Point; ways: Narrowing[] }) {
  const [q] = useQuery();
  const base = { ...scopeParams(scopeOf(q)), start: iso(point.from), end: iso(point.to), limit: PAGE };
  const data = useData({
    queryKey: ['behind', base, ways],
    queryFn: async ({ signal }) => {
      const tried = ways.length > 0 ? [...ways, ALL] : [ALL];
      for (const [i, way] of tried.entries()) {
        const found = page(await get<Raw>('/traces', { ...base, ...way.params }, signal), traceSummary);
        if (found.data.length > 0 || i === tried.length - 1) return { ...found, way };
      }
      throw new Error('unreachable');
    },
    refetchInterval: whileGrowing(point.to),
  });
  if (data.error) return <div className="body"><ErrorNote error={data.error} what="Traces" retry={() => void data.refetch()} /></div>;
  if (!data.data) return <div className="body"><Loading what="Looking for the traces behind this point" query={['behind']} /></div>;
  const { data: traces, more, way } = data.data;
  if (traces.length === 0) return <p className="body soft">No trace began in this time. What is not traced may still have printed something: see the log records.</p>;
  const scope = Object.fromEntries(['project', 'deployment', 'server', 'service'].map((k) => [k, q.get(k)]));
  return (
    <>
      {way === ALL && ways.length > 0 && <p className="body soft">No span of this time carries {point.of ? <code>{point.of}</code> : 'this group'}: these are all traces of the selection.</p>}
      <div className="scroll-x">
        <table className="table">
          <thead>
            <tr>
              <th>Trace</th>
              <th>Server</th>
              <th className="num">Spans</th>
              <th className="num">Tokens</th>
              <th className="num">Duration</th>
              <th className="num">Started</th>
            </tr>
          </thead>
          <tbody>
            {traces.map((t) => (
              <tr key={t.traceId} className="opens" onClick={() => navigate(`/traces/${t.traceId}`)}>
                <td>
                  <span className="row">
                    <span className={`dot ${t.errors > 0 ? 'error' : 'ok'}`} title={t.errors > 0 ? `${t.errors} spans with errors` : 'no errors'} />
                    <Link to={`/traces/${t.traceId}`}>{t.name || t.traceId.slice(0, 8)}</Link>
                  </span>
                </td>
                <td className={colourOf(t.server || t.service)}>{t.server || t.service}</td>
                <td className="num">{t.spans}</td>
                <td className="num">{t.tokens ? count(t.tokens) : ''}</td>
                <td className="num">{duration(t.durationMs)}</td>
                <td className="num soft">{lineTime(t.start, 'local')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <footer className="body row">
        <Link className="btn small" to={withQuery('/traces', '', { ...scope, ...way.patch, from: point.from, to: point.to })}>
          <Icon name="traces" /> {more ? `More than ${PAGE}: all of them` : 'Open'} on the page of traces
        </Link>
      </footer>
    </>
  );
}

// Records carry the scope of a group, not its attributes: those are of spans and metrics.
function Logs({ point, scope }: { point: Point; scope: Params }) {
  const [q] = useQuery();
  const { attribute: _, name: __, ...place } = scope;
  const params = { ...scopeParams(scopeOf(q)), ...place, start: iso(point.from), end: iso(point.to), order: 'asc', limit: 200 };
  const data = useData({ queryKey: ['behind-logs', params], queryFn: async ({ signal }) => page(await get<Raw>('/logs', params, signal), log), refetchInterval: whileGrowing(point.to) });
  if (data.error) return <div className="body"><ErrorNote error={data.error} what="Log records" retry={() => void data.refetch()} /></div>;
  if (!data.data) return <div className="body"><Loading what="Looking for log records" query={['behind-logs']} /></div>;
  if (data.data.data.length === 0) return <p className="body soft">Nothing was logged in this time.</p>;
  return (
    <div className="body">
      <ul className="plain-logs mono">
        {data.data.data.map((r, i) => (
          <li key={r.uid ?? i} className={`l-${r.severity}`}>
            <span className="faint">{lineTime(timeOf(r), 'local')}</span> <span className={colourOf(r.server ?? '')}>{r.server}</span> <span className="grow"><AnsiText text={message(r)} /></span>
            {r.traceId && <Link to={`/traces/${r.traceId}${r.spanId ? `/${r.spanId}` : ''}`}>trace</Link>}
          </li>
        ))}
      </ul>
      {data.data.more && <p className="soft">The first 200 of this time.</p>}
    </div>
  );
}
