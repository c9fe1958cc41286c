// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Files out of a stream: what is on the screen as text or records, and what the store has of the same selection.

import { download } from '../api/client';
import { logParams, scopeParams, spanParams } from '../api/params';
import { bytes, count } from '../lib/format';
import { saveAs, say } from '../lib/store';
import type { MenuItem } from '../ui/Menu';
import type { Wanted } from './history';
import type { Pane } from './pane';
import type { Signals } from './protocol';
import { exportLine } from './row';

const NDJSON = 'application/x-ndjson';
const fileName = (what: string, ending: string) => `tailrace-${what}-${new Date().toISOString().replace(/[:.]/g, '-')}.${ending}`;

const SPANS = [
  ['-1h', 'of the last hour'],
  ['-24h', 'of the last day'],
  ['-7d', 'of the last 7 days'],
] as const;

/** The choices of the menu. */
export function downloads(pane: Pane): (MenuItem | string)[] {
  const selected = pane.view.selectedRows();
  const rows = selected ?? pane.view.allRows();
  const records = rows.flatMap((r) => (r.record ? [r.record] : []));
  const what = selected ? 'Selected lines' : 'What is loaded';
  const wanted = pane.wanted;
  const out: (MenuItem | string)[] = [
    `${what}: ${count(rows.length)} lines`,
    { label: 'As text', detail: '.log', run: () => saveAs(fileName('live', 'log'), [rows.map(exportLine).join('\n'), '\n']) },
    // A million small strings at once would stop the page; Blob takes them one by one.
    { label: 'As records', detail: '.ndjson', run: () => saveAs(fileName('live', 'ndjson'), records.map((r) => JSON.stringify(r) + '\n'), NDJSON) },
  ];
  const signals = (['logs', 'spans', 'scores'] as const).filter((s) => !wanted.filter.signals || wanted.filter.signals.includes(s));
  if (signals.length > 0) out.push(`From the store, as .ndjson: ${signals.join(', ')}${wanted.filter.not ? ', with what the filter excludes' : ''}`);
  for (const [since, label] of signals.length > 0 ? SPANS : []) out.push({ label: `All ${label}`, run: () => void fromStore(wanted, signals, since) });
  return out;
}

/** One file for each signal. An answer that was cut gives no file. */
async function fromStore(w: Wanted, signals: readonly Signals[], start: string): Promise<void> {
  for (const s of signals) {
    const range = { start, trace_id: w.trace };
    const params = s === 'logs' ? logParams(w.scope, w.filter) : s === 'spans' ? spanParams(w.scope, w.filter) : { ...scopeParams(w.scope), name: w.filter.name, text: w.filter.text };
    try {
      say(`The store collects ${s} …`);
      const file = await download(`/${s}`, { ...params, ...range });
      if (file.size > 0) saveAs(fileName(s, 'ndjson'), [file], NDJSON);
      say(file.size > 0 ? `${s}: ${bytes(file.size)}` : `The store has no ${s} of this selection`);
    } catch (e) {
      say(`${s}: ${(e as Error).message}`);
    }
  }
}
