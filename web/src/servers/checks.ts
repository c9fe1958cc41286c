// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// What of a server's telemetry is missing, and what to change. Pure, so that each advice has a test.

import type { Server } from '../api/types';
import type { Signals } from './signals';
import { otlpEndpoint, sdkEnvironment } from '../lib/snippets';

export interface Check {
  level: 'ok' | 'warn' | 'error';
  what: string;
  why?: string;
  snippet?: string;
}

const MINUTE = 60_000;

/** How the server is known, and by what. */
export function identifiedBy(s: Server): string {
  if (s.project === 'default') return 'the default project: the sender names none';
  return s.state ? 'the process that Tailrace runs or wraps' : 'what its telemetry says (project.id, server.id, or a token)';
}

/** `signals` is what the store has of it; without, only what the list of servers says is judged. */
export function checks(s: Server, signals: Signals | undefined, now = Date.now()): Check[] {
  const out: Check[] = [];
  const since = s.lastSeen === undefined ? Infinity : now - s.lastSeen;
  const running = ['running', 'starting', ''].includes(s.state);
  if (s.project === 'default')
    out.push({
      level: 'error',
      what: 'Its telemetry names no project',
      why: 'It lands in the project "default", together with everything else that names none. Say whose it is, in the environment of the process:',
      snippet: sdkEnvironment('shop', s.id || 'web-1'),
    });
  if (!s.id)
    out.push({ level: 'warn', what: 'It has no server id', why: 'Instances of one deployment can\'t be told apart. Give each its own:', snippet: `export OTEL_RESOURCE_ATTRIBUTES=project.id=${s.project},server.id=web-1` });
  if (signals ? !signals.spans : s.spans === 0)
    out.push({
      level: 'warn',
      what: 'No spans, ever',
      why: 'The app is not instrumented, or its exporter points elsewhere or has its own headers. With an OpenTelemetry SDK for Node it takes:',
      snippet: `${sdkEnvironment(s.project || 'shop', s.id || 'web-1')}\nnode --import @opentelemetry/auto-instrumentations-node/register server.mjs`,
    });
  else if (running && signals?.spans?.last !== undefined && now - signals.spans.last > 15 * MINUTE) out.push({ level: 'warn', what: 'No spans for a while', why: 'It ran without a span for a quarter of an hour: idle, or its exporter has stopped. Its own log says more about a failing exporter.' });
  if (signals ? !signals.logs : s.logs === 0)
    out.push({ level: 'warn', what: 'No logs, ever', why: 'Its output is not taken. Run it under the runner, or wrap it where it is started:', snippet: `tailctl run --project ${s.project || 'shop'} --server ${s.id || 'web-1'} -- node server.mjs` });
  if (signals && !signals.metrics) out.push({ level: 'warn', what: 'No metrics, ever', why: 'Processes of the runner report CPU and memory by themselves when runner_log is in a metrics pipeline; an SDK sends metrics to:', snippet: `export OTEL_EXPORTER_OTLP_ENDPOINT=${otlpEndpoint()}\nexport OTEL_METRICS_EXPORTER=otlp` });
  if (running && since > 5 * MINUTE && Number.isFinite(since)) out.push({ level: 'error', what: 'Nothing heard for more than five minutes', why: 'The process may be gone without a word, or its host can\'t reach this collector.' });
  if (out.length === 0) out.push({ level: 'ok', what: 'Logs, spans and metrics arrive' });
  return out;
}
