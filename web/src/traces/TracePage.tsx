// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// One trace: waterfall, conversation, logs, raw.

import { useQuery as useData } from '@tanstack/react-query';
import { useEffect, useMemo, useState } from 'react';
import { get } from '../api/client';
import { log, page, type Raw } from '../api/decode';
import { count, dateTime, duration, money } from '../lib/format';
import { navigate, useQuery, withQuery } from '../lib/router';
import { copy, saveAs } from '../lib/store';
import { lineTime } from '../lib/format';
import { message, timeOf } from '../live/row';
import type { Json } from '../live/protocol';
import { Icon } from '../ui/Icon';
import { AnsiText } from '../ui/AnsiText';
import { ErrorNote, IconButton, JsonTree, Link, Loading, Segmented } from '../ui/ui';
import { ApiError } from '../api/client';
import { ConversationView } from './ConversationView';
import { hasConversation, usageOf } from './conversation';
import { useTrace } from './data';
import { merge, useLiveSpans } from './live';
import { SpanDetail } from './SpanDetail';
import { buildTree, extent } from './tree';
import { Waterfall } from './Waterfall';

type View = 'waterfall' | 'conversation' | 'logs' | 'json';

export function TracePage({ traceId, spanId }: { traceId: string; spanId?: string }) {
  const id = traceId.replace(/-/g, '').toLowerCase();
  const [q, set] = useQuery();
  const stored = useTrace(id);
  const live = useLiveSpans(id);
  const [now, setNow] = useState(Date.now());
  const spans = useMemo(() => merge(stored.data ?? [], live.spans), [stored.data, live.spans, live.version]);
  const running = spans.filter((s) => s.end === undefined).length;
  const talks = useMemo(() => hasConversation(spans), [spans]);
  const view = (q.get('view') as View | null) ?? 'waterfall';

  // What runs grows on the screen.
  useEffect(() => {
    if (running === 0) return;
    const t = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(t);
  }, [running]);
  // Live spans come before the store has them; once it may have, their big attributes are fetched.
  useEffect(() => {
    if (live.version === 0) return;
    const t = setTimeout(() => void stored.refetch(), 3000);
    return () => clearTimeout(t);
    // eslint-disable-next-line
  }, [live.version]);

  const roots = useMemo(() => buildTree(spans), [spans]);
  const [start, end] = extent(spans, now);
  const errors = spans.filter((s) => s.status === 'error').length;
  const usage = useMemo(() => usageOf(spans), [spans]);
  const services = new Set(spans.map((s) => s.service)).size;
  const selected = spans.find((s) => s.spanId === spanId);
  const select = (span?: string) => navigate(withQuery(`/traces/${id}${span ? `/${span}` : ''}`, window.location.search, {}), { replace: true });

  useEffect(() => {
    const on = (e: KeyboardEvent) => e.key === 'Escape' && spanId && !(e.target as HTMLElement).closest('input') && select(undefined);
    document.addEventListener('keydown', on);
    return () => document.removeEventListener('keydown', on);
  });

  if (spans.length === 0) {
    const missing = stored.error instanceof ApiError && stored.error.status === 404;
    return (
      <div className="page-body">
        {stored.isLoading ? <Loading what="Loading the trace" /> : missing ? <NotYet id={id} /> : <ErrorNote error={stored.error ?? new Error('This trace has no spans')} retry={() => void stored.refetch()} what="Trace" />}
      </div>
    );
  }
  const root = roots.find((r) => !r.orphan) ?? roots[0]!;
  return (
    <>
      <div className="page-bar trace-head">
        <Link to="/traces" className="btn quiet icon" title="All traces">
          <Icon name="traces" />
        </Link>
        <h1 className="ellipsis">{root.span.name}</h1>
        {running > 0 ? <span className="tag warn">{running} in progress</span> : <span className={`tag ${errors > 0 ? 'error' : 'ok'}`}>{errors > 0 ? `${errors} with errors` : 'ok'}</span>}
        <span className="soft num" title={dateTime(start)}>
          {duration(end - start)}
        </span>
        <span className="soft num">{spans.length} spans{services > 1 ? ` · ${services} services` : ''}</span>
        {usage.input + usage.output > 0 && (
          <span className="soft num" title="Tokens in and out">
            {count(usage.input)} → {count(usage.output)} tokens{usage.cost > 0 ? ` · ${money(usage.cost)}` : ''}
          </span>
        )}
        <span className="faint num">{dateTime(start)}</span>
        <span className="grow" />
        <Segmented
          label="View"
          value={view}
          onChange={(v) => set({ view: v === 'waterfall' ? null : v })}
          options={[['waterfall', 'Waterfall'], ...(talks ? ([['conversation', 'Conversation']] as const) : []), ['logs', 'Logs'], ['json', 'JSON']]}
        />
        <IconButton icon="live" label="Live view of this trace" onClick={() => navigate(withQuery('/live', '', { trace: id }))} />
        <IconButton icon="link" label="Copy the trace id" onClick={() => void copy(id, 'Trace id copied')} />
        <IconButton icon="download" label="Download as JSON" onClick={() => saveAs(`trace-${id}.json`, [JSON.stringify(spans, null, 1)], 'application/json')} />
      </div>
      <div className={`trace-view${selected ? ' with-detail' : ''}`}>
        {view === 'waterfall' && <Waterfall roots={roots} start={start} end={end} now={now} selected={spanId} onSelect={select} />}
        {view === 'conversation' && <ConversationView spans={spans} onSelect={select} />}
        {view === 'logs' && <TraceLogs id={id} onSpan={select} />}
        {view === 'json' && (
          <div className="page">
            <div className="page-body">
              <JsonTree value={spans as unknown as Json} />
            </div>
          </div>
        )}
        {selected && <SpanDetail span={selected} traceStart={start} now={now} close={() => select(undefined)} />}
      </div>
    </>
  );
}

function NotYet({ id }: { id: string }) {
  return (
    <div className="note warn" role="status">
      <div className="stack">
        <span className="what">No span of this trace is here</span>
        <span className="mono">{id}</span>
        <span className="soft">Spans appear here as they arrive: this page listens. If the trace is old, retention may have removed it; if it belongs to another project, you may not be allowed to see it.</span>
      </div>
    </div>
  );
}

function TraceLogs({ id, onSpan }: { id: string; onSpan: (span: string) => void }) {
  const logs = useData({ queryKey: ['trace-logs', id], queryFn: async ({ signal }) => page(await get<Raw>('/logs', { trace_id: id, limit: 1000, order: 'asc' }, signal), log).data, refetchInterval: 5000 });
  return (
    <div className="page">
      <div className="page-body">
        {logs.isLoading && <Loading what="Loading the logs" />}
        {logs.error && <ErrorNote error={logs.error} retry={() => void logs.refetch()} />}
        {logs.data?.length === 0 && <p className="soft">No log record carries this trace id. Loggers of OpenTelemetry add it by themselves; in your own lines, print it as <code>trace_id=…</code>.</p>}
        <ul className="plain-logs mono">
          {[...(logs.data ?? [])].sort((a, b) => timeOf(a) - timeOf(b)).map((r, i) => (
            <li key={r.uid ?? i} className={`l-${r.severity}`}>
              <span className="faint">{lineTime(timeOf(r), 'local')}</span> <span className="ll">{r.severity}</span> <span className="grow"><AnsiText text={message(r)} /></span>
              {r.spanId && (
                <button type="button" className="btn quiet small" onClick={() => onSpan(r.spanId!)}>
                  span
                </button>
              )}
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}
