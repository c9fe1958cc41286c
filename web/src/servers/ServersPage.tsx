// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// What is running: projects, their deployments, their servers.

import { useMemo } from 'react';
import type { Server } from '../api/types';
import { ago, bytes, count, duration } from '../lib/format';
import { useQuery, withQuery } from '../lib/router';
import { sdkEnvironment, wrapProcess } from '../lib/snippets';
import { ScopePicker, useServers } from '../ui/ScopePicker';
import { Empty, ErrorNote, Link, Loading, Snippet } from '../ui/ui';
import { checks } from './checks';
import { Builds } from './Builds';
import { ServerDetail } from './ServerDetail';

export const stateClass = (s: Server): string =>
  ['failed', 'exited', 'backoff'].includes(s.state) || s.health === 'unhealthy' ? 'error' : s.state === 'stopped' || s.state === 'stopping' || s.health === 'starting' || s.health === 'stopping' ? 'warn' : s.health === 'healthy' || s.state === 'running' ? 'ok' : '';

export function ServersPage() {
  const [q, set] = useQuery();
  const project = q.get('project') ?? '';
  const servers = useServers(project || undefined);
  const deployment = q.get('deployment') ?? '';
  const list = useMemo(() => (servers.data ?? []).filter((s) => !deployment || s.deployment === deployment), [servers.data, deployment]);
  const groups = useMemo(() => group(list), [list]);
  const selected = list.find((s) => s.id === q.get('open'));
  const counts = { ok: 0, warn: 0, error: 0, '': 0 };
  for (const s of list) counts[stateClass(s) as keyof typeof counts]++;

  return (
    <>
      <div className="page-bar">
        <h1>Servers</h1>
        <ScopePicker servers={false} />
        <span className="row soft num">
          {counts.ok > 0 && <><span className="dot ok" /> {counts.ok} up</>}
          {counts.warn > 0 && <><span className="dot warn" /> {counts.warn} changing</>}
          {counts.error > 0 && <><span className="dot error" /> {counts.error} in trouble</>}
        </span>
      </div>
      <div className={`servers${selected ? ' with-detail' : ''}`}>
        <div className="page">
          <div className="page-body">
            {servers.isLoading && <Loading what="Asking for servers" />}
            {servers.error && <ErrorNote error={servers.error} what="Servers" retry={() => void servers.refetch()} />}
            {servers.data && list.length === 0 && <NoServers project={project} />}
            {groups.map(([name, deployments]) => (
              <section key={name} className="panel" aria-label={`Project ${name}`}>
                <header>
                  <h2>{name}</h2>
                  <span className="grow" />
                  <Link className="btn quiet small" to={withQuery('/live', '', { project: name })}>Live</Link>
                  <Link className="btn quiet small" to={withQuery('/traces', '', { project: name })}>Traces</Link>
                  <Link className="btn quiet small" to={withQuery('/usage', '', { project: name })}>Usage</Link>
                </header>
                <div className="scroll-x">
                  <table className="table servers-table">
                    <thead>
                      <tr>
                        <th className="c-server">Server</th>
                        <th className="c-state">State</th>
                        <th className="c-use num">Up</th>
                        <th className="c-use num">CPU</th>
                        <th className="c-use num">Memory</th>
                        <th className="c-signals">Signals</th>
                        <th className="c-heard num">Last heard</th>
                      </tr>
                    </thead>
                    {deployments.map(([d, members]) => (
                      <tbody key={d}>
                        <tr className="group">
                          <th colSpan={7} scope="rowgroup">{d || 'no deployment'}</th>
                        </tr>
                        {members.map((s) => (
                          <ServerRow key={s.id} server={s} open={s.id === selected?.id} onOpen={() => set({ open: s.id === selected?.id ? null : s.id })} />
                        ))}
                      </tbody>
                    ))}
                  </table>
                </div>
              </section>
            ))}
            {list.length > 0 && <Builds project={project || undefined} />}
          </div>
        </div>
        {selected && <ServerDetail server={selected} close={() => set({ open: null })} />}
      </div>
    </>
  );
}

function ServerRow({ server: s, open, onOpen }: { server: Server; open: boolean; onOpen: () => void }) {
  const problems = checks(s, undefined).filter((c) => c.level !== 'ok').length;
  return (
    <tr className={open ? 'open' : ''} onClick={onOpen} data-server={s.id}>
      <td>
        <button type="button" className="server-name" aria-expanded={open} onClick={(e) => { e.stopPropagation(); onOpen(); }}>
          <span className={`dot ${stateClass(s)}`} />
          {s.id || '(no server id)'}
        </button>
      </td>
      <td>
        <span className={`tag ${stateClass(s)}`}>{[s.state, s.health].filter(Boolean).join(' · ') || 'unknown'}</span>
      </td>
      <td className="c-use num">{s.uptime === undefined ? '–' : duration(s.uptime * 1000)}</td>
      <td className="c-use num">{s.cpu === undefined ? '–' : `${s.cpu.toFixed(0)} %`}</td>
      <td className="c-use num">{Number.isFinite(s.memory) ? bytes(s.memory) : '–'}</td>
      <td>
        <span className="row">
          <Signals server={s} />
          {problems > 0 && <span className="tag warn">{problems} to look at</span>}
        </span>
      </td>
      <td className="num soft">{s.lastSeen === undefined ? 'never' : ago(s.lastSeen)}</td>
    </tr>
  );
}

function Signals({ server: s }: { server: Server }) {
  const part = (name: string, n: number, rate: number) => (
    <span className={`signal${n === 0 ? ' missing' : ''}`} title={n === 0 ? `no ${name} in a week` : `${count(n)} ${name} in a week`}>
      {name} {n > 0 && <span className="num">{rate >= 0.05 ? `${count(rate)}/s` : count(n)}</span>}
    </span>
  );
  return (
    <span className="signals">
      {part('logs', s.logs, s.logsPerSecond)}
      {part('spans', s.spans, s.spansPerSecond)}
      {s.errors > 0 && <span className="signal errors" title="Failed spans and log records from ERROR on, in a week">{count(s.errors)} errors</span>}
    </span>
  );
}

function group(list: Server[]): [string, [string, Server[]][]][] {
  const projects = new Map<string, Map<string, Server[]>>();
  for (const s of list) {
    const p = projects.get(s.project) ?? new Map<string, Server[]>();
    p.set(s.deployment, [...(p.get(s.deployment) ?? []), s]);
    projects.set(s.project, p);
  }
  const sorted = <T,>(m: Map<string, T>) => [...m].sort(([a], [b]) => a.localeCompare(b));
  return sorted(projects).map(([name, d]) => [name, sorted(d).map(([k, v]): [string, Server[]] => [k, v.sort((a, b) => a.id.localeCompare(b.id))])]);
}

function NoServers({ project }: { project: string }) {
  return (
    <Empty title="No servers yet">
      <p className="soft">A server is one running instance of something: a process that Tailrace runs, a process that is wrapped, or an app that sends OTLP with a server id.</p>
      <h3>Let Tailrace run it</h3>
      <Snippet text={`extensions:\n  runner:\n    servers:\n      - id: web-1\n        project: ${project || 'shop'}\n        command: [node, server.mjs]`} />
      <h3>Wrap what something else starts</h3>
      <Snippet text={wrapProcess(project || 'shop', 'web-1')} />
      <h3>Send OTLP</h3>
      <Snippet text={sdkEnvironment(project || 'shop', 'web-1')} />
    </Empty>
  );
}
