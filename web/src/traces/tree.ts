// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The tree of a trace's spans, and its critical path: what would have had to be faster for the whole to be faster.

import type { Span } from '../api/types';

export interface Node {
  span: Span;
  depth: number;
  children: Node[];
  /** Number of nodes below. */
  below: number;
  /** The parent that the span names is not here (yet). */
  orphan: boolean;
}

export interface Segment {
  spanId: string;
  from: number;
  to: number;
}

export const endOf = (s: Span, now: number): number => s.end ?? Math.max(now, s.start);

/** Roots in the order of their start. Spans that are each other's ancestors have no root: the first of them becomes one. */
export function buildTree(spans: Span[]): Node[] {
  const nodes = new Map<string, Node>();
  for (const span of spans) nodes.set(span.spanId, { span, depth: 0, children: [], below: 0, orphan: false });
  const roots: Node[] = [];
  for (const node of nodes.values()) {
    const parent = node.span.parentId ? nodes.get(node.span.parentId) : undefined;
    if (parent && parent !== node) parent.children.push(node);
    else {
      node.orphan = node.span.parentId !== '';
      roots.push(node);
    }
  }
  const byStart = (a: Node, b: Node) => a.span.start - b.span.start || (b.span.end ?? Infinity) - (a.span.end ?? Infinity);
  roots.sort(byStart);
  // Not by recursion: a trace may be a chain of 20,000 spans.
  const order: Node[] = [];
  const placed = new Set<Node>();
  const place = (stack: Node[]) => {
    while (stack.length > 0) {
      const n = stack.pop()!;
      placed.add(n);
      order.push(n);
      n.children = n.children.filter((c) => !placed.has(c)).sort(byStart);
      for (let i = n.children.length - 1; i >= 0; i--) {
        n.children[i]!.depth = n.depth + 1;
        stack.push(n.children[i]!);
      }
    }
  };
  place([...roots].reverse());
  if (placed.size < nodes.size)
    for (const n of [...nodes.values()].sort(byStart)) {
      if (placed.has(n)) continue;
      n.orphan = true;
      roots.push(n);
      place([n]);
    }
  for (const n of order.reverse()) n.below = n.children.reduce((sum, c) => sum + 1 + c.below, 0);
  return roots;
}

/** The rows of the tree that are not folded away, each before its children. */
export function visible(roots: Node[], folded: ReadonlySet<string>): Node[] {
  const out: Node[] = [];
  const stack = [...roots].reverse();
  while (stack.length > 0) {
    const n = stack.pop()!;
    out.push(n);
    if (!folded.has(n.span.spanId)) for (let i = n.children.length - 1; i >= 0; i--) stack.push(n.children[i]!);
  }
  return out;
}

/**
 * Walks back from the end of the root: whatever child ended last before a moment is what it waited for; where no child was running
 * it was busy itself.
 */
export function criticalPath(root: Node, now = Date.now()): Segment[] {
  const out: Segment[] = [];
  const work: { node: Node; from: number; to: number }[] = [{ node: root, from: root.span.start, to: endOf(root.span, now) }];
  while (work.length > 0) {
    const { node, from, to } = work.pop()!;
    let t = to;
    const children = [...node.children].sort((a, b) => endOf(b.span, now) - endOf(a.span, now));
    for (const c of children) {
      const start = Math.max(c.span.start, from);
      const end = Math.min(endOf(c.span, now), t);
      // What began after this moment, or ended before the span did, was not waited for.
      if (end <= start || start >= t) continue;
      if (end < t) out.push({ spanId: node.span.spanId, from: end, to: t });
      work.push({ node: c, from: start, to: end });
      t = start;
    }
    if (t > from) out.push({ spanId: node.span.spanId, from, to: t });
  }
  return out.sort((a, b) => a.from - b.from);
}

/** Start and end of everything. */
export function extent(spans: Span[], now: number): [number, number] {
  let a = Infinity;
  let b = -Infinity;
  for (const s of spans) {
    a = Math.min(a, s.start);
    b = Math.max(b, endOf(s, now));
  }
  return a <= b ? [a, Math.max(b, a + 0.001)] : [now, now + 1];
}
