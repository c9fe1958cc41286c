// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// One server: its telemetry and what it lacks, its health, its changes of state, its last words.

import { useQuery as useData } from '@tanstack/react-query';
import { get } from '../api/client';
import { log, page, type Raw } from '../api/decode';
import type { LogLine, Server } from '../api/types';
import { ago, bytes, dateTime, lineTime } from '../lib/format';
import { withQuery } from '../lib/router';
import { asText, message, timeOf } from '../live/row';
import { Icon } from '../ui/Icon';
import { Spark } from '../ui/Spark';
import { AnsiText } from '../ui/AnsiText';
import { ErrorNote, IconButton, Link, Snippet, Status } from '../ui/ui';
import { checks, identifiedBy } from './checks';
import { useSignals } from './signals';

const events = (server: Server, event: string, limit: number) => ({
  queryKey: ['events', server.project, server.id, event],
  queryFn: async ({ signal }: { signal: AbortSignal }) =>
    page(await get<Raw>('/logs', { project: server.project, server: server.id, event_name: event, start: '-24h', limit }, signal), log)
      .data.reverse().map((r) => [timeOf(r), r] as const)
      .sort((a, b) => a[0] - b[0])
      .map(([, r]) => r),
  refetchInterval: 5000,
  enabled: server.id !== '',
});

const number = (r: LogLine, key: string): number | null => {
  const v = Number(asText(r.attributes?.[key]) || NaN);
  return Number.isFinite(v) ? v : null;
};

export function ServerDetail({ server: s, close }: { server: Server; close: () => void }) {
  const health = useData(events(s, 'server.health', 240));
  const signals = useSignals(s);
  const changes = useData(events(s, 'server.lifecycle', 50));
  const reports = health.data ?? [];
  const last = reports[reports.length - 1];
  const memory = reports.map((r) => number(r, 'server.memory_usage_mb'));
  const cpu = reports.map((r) => number(r, 'server.cpu_percent'));
  const starts = (changes.data ?? []).filter((r) => asText(r.attributes?.['server.lifecycle.state']) === 'starting').length;
  const ended = [...(changes.data ?? [])].reverse().find((r) => ['exited', 'failed'].includes(asText(r.attributes?.['server.lifecycle.state'])));
  return (
    <aside className="drawer server-detail" aria-label={`Server ${s.id}`}>
      <header>
        <span className="grow ellipsis">
          <b>{s.id}</b> <span className="faint">{s.project} › {s.deployment || '–'}</span>
        </span>
        <IconButton icon="close" label="Close" onClick={close} />
      </header>
      <div className="body">
        <div className="row wrap">
          <Link className="btn" to={withQuery('/live', '', { project: s.project, server: s.id })}>
            <Icon name="live" /> Live
          </Link>
          <Link className="btn" to={withQuery('/traces', '', { project: s.project, server: s.id })}>
            <Icon name="traces" /> Traces
          </Link>
          <Link className="btn" to={withQuery('/metrics', '', { project: s.project, server: s.id })}>
            <Icon name="metrics" /> Metrics
          </Link>
        </div>
        {reports.length > 0 && (
          <section className="stack" aria-label="Health">
            <h3>Health, {ago(timeOf(reports[0]!)).replace(' ago', '')}</h3>
            <div className="health-strip" role="img" aria-label={`${reports.length} reports, ${reports.filter((r) => asText(r.attributes?.['server.health.status']) === 'unhealthy').length} unhealthy`}>
              {reports.slice(-120).map((r, i) => (
                <i key={i} className={asText(r.attributes?.['server.health.status'])} title={`${dateTime(timeOf(r))} ${asText(r.attributes?.['server.health.status'])}`} />
              ))}
            </div>
            <dl className="spark-rows">
              <dt>CPU</dt>
              <dd>
                <Spark points={cpu} label="CPU over time" width={200} max={10} />
                <span className="num">{last && number(last, 'server.cpu_percent') !== null ? `${number(last, 'server.cpu_percent')!.toFixed(0)} %` : '–'}</span>
              </dd>
              <dt>Memory</dt>
              <dd>
                <Spark points={memory} label="Memory over time" width={200} />
                <span className="num">{last && number(last, 'server.memory_usage_mb') !== null ? bytes(number(last, 'server.memory_usage_mb')! * 1e6) : '–'}</span>
              </dd>
            </dl>
          </section>
        )}
        <section className="stack" aria-label="Telemetry">
          <h3>Telemetry</h3>
          {signals.error && <ErrorNote error={signals.error} what="Signals" retry={() => void signals.refetch()} />}
          {signals.data && (
            <table className="table">
              <tbody>
                {(['logs', 'spans', 'metrics', 'scores'] as const).map((k) => {
                  const seen = signals.data[k];
                  return (
                    <tr key={k}>
                      <td>{k}</td>
                      <td>{seen ? <span className="tag ok">arrive</span> : <span className="tag">none</span>}</td>
                      <td className="soft">{seen?.first !== undefined && `since ${dateTime(seen.first).slice(0, 16)}`}</td>
                      <td className="num soft">{seen?.last !== undefined && `last ${ago(seen.last)}`}</td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          )}
          <p className="soft">Known by {identifiedBy(s)}.</p>
          {checks(s, signals.data).map((c) => (
            <div key={c.what} className={`note ${c.level === 'ok' ? '' : c.level}`}>
              <div className="stack grow">
                <span className="what">{c.what}</span>
                {c.why && <span className="soft">{c.why}</span>}
                {c.snippet && <Snippet text={c.snippet} />}
              </div>
            </div>
          ))}
        </section>
        <section className="stack" aria-label="Changes of state">
          <h3>Changes of state{starts > 1 && <span className="warn-text"> · {starts - 1} restarts in a day</span>}</h3>
          {changes.error && <ErrorNote error={changes.error} />}
          {changes.data?.length === 0 && <p className="soft">None in the last day. Only processes of the runner, or under tailctl run, report them.</p>}
          <ol className="timeline">
            {[...(changes.data ?? [])].reverse().slice(0, 20).map((r, i) => {
              const state = asText(r.attributes?.['server.lifecycle.state']);
              return (
                <li key={r.uid ?? i} className={state}>
                  <span className="num faint">{lineTime(timeOf(r), 'local')}</span>
                  <Status value={state} />
                  <span className="grow"><AnsiText text={message(r)} /></span>
                </li>
              );
            })}
          </ol>
        </section>
        {ended && <LastWords server={s} end={ended} />}
      </div>
    </aside>
  );
}

// What it printed before it ended: the first thing one wants to see of a crash.
function LastWords({ server: s, end }: { server: Server; end: LogLine }) {
  const ms = timeOf(end);
  const lines = useData({
    queryKey: ['last-words', s.id, ms],
    queryFn: async ({ signal }) => page(await get<Raw>('/logs', { project: s.project, server: s.id, start: new Date(ms - 600_000).toISOString(), end: new Date(ms + 1).toISOString(), limit: 14 }, signal), log).data.reverse().sort((a, b) => timeOf(a) - timeOf(b)),
    staleTime: 60_000,
  });
  if (!lines.data || lines.data.length === 0) return null;
  return (
    <section className="stack" aria-label="Last words">
      <h3 className="row">
        Last words before it ended, {ago(ms)}
        {end.uid && (
          <Link className="btn quiet small" to={withQuery('/live', '', { project: s.project, around: end.uid })}>
            Context
          </Link>
        )}
      </h3>
      <ul className="plain-logs mono last-words">
        {lines.data.map((r, i) => (
          <li key={r.uid ?? i} className={`l-${r.severity}`}>
            <span className="faint">{lineTime(timeOf(r), 'local')}</span>
            <span className="grow"><AnsiText text={message(r)} /></span>
          </li>
        ))}
      </ul>
    </section>
  );
}
