// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// What the usage page adds up.

import { num, pick, type Raw, series, str } from '../api/decode';
import type { Series } from '../api/types';

export const INPUT = ['inputTokens'];
export const OUTPUT = ['outputTokens'];
export const COST = ['cost'];
export const CALLS = ['calls'];

interface Total {
  name: string;
  input: number;
  output: number;
  cost: number;
  calls: number;
}

/** Sums by group over the whole range. Rows are one a time and group, or one a group with points. */
export function totals(answer: Raw): Total[] {
  const out = new Map<string, Total>();
  for (const r of (Array.isArray(answer.data) ? answer.data : []) as Raw[]) {
    const g = pick(r, 'group', 'labels');
    const name = (g && typeof g === 'object' ? Object.values(g).join(' · ') : str(r, 'group', 'model', 'tool')) || 'unknown';
    const t = out.get(name) ?? { name, input: 0, output: 0, cost: 0, calls: 0 };
    for (const p of (Array.isArray(r.points) ? r.points : [r]) as Raw[]) {
      t.input += num(p, ...INPUT) ?? 0;
      t.output += num(p, ...OUTPUT) ?? 0;
      t.cost += num(p, ...COST) ?? 0;
      t.calls += num(p, ...CALLS) ?? 0;
    }
    out.set(name, t);
  }
  return [...out.values()].filter((t) => t.calls + t.input + t.output > 0).sort((a, b) => b.cost - a.cost || b.input + b.output - a.input - a.output);
}

interface Tool {
  name: string;
  calls: number;
  failed: number;
  ms: number;
  tokens: number;
}

/** Sums by tool over the whole range, the one that is called most first. */
export function tools(answer: Raw): Tool[] {
  const out: Tool[] = [];
  for (const r of (Array.isArray(answer.data) ? answer.data : []) as Raw[]) {
    const t = { name: str((r.group ?? {}) as Raw, 'tool') || 'unknown', calls: 0, failed: 0, ms: 0, tokens: 0 };
    for (const p of (Array.isArray(r.points) ? r.points : []) as Raw[]) {
      t.calls += num(p, ...CALLS) ?? 0;
      t.failed += num(p, 'errors') ?? 0;
      t.ms += num(p, 'durationMs') ?? 0;
      t.tokens += (num(p, ...INPUT) ?? 0) + (num(p, ...OUTPUT) ?? 0);
    }
    if (t.calls > 0) out.push(t);
  }
  return out.sort((a, b) => b.calls - a.calls);
}

// Adds members of the same group and time: input and output tokens make one bar.
export function combine(answer: Raw, names: string[]): Series[] {
  const parts = names.flatMap((n) => series(answer, n)).filter((s) => s.points.some((p) => p[1] !== null));
  const sums = new Map(parts.map((s) => [s.label, { every: s.every, at: new Map<number, number>() }]));
  for (const { label, points } of parts) {
    const { at } = sums.get(label)!;
    for (const [t, v] of points) at.set(t, (at.get(t) ?? 0) + (v ?? 0));
  }
  return [...sums].map(([label, { every, at }]) => ({ label, every, points: [...at].sort((a, b) => a[0] - b[0]) })).slice(0, 8);
}
