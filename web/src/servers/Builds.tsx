// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Builds and how they went, with their logs by phase.

import { useQuery as useData } from '@tanstack/react-query';
import { get } from '../api/client';
import { log, num, page, type Raw, str } from '../api/decode';
import { ago, duration, lineTime, millis } from '../lib/format';
import { useQuery } from '../lib/router';
import { asText, message, timeOf } from '../live/row';
import { AnsiText } from '../ui/AnsiText';
import { ErrorNote, IconButton, Loading, Status } from '../ui/ui';

interface Build {
  id: string;
  project: string;
  deployment: string;
  status: string;
  started: number;
  took: number;
  run: number;
  message: string;
}

function build(r: Raw): Build {
  const started = millis(r.started);
  const seconds = num(r, 'durationS');
  return {
    id: str(r, 'id'),
    project: str(r, 'project'),
    deployment: str(r, 'deployment'),
    status: str(r, 'status'),
    started,
    took: seconds === undefined ? millis(r.changed) - started : seconds * 1000,
    run: num(r, 'run') ?? 0,
    message: str(r, 'reason') || str(r, 'message'),
  };
}

export function Builds({ project }: { project?: string }) {
  const [q, set] = useQuery();
  const builds = useData({
    queryKey: ['builds', project],
    queryFn: async ({ signal }) => page(await get<Raw>('/builds', { project }, signal), build).data,
    refetchInterval: 5000,
  });
  const open = q.get('build');
  if (!builds.data || builds.data.length === 0) return null;
  return (
    <section className="panel" aria-label="Builds">
      <header>
        <h2>Builds</h2>
      </header>
      <table className="table">
        <tbody>
          {builds.data.slice(0, 20).map((b) => (
            <tr key={b.id} onClick={() => set({ build: b.id === open ? null : b.id })}>
              <td>
                <button type="button" className="server-name" aria-expanded={b.id === open} onClick={(e) => { e.stopPropagation(); set({ build: b.id === open ? null : b.id }); }}>
                  {b.id}
                </button>
              </td>
              <td className="soft">{b.project} › {b.deployment}{b.run > 1 ? `, run ${b.run}` : ''}</td>
              <td>
                <Status value={b.status} />
              </td>
              <td className="soft ellipsis">{b.message}</td>
              <td className="num">{duration(b.took)}</td>
              <td className="num soft">{ago(b.started)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {open && <BuildLog id={open} close={() => set({ build: null })} />}
    </section>
  );
}

function BuildLog({ id, close }: { id: string; close: () => void }) {
  const lines = useData({ queryKey: ['build-log', id], queryFn: async ({ signal }) => page(await get<Raw>(`/builds/${encodeURIComponent(id)}/logs`, { tail: 1000 }, signal), log).data.reverse().sort((a, b) => timeOf(a) - timeOf(b)), refetchInterval: 3000 });
  return (
    <div className="build-log">
      <div className="row">
        <h3 className="grow">Log of {id}</h3>
        <IconButton icon="close" label="Close the log" small onClick={close} />
      </div>
      {lines.isLoading && <Loading what="Loading the log" />}
      {lines.error && <ErrorNote error={lines.error} />}
      <ul className="plain-logs mono">
        {(lines.data ?? []).map((r, i) =>
          r.eventName === 'build.status' ? (
            <li key={r.uid ?? i} className="phase">
              <span className="faint">{lineTime(timeOf(r), 'local')}</span> <Status value={asText(r.attributes?.['build.status'])} /> {message(r)}
            </li>
          ) : (
            <li key={r.uid ?? i} className={`l-${r.severity}`}>
              <span className="faint">{lineTime(timeOf(r), 'local')}</span> <span className="grow"><AnsiText text={message(r)} /></span>
            </li>
          ),
        )}
      </ul>
    </div>
  );
}
