// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// From the server's JSON to the types of the pages. All knowledge of the wire's member names is here; members that are missing
// become empty, so that a newer or older server shows less, not an error.

import { millis } from '../lib/format';
import type { Attributes, Json, Severity } from '../live/protocol';
import type { LogLine, MetricName, Page, Project, Score, Series, Server, Span, SpanEvent, SpanLink, TraceSummary } from './types';

export type Raw = Record<string, unknown>;

export const pick = (o: Raw, ...names: string[]): unknown => {
  for (const n of names) if (o[n] !== undefined && o[n] !== null) return o[n];
  return undefined;
};

export const str = (o: Raw, ...names: string[]): string => {
  const v = pick(o, ...names);
  return v === undefined ? '' : String(v);
};

export const num = (o: Raw, ...names: string[]): number | undefined => {
  const v = pick(o, ...names);
  const n = typeof v === 'string' && v !== '' ? Number(v) : v;
  return typeof n === 'number' && Number.isFinite(n) ? n : undefined;
};

export const time = (o: Raw, ...names: string[]): number | undefined => {
  const ms = millis(pick(o, ...names));
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
};

const list = (v: unknown): Raw[] => (Array.isArray(v) ? (v as Raw[]) : []);
const map = (v: unknown): Attributes => (v && typeof v === 'object' && !Array.isArray(v) ? (v as Attributes) : {});

export function page<T>(answer: Raw, one: (raw: Raw) => T): Page<T> {
  return { data: list(answer.data).map(one), next: str(answer, 'next_cursor') || undefined, more: answer.has_more === true };
}

const ids = (r: Raw) => ({ project: str(r, 'project', 'project_id'), deployment: str(r, 'deployment', 'deployment_id'), server: str(r, 'server', 'server_id') });

export const project = (r: Raw): Project => ({ id: str(r, 'id', 'project'), lastSeen: time(r, 'lastSeen'), spansPerSecond: num(r, 'spansPerSecond'), logsPerSecond: num(r, 'logsPerSecond') });

export const server = (r: Raw): Server => ({
  ...ids(r),
  id: str(r, 'id'),
  state: str(r, 'state'),
  stateSince: time(r, 'stateTime'),
  health: str(r, 'health'),
  lastSeen: time(r, 'lastSeen'),
  cpu: num(r, 'cpuPercent'),
  memory: (num(r, 'memoryUsageMb') ?? NaN) * 1e6,
  uptime: num(r, 'uptimeS'),
  service: str(r, 'service'),
  logs: num(r, 'logs') ?? 0,
  spans: num(r, 'spans') ?? 0,
  errors: num(r, 'errors') ?? 0,
  logsPerSecond: num(r, 'logsPerSecond') ?? 0,
  spansPerSecond: num(r, 'spansPerSecond') ?? 0,
});

export function traceSummary(r: Raw): TraceSummary {
  const services = Array.isArray(r.services) ? (r.services as unknown[]).map(String) : [];
  const start = time(r, 'start', 'start_time', 'time') ?? 0;
  const tokens = sum(num(r, 'inputTokens'), num(r, 'outputTokens'));
  return {
    ...ids(r),
    server: str(r, 'server') || (Array.isArray(r.servers) ? String(r.servers[0] ?? '') : ''),
    traceId: str(r, 'traceId', 'trace_id'),
    name: str(r, 'rootName', 'root_name', 'name'),
    service: str(r, 'service', 'root_service') || services[0] || '',
    services,
    start,
    durationMs: num(r, 'durationMs', 'duration_ms') ?? (time(r, 'end') ?? start) - start,
    spans: num(r, 'spanCount', 'spans') ?? 0,
    errors: num(r, 'errorCount', 'errors') ?? (r.status === 'error' ? 1 : 0),
    tokens,
    cost: num(r, 'cost', 'cost_usd'),
  };
}

const sum = (...n: (number | undefined)[]) => (n.every((x) => x === undefined) ? undefined : n.reduce<number>((a, b) => a + (b ?? 0), 0));

export function span(r: Raw): Span {
  const start = time(r, 'start', 'start_time', 'time') ?? 0;
  const d = num(r, 'durationMs', 'duration_ms');
  const end = time(r, 'end', 'end_time') ?? (d === undefined ? undefined : start + d);
  const status = str(r, 'status', 'status_code').toLowerCase();
  return {
    ...ids(r),
    traceId: str(r, 'traceId', 'trace_id'),
    spanId: str(r, 'spanId', 'span_id'),
    parentId: str(r, 'parentSpanId', 'parent_span_id', 'parent_id'),
    name: str(r, 'name'),
    kind: str(r, 'kind').toLowerCase(),
    service: str(r, 'service', 'service_name'),
    start,
    end,
    status: status === 'error' || status === 'ok' ? status : r.state === 'orphaned' ? 'orphan' : 'unset',
    statusMessage: str(r, 'statusMessage', 'status_message'),
    attributes: map(r.attributes),
    resource: map(pick(r, 'resource', 'resource_attributes')),
    events: list(r.events).map(
      (e): SpanEvent => ({ name: str(e, 'name'), ms: time(e, 'time', 'timestamp') ?? start, attributes: map(e.attributes) }),
    ),
    links: list(r.links).map((l): SpanLink => ({ traceId: str(l, 'traceId', 'trace_id'), spanId: str(l, 'spanId', 'span_id'), attributes: map(l.attributes) })),
  };
}

/** A trace's spans, from a tree or from a list. */
export function traceSpans(answer: Raw): Span[] {
  const out: Span[] = [];
  const visit = (r: Raw) => {
    out.push(span(r));
    list(r.children).forEach(visit);
  };
  const data = (answer.data ?? answer) as Raw;
  (Array.isArray(data) ? (data as Raw[]) : list(pick(data, 'spans', 'roots', 'tree'))).forEach(visit);
  return out;
}

const SEVERITIES = new Set(['trace', 'debug', 'info', 'warn', 'error', 'fatal']);

export function log(r: Raw): LogLine {
  const s = str(r, 'severity', 'level', 'severity_text').toLowerCase();
  const attributes = map(r.attributes);
  return {
    ...ids(r),
    seq: 0,
    signal: 'log',
    build: str(r, 'build', 'build_id') || undefined,
    service: str(r, 'service', 'service_name'),
    time: str(r, 'time', 'timestamp'),
    severity: (SEVERITIES.has(s) ? s : 'unset') as Severity,
    severityNumber: num(r, 'severityNumber', 'severity_number'),
    eventName: str(r, 'eventName', 'event_name') || undefined,
    body: pick(r, 'body', 'message') as Json,
    traceId: str(r, 'traceId', 'trace_id') || undefined,
    spanId: str(r, 'spanId', 'span_id') || undefined,
    uid: str(r, 'uid', 'id') || undefined,
    attributes,
  };
}

export const metricName = (r: Raw): MetricName => ({
  name: str(r, 'name'),
  type: str(r, 'type', 'metricType', 'metric_type', 'kind'),
  unit: str(r, 'unit'),
  description: str(r, 'description'),
  monotonic: r.monotonic === true,
  lastSeen: time(r, 'lastSeen'),
});

export const score = (r: Raw): Score => ({
  ...ids(r),
  uid: str(r, 'uid', 'id'),
  ms: time(r, 'time', 'timestamp') ?? 0,
  name: str(r, 'name'),
  value: num(r, 'value') ?? null,
  label: str(r, 'label'),
  explanation: str(r, 'explanation', 'comment'),
  traceId: str(r, 'traceId', 'trace_id'),
  spanId: str(r, 'spanId', 'span_id'),
});

/**
 * Time series, whatever their form: one object a series with points, or one row a time (and group) with values. `value` names the
 * member that is drawn of a row.
 */
export function series(answer: Raw, value: string | string[] = 'value'): Series[] {
  const names = Array.isArray(value) ? value : [value];
  const out = new Map<string, Series>();
  const every = num((answer.range ?? {}) as Raw, 'stepMs') ?? 0;
  for (const r of list(answer.data)) {
    const label = labelOf(r);
    const points = pick(r, 'points', 'values');
    if (Array.isArray(points)) {
      const s = out.get(label) ?? { label, every, points: [] };
      for (const p of points as unknown[]) {
        const [ms, v] = Array.isArray(p) ? [millis(p[0]), p[1] as unknown] : [time(p as Raw, 'time', 'start', 'bucket') ?? NaN, pick(p as Raw, ...names, 'value')];
        if (Number.isFinite(ms)) s.points.push([ms, typeof v === 'number' ? v : v === null || v === undefined ? null : Number(v)]);
      }
      out.set(label, s);
      continue;
    }
    const ms = time(r, 'time', 'start', 'bucket', 'hour');
    if (ms === undefined) continue;
    for (const n of names) {
      if (r[n] === undefined) continue;
      const l = names.length > 1 ? (label ? `${label} ${n}` : n) : label || n;
      const s = out.get(l) ?? { label: l, every, points: [] };
      s.points.push([ms, num(r, n) ?? null]);
      out.set(l, s);
    }
  }
  return [...out.values()].map((s) => ({ ...s, points: s.points.sort((a, b) => a[0] - b[0]) }));
}

function labelOf(r: Raw): string {
  const g = pick(r, 'group', 'labels');
  if (g && typeof g === 'object') return Object.values(g as Raw).map(String).join(' · ');
  return str(r, 'group', 'label', 'level', 'severity', 'model', 'tool', 'name', 'series');
}
