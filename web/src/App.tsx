// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import { Component, type ComponentType, lazy, type ReactNode, Suspense, useEffect } from 'react';
import { loadSession, session } from './api/client';
import { useLocation } from './lib/router';
import { findOldest, oldest } from './lib/oldest';
import { useCell } from './lib/store';
import { LivePage } from './live/LivePage';
import { Login } from './login/Login';
import { Shell } from './shell/Shell';
import { Empty, Link } from './ui/ui';

// Live is what people open; everything else comes when it is asked for.
const page = (load: () => Promise<Record<string, ComponentType<never>>>, name: string) => lazy(async () => ({ default: (await load())[name] as ComponentType<Record<string, unknown>> }));
const Traces = page(() => import('./traces/TracesPage') as never, 'TracesPage');
const Trace = page(() => import('./traces/TracePage') as never, 'TracePage');
const Compare = page(() => import('./traces/ComparePage') as never, 'ComparePage');
const Servers = page(() => import('./servers/ServersPage') as never, 'ServersPage');
const Metrics = page(() => import('./metrics/MetricsPage') as never, 'MetricsPage');
const Scores = page(() => import('./scores/ScoresPage') as never, 'ScoresPage');
const Usage = page(() => import('./usage/UsagePage') as never, 'UsagePage');
const Pipeline = page(() => import('./pipeline/PipelinePage') as never, 'PipelinePage');

function route(path: string) {
  const [, first = '', second, third] = path.split('/').map(decode);
  switch (first) {
    case '':
    case 'live':
      return <LivePage />;
    case 'servers':
      return <Servers />;
    case 'traces':
      if (second === 'compare') return <Compare />;
      return second ? <Trace traceId={second} spanId={third} /> : <Traces />;
    case 'metrics':
      return <Metrics />;
    case 'scores':
      return <Scores />;
    case 'usage':
      return <Usage />;
    case 'pipeline':
      return <Pipeline />;
    default:
      return (
        <Empty title="No such page">
          <p>
            Nothing is at this address. <Link to="/live">Go to the live view.</Link>
          </p>
        </Empty>
      );
  }
}

// A page that stays open outlives the collector that it came from: after an upgrade the parts that are not loaded yet have other names.
// Anything else that breaks a page leaves the others usable.
class Guard extends Component<{ at: string; children: ReactNode }, { error?: Error; at: string }> {
  override state: { error?: Error; at: string } = { at: this.props.at };
  static getDerivedStateFromError = (error: Error) => ({ error });
  static getDerivedStateFromProps = (props: { at: string }, state: { at: string }) => (props.at === state.at ? null : { at: props.at, error: undefined });
  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    const moved = /import|module|fetch/i.test(error.message);
    return (
      <Empty title={moved ? 'This page could not be loaded' : 'This page has failed'}>
        <p className="soft">{moved ? 'The collector was upgraded, or does not answer. Loading everything again gets its new version.' : error.message}</p>
        <p>
          <button type="button" className="btn primary" onClick={() => location.reload()}>
            Load again
          </button>
        </p>
      </Empty>
    );
  }
}

function decode(s: string): string {
  try {
    return decodeURIComponent(s);
  } catch {
    return s;
  }
}

export function App() {
  const { path } = useLocation();
  const who = useCell(session);
  useEffect(() => void loadSession(), []);
  // The usual ranges of all pages depend on it.
  useCell(oldest);
  const looksBack = !['/', '/live'].includes(path);
  useEffect(() => {
    if (who && looksBack && oldest.get() === undefined) void findOldest();
  }, [who, looksBack]);
  if (who === null) return <Login />;
  return (
    <Shell>
      <Guard at={path}>
        <Suspense fallback={<div className="progress" role="status" aria-label="Loading the page" />}>{route(path)}</Suspense>
      </Guard>
    </Shell>
  );
}
