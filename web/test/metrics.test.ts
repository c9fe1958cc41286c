// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from 'vitest';
import type { Series } from '../src/api/types';
import { byLast, complete, drawn } from '../src/metrics/lines';

const line = (label: string, ...values: (number | null)[]): Series => ({ label, every: 1000, points: values.map((v, i) => [i * 1000, v]) });
const labels = (list: Series[]) => list.map((s) => s.label);

describe('series of a metric', () => {
  it('are listed by their last value, and drawn in an order that does not change with it', () => {
    const [before, after] = [[line('b', 9), line('a', 3)], [line('b', 9, 1), line('a', 3, 7)]];
    expect(labels(byLast(before))).toEqual(['b', 'a']);
    expect(labels(byLast(after))).toEqual(['a', 'b']);
    expect(labels(drawn(byLast(after)))).toEqual(labels(drawn(byLast(before))));
  });

  it('are drawn up to eight, those with the highest last value', () => {
    const many = Array.from({ length: 12 }, (_, i) => line(`s${String(i).padStart(2, '0')}`, i));
    expect(labels(drawn(byLast(many)))).toEqual(['s04', 's05', 's06', 's07', 's08', 's09', 's10', 's11']);
  });

  it('stay where they are drawn when others come and go', () => {
    const before = drawn(byLast(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((label) => line(label, 5))));
    const next = [...['a', 'c', 'd', 'e', 'f', 'g', 'h'].map((label) => line(label, 5)), line('b', 1), line('aa', 9)];
    const after = drawn(byLast(next), before);
    expect(labels(after)).toEqual(['a', 'aa', 'c', 'd', 'e', 'f', 'g', 'h']);
    expect(drawn(byLast(next), after)).toEqual(after);
    expect(labels(drawn([line('h', 1), line('x', 1)], after))).toEqual(['x', 'h']);
    expect(labels(drawn([line('y', 2), line('x', 1)], after))).toEqual(['x', 'y']);
  });

  it.each(['sum', 'count', 'rate'])('leave out the bucket that is not over, of %s', (aggregate) => {
    expect(complete([line('a', 5, 1)], aggregate, 1500)).toEqual([line('a', 5)]);
    expect(complete([line('a', 5, 1)], 'avg', 1500)).toEqual([line('a', 5, 1)]);
    expect(complete([line('a', null, 1)], aggregate, 1500)).toEqual([line('a', null, 1)]); // it has just begun
  });
});
