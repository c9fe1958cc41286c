// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The way of the data, from the files to the store and to the viewers: what waits, what failed and why.

import { useQuery as useData } from '@tanstack/react-query';
import { get } from '../api/client';
import { log, num, page, type Raw, str } from '../api/decode';
import { ago, bytes, count, duration } from '../lib/format';
import { useCell } from '../lib/store';
import { link } from '../live/pane';
import type { Json } from '../live/protocol';
import { message, timeOf } from '../live/row';
import { ErrorNote, JsonTree, Loading } from '../ui/ui';
import { FailedFiles } from './FailedFiles';

const object = (v: unknown): Raw => (v && typeof v === 'object' && !Array.isArray(v) ? (v as Raw) : {});
const array = (v: unknown): Raw[] => (Array.isArray(v) ? (v as Raw[]) : []);

export function PipelinePage() {
  const pipeline = useData({ queryKey: ['pipeline'], queryFn: async ({ signal }) => { const a = await get<Raw>('/pipeline', {}, signal); return object(a.data ?? a); }, refetchInterval: 2000 });
  return (
    <>
      <div className="page-bar">
        <h1>Pipeline</h1>
        <span className="soft">from the files to the store and to the viewers</span>
      </div>
      <div className="page">
        <div className="page-body">
          {pipeline.isLoading && <Loading what="Asking the collector" />}
          {pipeline.error && <ErrorNote error={pipeline.error} what="Pipeline" retry={() => void pipeline.refetch()} />}
          {pipeline.data && <Body p={pipeline.data} />}
        </div>
      </div>
    </>
  );
}

interface Files {
  id: string;
  signal: string;
  pending: number;
  bytes: number;
  oldest: number;
  failed: number;
}

function Body({ p }: { p: Raw }) {
  const connection = useCell(link);
  const files = array(p.files).map((f): Files => ({ id: str(f, 'id'), signal: str(f, 'signal'), pending: num(f, 'pendingFiles') ?? 0, bytes: num(f, 'pendingBytes') ?? 0, oldest: num(f, 'oldestPendingSeconds') ?? 0, failed: num(f, 'failedFiles') ?? 0 }));
  const ingests = array(p.ingest);
  const lags = ingests.map((i) => num(i, 'lagSeconds')).filter((n) => n !== undefined);
  const stuck = ingests.map((i) => str(i, 'error')).filter(Boolean);
  const live = array(p.liveTail);
  const total = (list: Raw[], name: string) => list.reduce((n, x) => n + (num(x, name) ?? 0), 0);
  const sum = (f: (x: Files) => number) => files.reduce((n, x) => n + f(x), 0);
  const store = object(p.clickHouse);
  const known = p.clickHouse !== null && p.clickHouse !== undefined;
  const up = store.ready === true;
  const pending = sum((f) => f.pending);
  const failed = sum((f) => f.failed);
  const oldest = Math.max(0, ...files.map((f) => f.oldest));
  const lag = lags.length > 0 ? Math.max(...lags) : undefined;
  const dropped = total(live, 'dropped');
  return (
    <>
      <ol className="flow" aria-label="Stations">
        <Station title="Files" state={failed > 0 ? 'warn' : 'ok'} main={files.length === 0 ? 'none here' : `${count(pending)} pending`} lines={[bytes(sum((f) => f.bytes)), pending > 0 ? `oldest ${duration(oldest * 1000)}` : '', failed > 0 ? `${failed} in failed/` : 'none failed']} />
        <Station title="Ingest" state={stuck.length > 0 ? 'error' : lag !== undefined && lag > 60 ? 'warn' : 'ok'} main={ingests.length === 0 ? 'none here' : stuck.length > 0 ? 'stands still' : lag === undefined ? 'running' : `${duration(lag * 1000)} behind`} lines={[ingests.length > 0 ? (ingests.every((i) => i.leader === true) ? 'reads the folder' : 'stands by') : '', ...stuck]} />
        <Station title="ClickHouse" state={up ? 'ok' : 'error'} main={!known ? 'none here' : up ? 'ready' : 'away'} lines={[str(store, 'error')]} />
        <Station title="Live view" state={dropped > 0 ? 'warn' : 'ok'} main={`${count(total(live, 'clients'))} ${total(live, 'clients') === 1 ? 'viewer' : 'viewers'}`} lines={[`${count(total(live, 'delivered'))} delivered`, `${count(dropped)} dropped`, `this page: ${connection.state === 'open' ? 'connected' : 'not connected'}`]} />
      </ol>
      {known && !up && (
        <div className="note warn" role="status">
          <span className="what">ClickHouse is away.</span>
          <span className="soft grow">Receiving, the files and the live view go on. What waits in the files is loaded when it is back; nothing is lost as long as the disk holds.</span>
        </div>
      )}
      {stuck.map((text) => (
        <div key={text} className="note error" role="status">
          <span className="what">Loading stands still:</span>
          <span className="soft grow">{text}</span>
        </div>
      ))}
      <Signals files={files} />
      <FailedFiles />
      <OwnErrors />
      <details>
        <summary>Everything the collector says of it</summary>
        <JsonTree value={p as Json} />
      </details>
    </>
  );
}

function Station({ title, state, main, lines }: { title: string; state: 'ok' | 'warn' | 'error'; main: string; lines: string[] }) {
  return (
    <li className="station">
      <span className="row soft">
        <span className={`dot ${state}`} /> {title}
      </span>
      <b className="num">{main}</b>
      {lines.filter(Boolean).map((l) => (
        <span key={l} className="faint num ellipsis" title={l}>
          {l}
        </span>
      ))}
    </li>
  );
}

function Signals({ files }: { files: Files[] }) {
  if (files.length === 0) return null;
  return (
    <section className="panel" aria-label="Files by signal">
      <header>
        <h2>Files by signal</h2>
      </header>
      <table className="table">
        <thead>
          <tr>
            <th>Signal</th>
            <th className="num">Pending</th>
            <th className="num">Size</th>
            <th className="num">Oldest</th>
            <th className="num">Failed</th>
          </tr>
        </thead>
        <tbody>
          {files.map((f) => (
            <tr key={`${f.id} ${f.signal}`}>
              <td>
                {f.signal} <span className="faint">{f.id}</span>
              </td>
              <td className="num">{f.pending}</td>
              <td className="num">{bytes(f.bytes)}</td>
              <td className="num">{f.pending > 0 ? duration(f.oldest * 1000) : '–'}</td>
              <td className={`num${f.failed > 0 ? ' warn-text' : ''}`}>{f.failed}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

// The collector's own log reaches the store only where it is sent there; then its errors are shown here.
function OwnErrors() {
  const errors = useData({ queryKey: ['own-errors'], queryFn: async ({ signal }) => page(await get<Raw>('/logs', { service: 'tailrace', level: ['error', 'fatal'], start: '-24h', limit: 20 }, signal), log).data, refetchInterval: 10_000 });
  if (!errors.data || errors.data.length === 0) return null;
  return (
    <section className="panel" aria-label="Errors of the collector">
      <header>
        <h2>The collector's own errors</h2>
      </header>
      <ul className="plain-logs mono">
        {errors.data.map((r, i) => (
          <li key={r.uid ?? i} className="l-error">
            <span className="faint">{ago(timeOf(r))}</span> <span className="grow">{message(r)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
