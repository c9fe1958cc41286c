// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from 'vitest';
import type { Span } from '../src/api/types';
import { compare } from '../src/traces/compare';
import { merge } from '../src/traces/live';
import { buildTree, criticalPath, visible } from '../src/traces/tree';

const s = (spanId: string, parentId: string, start: number, end?: number, more: Partial<Span> = {}): Span => ({ traceId: 't', spanId, parentId, name: spanId, kind: 'internal', service: 'x', project: 'p', deployment: '', server: '', start, end, status: 'unset', statusMessage: '', attributes: {}, resource: {}, events: [], links: [], ...more });

describe('the tree of a trace', () => {
  it('takes children before parents, late parents and rings', () => {
    const roots = buildTree([s('c', 'b', 2, 3), s('b', 'a', 1, 4), s('a', '', 0, 5), s('late', 'nowhere', 6, 7), s('r1', 'r2', 8, 9), s('r2', 'r1', 8, 9), s('self', 'self', 10, 11)]);
    expect(visible(roots, new Set()).map((n) => `${n.depth}${n.span.spanId}${n.orphan ? '!' : ''}`)).toEqual(['0a', '1b', '2c', '0late!', '0self!', '0r1!', '1r2']);
    expect(visible(roots, new Set(['b'])).map((n) => n.span.spanId)).not.toContain('c');
    expect(roots[0]!.below).toBe(2);
  });

  it('takes a chain of 20,000 spans', () => {
    const chain = Array.from({ length: 20_000 }, (_, i) => s(`n${i}`, i === 0 ? '' : `n${i - 1}`, i, 40_000 - i));
    const roots = buildTree(chain);
    expect(visible(roots, new Set())).toHaveLength(20_000);
    expect(criticalPath(roots[0]!)).toHaveLength(39_999);
  });

  it('finds the critical path: what was waited for last', () => {
    const [root] = buildTree([s('root', '', 0, 100), s('fast', 'root', 10, 30), s('slow', 'root', 10, 60), s('after', 'root', 65, 90), s('inner', 'slow', 20, 50)]);
    expect(criticalPath(root!)).toEqual([
      { spanId: 'root', from: 0, to: 10 },
      { spanId: 'slow', from: 10, to: 20 },
      { spanId: 'inner', from: 20, to: 50 },
      { spanId: 'slow', from: 50, to: 60 },
      { spanId: 'root', from: 60, to: 65 },
      { spanId: 'after', from: 65, to: 90 },
      { spanId: 'root', from: 90, to: 100 },
    ]);
  });

  it('covers the root without overlaps, whatever the children do', () => {
    let a = 11;
    const next = (n: number) => (a = (a * 48271) % 2147483647) % n;
    for (let t = 0; t < 200; t++) {
      const spans = [s('0', '', 0, 1000)];
      for (let i = 1; i < 30; i++) {
        const from = next(1100);
        spans.push(s(String(i), String(next(i)), from, from + next(300)));
      }
      const path = criticalPath(buildTree(spans)[0]!);
      let at = 0;
      for (const p of path) {
        expect(p.from).toBe(at);
        expect(p.to).toBeGreaterThan(p.from);
        at = p.to;
      }
      expect(at).toBe(1000);
    }
  });

  it('merges live spans into stored ones', () => {
    const stored = [s('a', '', 0, 5, { resource: { x: 1 } })];
    const live = new Map([['a', s('a', '', 0, 5)], ['b', s('b', 'a', 1)]]);
    const out = merge(stored, live);
    expect(out.map((x) => [x.spanId, x.end])).toEqual([['a', 5], ['b', undefined]]);
    expect(out[0]!.resource).toEqual({ x: 1 });
    expect(merge([s('b', 'a', 1)], new Map([['b', s('b', 'a', 1, 9)]]))[0]!.end).toBe(9);
  });

  it('compares step by step', () => {
    const a = [s('r', '', 0, 10), s('x', 'r', 1, 3, { name: 'chat' }), s('y', 'r', 4, 6, { name: 'tool' })];
    const b = [s('r2', '', 0, 20, { name: 'r' }), s('x2', 'r2', 1, 9, { name: 'chat' }), s('z', 'r2', 9, 10, { name: 'chat' })];
    expect(compare(a, b).map((r) => [r.name, r.a?.ms, r.b?.ms])).toEqual([['r', 10, 20], ['chat', 2, 8], ['tool', 2, undefined], ['chat', undefined, 1]]);
    const other = [s('q', '', 0, 20, { name: 'another root' }), s('q1', 'q', 1, 9, { name: 'chat large' })];
    expect(compare(a, other).map((r) => [r.name, r.a?.ms, r.b?.ms])).toEqual([['r / another root', 10, 20], ['chat / chat large', 2, 8], ['tool', 2, undefined]]);
  });
});
