// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Project, deployment and server of a page, out of what exists. A name that does not exist yet can be typed into the URL.

import { useQuery as useData } from '@tanstack/react-query';
import { get } from '../api/client';
import { page, project as decodeProject, type Raw, server as decodeServer } from '../api/decode';
import { useQuery } from '../lib/router';

export const useProjects = () => useData({ queryKey: ['projects'], queryFn: async ({ signal }) => page(await get<Raw>('/projects', {}, signal), decodeProject).data, refetchInterval: 15_000 });
export const useServers = (project?: string) =>
  useData({ queryKey: ['servers', project], queryFn: async ({ signal }) => page(await get<Raw>('/servers', { project }, signal), decodeServer).data, refetchInterval: 5000 });

function Pick({ label, all, value, options, onChange }: { label: string; all: string; value: string; options: string[]; onChange: (v: string) => void }) {
  const list = value && !options.includes(value) ? [value, ...options] : options;
  return (
    <select className="select" aria-label={label} value={value} onChange={(e) => onChange(e.target.value)}>
      <option value="">{all}</option>
      {list.map((o) => (
        <option key={o} value={o}>
          {o}
        </option>
      ))}
    </select>
  );
}

export function ScopePicker({ servers = true }: { servers?: boolean }) {
  const [q, set] = useQuery();
  const project = q.get('project') ?? '';
  const deployment = q.get('deployment') ?? '';
  const projects = useProjects();
  const known = useServers(project || undefined);
  const list = known.data ?? [];
  const deployments = [...new Set(list.map((s) => s.deployment).filter(Boolean))].sort();
  const inDeployment = list.filter((s) => !deployment || s.deployment === deployment);
  return (
    <span className="scope">
      <Pick label="Project" all="All projects" value={project} options={(projects.data ?? []).map((p) => p.id).sort()} onChange={(v) => set({ project: v, deployment: '', server: '' })} />
      {servers && deployments.length > 0 && <Pick label="Deployment" all="All deployments" value={deployment} options={deployments} onChange={(v) => set({ deployment: v, server: '' })} />}
      {servers && (
        <Pick
          label="Server"
          all="All servers"
          value={q.get('server') ?? ''}
          options={inDeployment.map((s) => s.id).filter(Boolean).sort()}
          onChange={(v) => set({ server: v })}
        />
      )}
    </span>
  );
}
