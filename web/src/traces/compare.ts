// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Matches the spans of two traces, level by level from the roots.

import type { Span } from '../api/types';
import { buildTree, endOf, type Node } from './tree';

export interface Side {
  ms: number;
  error: boolean;
}

export interface Row {
  key: string;
  name: string;
  depth: number;
  a?: Side;
  b?: Side;
}

interface Pair {
  a?: Node;
  b?: Node;
}

// How-manieth of its key among its siblings.
function keyed(nodes: Node[], key: (n: Node) => string): Map<string, Node> {
  const seen = new Map<string, number>();
  const out = new Map<string, Node>();
  for (const n of nodes) {
    const k = key(n);
    const i = seen.get(k) ?? 0;
    seen.set(k, i + 1);
    out.set(`${k}#${i}`, n);
  }
  return out;
}

// Siblings are the same step by their whole name, else by its first word ("chat small" and "chat large" are both the model's turn);
// the only roots of both are the same whatever they are called.
function pairs(left: Node[], right: Node[], roots: boolean): Pair[] {
  const partner = new Map<Node, Node>();
  const taken = new Set<Node>();
  const match = (key: (n: Node) => string) => {
    const r = keyed(right.filter((n) => !taken.has(n)), key);
    for (const [k, a] of keyed(left.filter((n) => !partner.has(n)), key)) {
      const b = r.get(k);
      if (!b) continue;
      partner.set(a, b);
      taken.add(b);
    }
  };
  match((n) => n.span.name);
  match((n) => n.span.name.split(' ')[0]!);
  if (roots && left.length === 1 && right.length === 1) match(() => '');
  return [...left.map((a): Pair => ({ a, b: partner.get(a) })), ...right.filter((b) => !taken.has(b)).map((b): Pair => ({ b }))];
}

const side = (n: Node): Side => ({ ms: endOf(n.span, Date.now()) - n.span.start, error: n.span.status === 'error' });

/** Rows in the order of a's tree, with what only b has at its place among the siblings. */
export function compare(a: Span[], b: Span[]): Row[] {
  const out: Row[] = [];
  const walk = (left: Node[], right: Node[], depth: number) => {
    for (const p of pairs(left, right, depth === 0)) {
      const [x, y] = [p.a?.span.name, p.b?.span.name];
      out.push({ key: `${p.a?.span.spanId}/${p.b?.span.spanId}`, name: x !== undefined && y !== undefined && x !== y ? `${x} / ${y}` : (x ?? y ?? ''), depth, a: p.a && side(p.a), b: p.b && side(p.b) });
      walk(p.a?.children ?? [], p.b?.children ?? [], depth + 1);
    }
  };
  walk(buildTree(a), buildTree(b), 0);
  return out;
}
