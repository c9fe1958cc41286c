// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The list of traces, with charts that filter by brushing.

import { useVirtualizer } from '@tanstack/react-virtual';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import type { Series, TraceSummary } from '../api/types';
import { ago, count, dateTime, duration, money } from '../lib/format';
import { bounds, rangeOf } from '../lib/range';
import { navigate, useQuery, withQuery } from '../lib/router';
import { FilterBar } from '../live/FilterBar';
import { colourOf } from '../live/draw';
import { sdkEnvironment } from '../lib/snippets';
import { Chart } from '../ui/Chart';
import { ScopePicker } from '../ui/ScopePicker';
import { TimeRange } from '../ui/TimeRange';
import { Empty, ErrorNote, IconButton, Link, Loading, Snippet } from '../ui/ui';
import { useTraces, useTraceStats } from './data';

export function TracesPage() {
  const [q, set] = useQuery();
  const list = useTraces(q);
  const traces = useMemo(() => (list.data?.pages ?? []).flatMap((p) => p.data), [list.data]);
  const [marked, setMarked] = useState<string[]>([]);
  const text = q.get('q') ?? '';
  const setText = useCallback((v: string) => set({ q: v }, { replace: true }), [set]);
  const known = useMemo(
    () => ({
      attributes: () => ['gen_ai.agent.name', 'gen_ai.conversation.id', 'gen_ai.request.model', 'gen_ai.tool.name', 'mastra.metadata.runId', 'http.route', 'user.id'],
      values: (k: string) => [...new Set(k === 'service' ? traces.map((t) => t.service) : k === 'name' ? traces.map((t) => t.name) : [])],
    }),
    [traces],
  );
  const slowest = Math.max(1, ...traces.map((t) => t.durationMs));

  return (
    <>
      <div className="page-bar">
        <h1>Traces</h1>
        <ScopePicker />
        <span className="grow" />
        <TimeRange />
      </div>
      <div className="trace-tools">
        <FilterBar value={text} onChange={setText} known={known} primary placeholder="Filter: words of a name, service:shop-agent, status:error, duration:>1s, @gen_ai.conversation.id=…" />
        <div className="row wrap">
          <button type="button" className="btn small" aria-pressed={text.includes('status:error')} onClick={() => setText(text.includes('status:error') ? text.replace('status:error', '').trim() : `${text} status:error`.trim())}>
            <span className="dot error" /> With errors
          </button>
          {(q.get('min') || q.get('max')) && (
            <span className="tag info">
              {q.get('min') ? duration(Number(q.get('min'))) : '0'} – {q.get('max') ? duration(Number(q.get('max'))) : '∞'}
              <IconButton icon="close" label="Any duration" small onClick={() => set({ min: null, max: null })} />
            </span>
          )}
          <span className="soft num">{list.data ? `${count(traces.length)}${list.hasNextPage ? '+' : ''} traces` : ''}</span>
          <span className="grow" />
          {marked.length > 0 && (
            <>
              <span className="soft">{marked.length === 1 ? 'Mark one more to compare' : 'Two marked'}</span>
              <button type="button" className="btn small" disabled={marked.length !== 2} onClick={() => navigate(withQuery('/traces/compare', '', { a: marked[0], b: marked[1] }))}>
                Compare
              </button>
            </>
          )}
        </div>
      </div>
      <Charts traces={traces} />
      {list.isPending && <div className="page-body"><Loading what="Looking for traces" query={['traces']} /></div>}
      {list.error && <div className="page-body"><ErrorNote error={list.error} retry={() => void list.refetch()} what="Traces" /></div>}
      {list.data && traces.length === 0 && <NoTraces filtered={text !== '' || !!q.get('min')} project={q.get('project') ?? undefined} />}
      {traces.length > 0 && (
        <TraceList
          traces={traces}
          slowest={slowest}
          marked={marked}
          onMark={(id) => setMarked((m) => (m.includes(id) ? m.filter((x) => x !== id) : [...m.slice(-1), id]))}
          onEnd={() => list.hasNextPage && !list.isFetchingNextPage && void list.fetchNextPage()}
        />
      )}
    </>
  );
}

const NO_SERIES: Series[] = [];
const NONE: Series = { label: '', every: 0, points: [] };
const ERRORS = 'spans with errors';

function Charts({ traces }: { traces: TraceSummary[] }) {
  const [q, set] = useQuery();
  const stats = useTraceStats(q);
  const range = rangeOf(q);
  const [now, setNow] = useState(Date.now());
  useEffect(() => setNow(Date.now()), [stats.dataUpdatedAt]);
  const [from, to] = bounds(range, now);
  const volume = useMemo(
    (): Series[] =>
      stats.data
        ? [
            { ...(stats.data.traces[0] ?? NONE), label: 'traces' },
            { ...(stats.data.errors[0] ?? NONE), label: ERRORS },
          ]
        : NO_SERIES,
    [stats.data],
  );
  const dots = useMemo(() => traces.filter((t) => t.durationMs > 0).map((t) => ({ ms: t.start, value: t.durationMs, colour: t.errors > 0 ? '--error' : '--c2', label: t.name || 'root not here yet', id: t.traceId })), [traces]);
  const brush = (a: number, b: number) => set({ from: Math.round(a), to: Math.round(b) });
  // The list is what stands behind a bar: it goes to the time of the bar, of the red one to its failed traces.
  const open = (ms: number, s: Series) => {
    const text = q.get('q') ?? '';
    const failed = s.label === ERRORS && !text.includes('status:error');
    set({ from: ms, to: ms + s.every, ...(failed ? { q: `${text} status:error`.trim() } : {}) });
  };
  return (
    <div className="trace-charts">
      <Chart series={volume} label="Traces over time; drag to narrow, click for the traces of a bar" kind="bars" height={104} format={count} colours={['--c1', '--error']} range={[from, to]} onBrush={brush} onPoint={open} />
      <Chart
        series={NO_SERIES}
        title="duration of the traces below, one dot each; red: with errors"
        label="Duration of the traces in the list; drag to narrow time and duration, click a dot for its trace"
        height={104}
        format={duration}
        dots={dots}
        log={dots.length > 0}
        range={[from, to]}
        brushValues
        onDot={(d) => d.id && navigate(`/traces/${d.id}`)}
        onBrush={(a, b, low, high) => set({ from: Math.round(a), to: Math.round(b), min: low > 0 ? Math.floor(low) : null, max: Math.ceil(high) })}
      />
    </div>
  );
}

function TraceList({ traces, slowest, marked, onMark, onEnd }: { traces: TraceSummary[]; slowest: number; marked: string[]; onMark: (id: string) => void; onEnd: () => void }) {
  const host = useRef<HTMLDivElement>(null);
  const [cursor, setCursor] = useState(0);
  const rows = useVirtualizer({ count: traces.length, getScrollElement: () => host.current, estimateSize: () => 34, overscan: 12, scrollPaddingStart: 28 });
  const items = rows.getVirtualItems();
  const last = items[items.length - 1]?.index ?? 0;
  useEffect(() => {
    if (last >= traces.length - 20) onEnd();
  }, [last, traces.length, onEnd]);
  const key = (e: React.KeyboardEvent) => {
    const by = e.key === 'ArrowDown' || e.key === 'j' ? 1 : e.key === 'ArrowUp' || e.key === 'k' ? -1 : 0;
    if (by !== 0) {
      const next = Math.max(0, Math.min(traces.length - 1, cursor + by));
      setCursor(next);
      rows.scrollToIndex(next);
    } else if (e.key === 'Enter' && e.target === e.currentTarget) navigate(`/traces/${traces[cursor]!.traceId}`);
    else if (e.key === 'x') onMark(traces[cursor]!.traceId);
    else return;
    e.preventDefault();
  };
  const width = (ms: number) => `${Math.max(1, (ms / slowest) * 100)}%`;
  return (
    <div className="trace-list" role="table" aria-label="Traces" aria-rowcount={traces.length}>
      <div ref={host} className="trace-rows" tabIndex={0} onKeyDown={key} role="rowgroup" aria-label="Rows; j and k move, Enter opens, x marks for comparison">
        <div className="trace-row head" role="row">
          {['', 'Trace', 'Server', 'Spans', 'Tokens', 'Cost', 'Duration', 'Started'].map((h, i) => (
            <span key={i} role="columnheader" className={i >= 3 && i !== 6 ? 'num' : ''}>
              {h || <span className="visually-hidden">Compare</span>}
            </span>
          ))}
        </div>
        <div style={{ height: rows.getTotalSize() }} className="trace-canvas" role="presentation">
          {items.map((item) => {
            const t = traces[item.index]!;
            return (
              <div key={t.traceId} data-trace={t.traceId} role="row" className={`trace-row${item.index === cursor ? ' cursor' : ''}`} style={{ transform: `translateY(${item.start}px)` }} onClick={() => navigate(`/traces/${t.traceId}`)}>
                <span role="cell">
                  <input type="checkbox" tabIndex={-1} aria-label={`Mark ${t.name} for comparison`} checked={marked.includes(t.traceId)} onClick={(e) => e.stopPropagation()} onChange={() => onMark(t.traceId)} />
                </span>
                <span role="cell" className="row">
                  <span className={`dot ${t.errors > 0 ? 'error' : 'ok'}`} title={t.errors > 0 ? `${t.errors} spans with errors` : 'no errors'} />
                  <Link to={`/traces/${t.traceId}`} className="trace-name ellipsis">
                    {t.name || '(root not here yet)'}
                  </Link>
                  {t.errors > 0 && <span className="tag error">{t.errors}</span>}
                </span>
                <span role="cell" className={`ellipsis ${colourOf(t.server || t.service)}`} title={`${t.project} › ${t.server || t.service}`}>
                  {t.server || t.service}
                  {t.services.length > 1 && <span className="faint"> +{t.services.length - 1}</span>}
                </span>
                <span role="cell" className="num">{t.spans}</span>
                <span role="cell" className="num">{t.tokens ? count(t.tokens) : ''}</span>
                <span role="cell" className="num">{t.cost ? money(t.cost) : ''}</span>
                <span role="cell" className="trace-duration">
                  <span className="num">{duration(t.durationMs)}</span>
                  <span className="bar">
                    <i className={t.errors > 0 ? 'bad' : ''} style={{ width: width(t.durationMs) }} />
                  </span>
                </span>
                <span role="cell" className="num soft" title={dateTime(t.start)}>
                  {ago(t.start)}
                </span>
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

function NoTraces({ filtered, project }: { filtered: boolean; project?: string }) {
  if (filtered)
    return (
      <Empty title="No trace matches">
        <p className="soft">Widen the time range, or take something out of the filter. Traces are in the store a moment after they end; what is going on right now is in the live view.</p>
      </Empty>
    );
  return (
    <Empty title="No traces in this time">
      <p className="soft">Traces come from apps with an OpenTelemetry SDK. For most of them the environment is enough:</p>
      <Snippet text={sdkEnvironment(project ?? 'shop', 'web-1')} />
      <p className="soft">A Mastra app sends traces with its OpenTelemetry exporter:</p>
      <Snippet text={`new OtelExporter({\n  provider: { custom: { endpoint: '${otlp()}/v1/traces', protocol: 'http/json' } },\n})`} />
      <p className="soft">
        Nothing arrives although the app sends? The <Link to="/servers">Servers page</Link> says of each server which signals came, and what is missing.
      </p>
    </Empty>
  );
}

const otlp = () => sdkEnvironment('', '').split('\n')[0]!.split('=')[1]!;
