// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// What a row of the stream is, apart from how it is drawn: its text, its level, what can be unfolded. Made once per record.

import { stripAnsi } from '../lib/ansi';
import { duration, millis } from '../lib/format';
import { parseJson } from '../lib/json';
import { type Folded, fold } from '../lib/stack';
import type { Gap, Json, Severity, TailRecord } from './protocol';

export type RowKind = 'record' | 'gap' | 'note';

export interface Row {
  /** Unique in its list; negative for rows that were put before the first ones. */
  key: number;
  kind: RowKind;
  ms: number;
  record?: TailRecord;
  gap?: Gap;
  /** The whole text, without escapes: for find, copy and download. */
  text: string;
  level: Severity;
  open: boolean;
  /** Hidden by a level chip. */
  hidden: boolean;
  parts?: Parts;
}

export interface Parts {
  folded: Folded;
  /** A body or a text that is JSON. */
  json?: Json;
  /** Attributes, short, for the end of the line. */
  extras: [string, string][];
}

// Attributes that the line itself already says.
const SAID = new Set(['log.iostream', 'log.record.original', 'process.pid', 'event.name', 'log.record.uid', 'tailrace.line.bytes', 'process.executable.name',
  'gen_ai.operation.name', 'gen_ai.conversation.id', 'gen_ai.provider.name', 'gen_ai.system', 'gen_ai.tool.type', 'gen_ai.tool.call.id', 'gen_ai.tool.name', 'gen_ai.agent.name', 'gen_ai.agent.id', 'gen_ai.request.model', 'gen_ai.response.id', 'gen_ai.evaluation.name', 'gen_ai.evaluation.score.value', 'gen_ai.evaluation.score.label', 'gen_ai.evaluation.explanation', 'error.type', 'mastra.span.type']);
const MAX_EXTRAS = 6;

export const levelOf = (r: TailRecord): Severity => {
  if (r.signal === 'span') return r.status === 'error' ? 'error' : 'unset';
  return r.severity ?? 'unset';
};

export const timeOf = (r: TailRecord): number => millis(r.signal === 'span' ? (r.start ?? r.time) : (r.time ?? r.start));

export const sourceOf = (r: TailRecord): string => r.server || r.build || r.service || r.deployment || r.project;

export const asText = (v: Json | undefined): string => (v === undefined || v === null ? '' : typeof v === 'string' ? v : JSON.stringify(v));

/** The line as it was printed; the body where there is no original. */
export function message(r: TailRecord): string {
  switch (r.signal) {
    case 'span':
      return `${r.name ?? ''}${r.durationMs === undefined ? ' …' : ` ${duration(r.durationMs)}`}${r.statusMessage ? ` ${r.statusMessage}` : ''}`;
    case 'metric':
      return `${r.name ?? ''} ${r.value ?? `count ${r.count ?? 0} sum ${r.sum ?? '–'}`}${r.unit ? ` ${r.unit}` : ''}`;
    case 'score':
      return `${r.name ?? ''} ${r.value ?? r.label ?? '–'}${r.label && r.value !== null ? ` ${r.label}` : ''}${r.explanation ? ` ${r.explanation}` : ''}`;
    default:
      return asText(r.body) || (r.eventName ?? '');
  }
}

let nextKey = 1;
let previousKey = -1;

export function recordRow(record: TailRecord, older = false): Row {
  return { key: older ? previousKey-- : nextKey++, kind: 'record', ms: timeOf(record), record, text: stripAnsi(message(record)), level: levelOf(record), open: false, hidden: false };
}

export function gapRow(gap: Gap, ms: number): Row {
  return { key: nextKey++, kind: 'gap', ms, gap, text: gapText(gap), level: 'warn', open: false, hidden: false };
}

export function noteRow(text: string, ms: number): Row {
  return { key: nextKey++, kind: 'note', ms, text, level: 'unset', open: false, hidden: false };
}

export function gapText(g: Gap): string {
  const n = g.dropped !== null && g.dropped !== undefined ? `${g.dropped} ${g.dropped === 1 ? 'record' : 'records'}` : 'records';
  switch (g.reason) {
    case 'slow':
      return `${n} dropped here: this page did not take them in time`;
    case 'sampled':
      return `${n} left out here: the rate limit of this view`;
    case 'evicted':
      return `${n} missing here: they left the live buffer while this page was away`;
    case 'restart':
      return 'The collector was restarted here';
    case 'cleared':
      return 'Cleared';
    default:
      return `${n} missing here`;
  }
}

/** The foldable parts of a row, computed when it is first drawn. */
export function partsOf(row: Row): Parts {
  if (row.parts) return row.parts;
  const r = row.record!;
  const raw = message(r);
  const parts: Parts = { folded: fold(raw), extras: [] };
  if (r.signal === 'log') {
    const j = typeof r.body === 'object' && r.body !== null ? r.body : parseJson(raw);
    if (j !== undefined) parts.json = j;
  }
  for (const [k, v] of Object.entries(r.attributes ?? {})) {
    if (SAID.has(k) || k.startsWith('gen_ai.request.') || k === 'gen_ai.tool.description' || parts.extras.length >= MAX_EXTRAS) continue;
    const text = asText(v);
    if (text !== '' && text.length <= 80) parts.extras.push([k, text]);
  }
  row.parts = parts;
  return parts;
}

/** One row as a line of a downloaded file. */
export function exportLine(row: Row): string {
  if (!row.record) return `--- ${row.text}`;
  const r = row.record;
  const time = Number.isFinite(row.ms) ? new Date(row.ms).toISOString() : '';
  return `${time}\t${sourceOf(r)}\t${r.signal === 'log' ? row.level.toUpperCase() : r.signal}\t${row.text}`;
}
