// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The messages of tailrace.v1 (docs/protocol/live-tail.md) as types.

export type Signal = 'log' | 'span' | 'metric' | 'score';
/** Signals as filters name them. */
export type Signals = 'logs' | 'spans' | 'metrics' | 'scores';
export type Severity = 'unset' | 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Attributes = Record<string, Json>;

export interface SpanEvent {
  name: string;
  time: string;
  attributes?: Attributes;
}

/** One record, as the server sends it. Which members there are depends on the signal. */
export interface TailRecord {
  seq: number;
  signal: Signal;
  project: string;
  deployment?: string;
  server?: string;
  build?: string;
  service?: string;
  attributes?: Attributes;
  truncated?: boolean;
  time?: string;
  // log
  severity?: Severity;
  severityNumber?: number;
  eventName?: string;
  body?: Json;
  stream?: 'stdout' | 'stderr';
  traceId?: string;
  spanId?: string;
  uid?: string;
  // span
  parentSpanId?: string | null;
  name?: string;
  kind?: string;
  start?: string;
  end?: string;
  durationMs?: number;
  status?: 'unset' | 'ok' | 'error';
  statusMessage?: string;
  events?: SpanEvent[];
  state?: 'started' | 'ended' | 'orphaned';
  // metric
  metricType?: string;
  unit?: string;
  value?: number | string | null;
  count?: number | string;
  sum?: number | string;
  // score
  label?: string;
  explanation?: string;
}

export interface Filter {
  signals?: Signals[];
  min_severity?: Severity;
  text?: string;
  regex?: string;
  attributes?: Record<string, Json>;
  /** Equal to it, or to one of several. */
  service?: string | string[];
  name?: string | string[];
  status?: 'error' | 'ok';
  min_duration_ms?: number;
  event_name?: string | string[];
  not?: Filter;
}

export interface Hello {
  /** false: a token is wanted as the first message. */
  authenticated?: boolean;
  server?: string;
  version?: string;
  epoch: string;
  ping_interval_ms?: number;
  limits?: Record<string, number>;
  capabilities?: string[];
}

export interface Gap {
  /** Records (after, last] of the epoch are missing. */
  after: number;
  last: number;
  /** How many of them matched the filter; null when nobody knows. */
  dropped: number | null;
  by_severity?: Record<string, number>;
  reason: 'slow' | 'sampled' | 'evicted' | 'restart' | string;
  /** Up to where records may be missing from what follows, too, when that is above last. */
  until?: number;
  /** The REST queries that return the rest, of an evicted gap. */
  query?: string[];
  /** The server reads what is missing from the store: it comes next. */
  filling?: boolean;
}

export interface Batch {
  sub: string | number;
  after: number;
  last: number;
  filtered?: number;
  records: TailRecord[];
  /** The records come from the store, have no seq, and may be ones that were seen before the connection was lost. */
  stored?: boolean;
  /** They stand before everything else of the subscription, in their own order. */
  older?: boolean;
  /** Unix ms of the server's clock, to resume at. */
  at?: number;
}

/** Ends what the server read from the store for a subscription. */
export interface Filled {
  records: number;
  /** false: something may be missing still; `message` says why. */
  complete: boolean;
  /** The end of batches that are older; no gap follows. */
  older?: boolean;
  message?: string;
}

export interface ServerMessage {
  type: string;
  id?: string | number;
  payload?: Record<string, unknown>;
}

/** What a close code asks of the client. */
export function verdict(code: number): 'reconnect' | 'login' | 'stop' {
  switch (code) {
    case 4401:
    case 4001:
      return 'login';
    case 4400:
    case 4403:
    case 1002:
      return 'stop';
    default:
      return 'reconnect';
  }
}
