// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// What the pages work with. decode.ts makes it of the server's answers.

import type { Attributes, Severity, TailRecord } from '../live/protocol';

export interface Page<T> {
  data: T[];
  next?: string;
  more: boolean;
}

export interface Scope {
  project?: string;
  deployment?: string;
  server?: string;
  service?: string;
}

export interface Project {
  id: string;
  lastSeen?: number;
  spansPerSecond?: number;
  logsPerSecond?: number;
}

export interface Server {
  id: string;
  project: string;
  deployment: string;
  service: string;
  state: string;
  stateSince?: number;
  health: string;
  lastSeen?: number;
  /** Percent of one core. */
  cpu?: number;
  /** Bytes; NaN when unknown. */
  memory: number;
  /** Seconds. */
  uptime?: number;
  /** Of the last week; rates of the last five minutes. */
  logs: number;
  spans: number;
  errors: number;
  logsPerSecond: number;
  spansPerSecond: number;
}

export interface TraceSummary {
  traceId: string;
  name: string;
  service: string;
  services: string[];
  project: string;
  server: string;
  start: number;
  durationMs: number;
  spans: number;
  errors: number;
  tokens?: number;
  cost?: number;
  kind?: string;
}

export interface SpanEvent {
  name: string;
  ms: number;
  attributes: Attributes;
}

export interface SpanLink {
  traceId: string;
  spanId: string;
  attributes: Attributes;
}

export interface Span {
  traceId: string;
  spanId: string;
  parentId: string;
  name: string;
  kind: string;
  service: string;
  project: string;
  deployment: string;
  server: string;
  start: number;
  /** undefined while it runs. */
  end?: number;
  status: 'unset' | 'ok' | 'error' | 'orphan';
  statusMessage: string;
  attributes: Attributes;
  resource: Attributes;
  events: SpanEvent[];
  links: SpanLink[];
}

export type LogLine = TailRecord & { severity: Severity };

export interface Series {
  label: string;
  /** How long a bucket is, in ms. It is the answer's: what is asked for next may have another. */
  every: number;
  points: [ms: number, value: number | null][];
}

export interface MetricName {
  name: string;
  type: string;
  unit: string;
  description: string;
  monotonic: boolean;
  lastSeen?: number;
}

export interface Score {
  uid: string;
  ms: number;
  name: string;
  value: number | null;
  label: string;
  explanation: string;
  traceId: string;
  spanId: string;
  project: string;
  server: string;
}
