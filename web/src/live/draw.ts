// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Draws rows. Everything that came from outside becomes a text node; no string is ever parsed as HTML, no attribute but
// title and class is set from data, and links only go to paths of this console.

import { ansiSegments } from '../lib/ansi';
import { type Clock, dayOf, duration, lineTime } from '../lib/format';
import type { Json } from './protocol';
import { partsOf, type Row, sourceOf } from './row';

export interface Look {
  clock: Clock;
  wrap: boolean;
  extras: boolean;
  sources: boolean;
}

export function element(tag: string, className = '', text?: string): HTMLElement {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

const colours = new Map<string, string>();

/** The class of a source's colour: the same name has the same colour everywhere. */
export function colourOf(name: string): string {
  const known = colours.get(name);
  if (known) return known;
  let h = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
  const colour = `s${((h ^ (h >>> 13)) >>> 0) % 8 + 1}`;
  // Names come from outside: their number is not ours to choose.
  if (colours.size < 1000) colours.set(name, colour);
  return colour;
}

const SIGNALS: Record<string, string> = { span: 'SPAN', metric: 'METR', score: 'SCOR' };

export function drawRow(row: Row, look: Look): HTMLElement {
  if (row.kind !== 'record') return drawMark(row);
  const r = row.record!;
  const e = element('div', `lr l-${row.level} k-${r.signal}${row.open ? ' open' : ''}`);
  e.setAttribute('role', 'listitem');
  const time = element('span', 'lt', lineTime(row.ms, look.clock));
  time.setAttribute('role', 'button');
  e.append(time);
  if (look.sources) {
    const name = sourceOf(r);
    e.append(element('span', `ls ${colourOf(name)}`, name));
  }
  e.append(element('span', 'll', SIGNALS[r.signal] ?? (row.level === 'unset' ? '·' : row.level)));
  e.append(drawBody(row, look));
  return e;
}

/** Gives the time of a line, or its source, its tooltip when one points at it: of 2,000 lines a second nobody reads the others'. */
export function explain(target: HTMLElement, rowOf: (key: number) => Row | undefined): void {
  if (!target.matches('.lt, .ls') || target.title) return;
  const row = rowOf(Number(target.closest<HTMLElement>('.lr')?.dataset.key));
  if (!row?.record) return;
  const { project, deployment, server, build, service } = row.record;
  target.title = target.matches('.lt') ? `${dayOf(row.ms, 'utc')} ${lineTime(row.ms, 'utc')} UTC. Click to select the line, Shift+click for a range` : [project, deployment, server ?? build, service].filter(Boolean).join(' › ');
}

function drawMark(row: Row): HTMLElement {
  const e = element('div', `lr mark ${row.kind}`);
  e.setAttribute('role', 'listitem');
  e.append(element('span', 'mark-text', row.text));
  const by = row.gap?.by_severity;
  if (by) e.append(element('span', 'mark-more', Object.entries(by).map(([k, v]) => `${v} ${k}`).join(', ')));
  if (row.gap && (row.gap.reason === 'evicted' || row.gap.reason === 'restart' || row.gap.reason === 'slow')) {
    const b = element('button', 'mark-fill', 'Load from the store');
    b.setAttribute('type', 'button');
    b.tabIndex = -1;
    e.append(b);
  }
  return e;
}

function drawBody(row: Row, look: Look): HTMLElement {
  const r = row.record!;
  const parts = partsOf(row);
  const body = element('div', 'lb');
  const foldable = parts.folded.rest !== '' || parts.json !== undefined;
  if (foldable) {
    const b = element('button', 'fold', row.open ? '▾' : '▸');
    b.setAttribute('type', 'button');
    b.tabIndex = -1;
    b.setAttribute('aria-label', row.open ? 'Fold' : 'Unfold');
    b.setAttribute('aria-expanded', String(row.open));
    body.append(b);
  }
  if (r.signal === 'span') {
    body.append(element('span', 'b-name', r.name ?? ''), ' ', element('span', `b-dur${r.durationMs === undefined ? ' pending' : ''}`, r.durationMs === undefined ? (r.state === 'orphaned' ? 'no end came' : 'running') : duration(r.durationMs)));
    if (r.statusMessage) body.append(' ', element('span', 'b-err', r.statusMessage));
  } else if (r.signal === 'metric') {
    body.append(element('span', 'b-name', r.name ?? ''), ' ', element('span', 'b-dur', r.value !== undefined ? `${r.value}` : `count ${r.count ?? 0} · sum ${r.sum ?? '–'}`), r.unit ? ` ${r.unit}` : '');
  } else if (r.signal === 'score') {
    body.append(element('span', 'b-name', r.name ?? ''), ' ', element('span', 'b-dur', r.value === null || r.value === undefined ? '–' : String(r.value)), r.label ? ` ${r.label}` : '');
    if (r.explanation) body.append(' ', element('span', 'soft', r.explanation));
  } else if (parts.json !== undefined && parts.folded.rest === '') {
    body.append(inlineJson(parts.json));
  } else {
    for (const s of ansiSegments(parts.folded.head)) body.append(s.classes ? element('span', s.classes, s.text) : document.createTextNode(s.text));
  }
  if (parts.folded.rest !== '' && !row.open) body.append(' ', element('span', 'more', `+${parts.folded.restLines} ${parts.folded.isStack ? 'frames' : 'lines'}`));
  if (row.open) body.append(parts.json !== undefined ? jsonBlock(parts.json) : restBlock(parts.folded.rest, parts.folded.isStack));
  if (look.extras && !(row.open && parts.json !== undefined)) {
    for (const [k, v] of parts.extras) body.append(' ', element('span', 'xk', k + '='), element('span', 'xv', v));
  }
  return body;
}

function restBlock(text: string, isStack: boolean): HTMLElement {
  const e = element('div', 'rest');
  for (const line of text.split('\n')) {
    // What lies in libraries is rarely the culprit.
    const library = isStack && /node_modules|node:internal|site-packages|\/usr\/lib|\bjava\.base\b|runtime\/|\(internal\//.test(line);
    const l = element('div', library ? 'frame library' : 'frame');
    for (const s of ansiSegments(line)) l.append(s.classes ? element('span', s.classes, s.text) : document.createTextNode(s.text));
    e.append(l);
  }
  return e;
}

function scalar(v: Json): HTMLElement {
  return element('span', `j-${v === null ? 'null' : typeof v}`, JSON.stringify(v));
}

/** One line of JSON as key=value, enough to recognise it. */
function inlineJson(v: Json): HTMLElement {
  const e = element('span', 'j-line');
  if (Array.isArray(v) || typeof v !== 'object' || v === null) {
    e.textContent = JSON.stringify(v);
    return e;
  }
  let n = 0;
  for (const [k, x] of Object.entries(v)) {
    if (n++ > 24) break;
    if (n > 1) e.append(' ');
    const short = typeof x === 'object' && x !== null ? (Array.isArray(x) ? `[${x.length}]` : '{…}') : typeof x === 'string' ? x : JSON.stringify(x);
    e.append(element('span', 'xk', k + '='), element('span', typeof x === 'string' ? 'j-text' : `j-${x === null ? 'null' : typeof x}`, short));
  }
  return e;
}

const MAX_CHILDREN = 500;
const OPEN_DEPTH = 4;

/** A tree of JSON that folds; the first levels are open. Buttons carry their own listeners, so it works anywhere. */
export function jsonBlock(v: Json): HTMLElement {
  const e = element('div', 'json');
  // What is short is shown whole: a value that must be unfolded to be seen at all is a click too many.
  e.append(node(undefined, v, JSON.stringify(v).length < 900 ? 0 : 2));
  return e;
}

function node(key: string | undefined, v: Json, depth: number): HTMLElement {
  const e = element('div', 'j-node');
  const head = element('div', 'j-head');
  e.append(head);
  if (typeof v !== 'object' || v === null) {
    if (key !== undefined) head.append(element('span', 'j-key', key), ': ');
    // Tool calls and messages are often JSON in a string: one more step shows it as a tree.
    head.append(scalar(v));
    return e;
  }
  const entries: [string, Json][] = Array.isArray(v) ? v.map((x, i) => [String(i), x]) : Object.entries(v);
  const toggle = element('button', 'j-toggle', '▸');
  toggle.setAttribute('type', 'button');
  const label = Array.isArray(v) ? `[${entries.length}]` : entries.length === 0 ? '{}' : `{${entries.length}}`;
  head.append(toggle);
  if (key !== undefined) head.append(element('span', 'j-key', key), ': ');
  head.append(element('span', 'j-label', label));
  let children: HTMLElement | undefined;
  const set = (open: boolean) => {
    toggle.textContent = open ? '▾' : '▸';
    toggle.setAttribute('aria-expanded', String(open));
    toggle.setAttribute('aria-label', `${open ? 'Fold' : 'Unfold'} ${key ?? 'value'}`);
    children?.remove();
    children = undefined;
    if (!open) return;
    children = element('div', 'j-children');
    for (const [k, x] of entries.slice(0, MAX_CHILDREN)) children.append(node(k, x, depth + 1));
    if (entries.length > MAX_CHILDREN) children.append(element('div', 'faint', `${entries.length - MAX_CHILDREN} more; the raw form has all`));
    e.append(children);
  };
  toggle.addEventListener('click', (event) => {
    event.stopPropagation();
    set(!children);
    toggle.dispatchEvent(new CustomEvent('refold', { bubbles: true }));
  });
  set(depth < OPEN_DEPTH && entries.length <= 60);
  return e;
}
