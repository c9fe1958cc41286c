// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Live: one or two streams of what is happening. The URL says which: scope, filter, signals, hidden levels, one line.

import { useEffect, useState } from 'react';
import { scopeOf } from '../api/params';
import { useQuery } from '../lib/router';
import { useCell } from '../lib/store';
import { IconButton } from '../ui/ui';
import { ScopePicker } from '../ui/ScopePicker';
import { Detail } from './Detail';
import { link, tail } from './pane';
import { PaneView } from './PaneView';
import type { Row } from './row';

export function LivePage() {
  const [q, set] = useQuery();
  const [open, setOpen] = useState<Row | undefined>();
  const split = q.get('split') === '1';
  const around = q.get('around') ?? undefined;
  const trace = q.get('trace') ?? undefined;
  const scope = scopeOf(q);
  useEffect(() => {
    const on = (e: KeyboardEvent) => e.key === 'Escape' && !(e.target as HTMLElement).closest('input') && setOpen(undefined);
    document.addEventListener('keydown', on);
    return () => document.removeEventListener('keydown', on);
  }, []);

  return (
    <>
      <div className="page-bar">
        <h1>Live</h1>
        <ScopePicker />
        {trace && (
          <span className="tag info mono">
            trace {trace.slice(0, 8)}
            <IconButton icon="close" label="All traces" small onClick={() => set({ trace: null })} />
          </span>
        )}
        <span className="grow" />
        <ConnectionState />
        <IconButton icon="split" label="Two streams side by side" pressed={split} onClick={() => set({ split: !split })} />
      </div>
      <div className={`live${split ? ' split' : ''}${open ? ' with-detail' : ''}`}>
        <PaneView key="a" prefix="" scope={scope} trace={trace} around={around} onOpen={setOpen} />
        {split && <PaneView key="b" prefix="b." scope={scope} trace={trace} onOpen={setOpen} signals="spans" />}
        {open?.record && <Detail record={open.record} close={() => setOpen(undefined)} />}
      </div>
    </>
  );
}

function ConnectionState() {
  const l = useCell(link);
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (l.state !== 'waiting') return;
    const t = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(t);
  }, [l.state]);
  if (l.state === 'open')
    return (
      <span className="row connection" role="status">
        <span className="dot ok pulse" /> Live
      </span>
    );
  const text = {
    connecting: 'Connecting …',
    waiting: `No connection${l.retryAt ? `, next try in ${Math.max(0, Math.ceil((l.retryAt - now) / 1000))} s` : ''}`,
    login: 'Sign in to see live data',
    stopped: l.detail ?? 'The server refused the connection',
    closed: 'Not connected',
  }[l.state];
  return (
    <span className="row connection" role="status" title={l.detail}>
      <span className={`dot ${l.state === 'connecting' ? 'warn' : l.state === 'closed' ? '' : 'error'}`} />
      {text}
      {(l.state === 'waiting' || l.state === 'stopped') && (
        <button type="button" className="btn small" onClick={() => tail().reconnect()}>
          Try now
        </button>
      )}
    </span>
  );
}
