// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from 'vitest';
import { bucketAt, moved, nearest, seriesAt } from '../src/ui/pick';

describe('the point of a chart that is meant', () => {
  it('a bar covers its bucket, a point of a line half of both sides', () => {
    const t = [10, 20, 30];
    expect([9, 10, 19, 20, 99].map((x) => bucketAt(t, x, 'bars'))).toEqual([0, 0, 0, 1, 2]);
    expect([9, 14, 16, 26, 99].map((x) => bucketAt(t, x, 'line'))).toEqual([0, 0, 1, 2, 2]);
    expect(bucketAt([], 5, 'line')).toBe(-1);
  });
  it('the nearest line; the bar that is hit, of two the one in front', () => {
    expect(seriesAt([[0.2], [0.9], [null]], 0, 0.7, 'line')).toBe(1);
    expect(seriesAt([[100], [8]], 0, 5, 'bars')).toBe(1);
    expect(seriesAt([[100], [8]], 0, 50, 'bars')).toBe(0);
    expect(seriesAt([[100], [8]], 0, 500, 'bars')).toBe(0);
    expect(seriesAt([[100], [0]], 0, 0, 'bars')).toBe(0);
    expect(seriesAt([[null], [undefined]], 0, 1, 'line')).toBe(-1);
  });
  it('keys pass over buckets without a value', () => {
    const c = [
      [1, null, 3],
      [null, 2, 3],
    ];
    expect(moved(c, { bucket: -1, series: 0 }, 'ArrowLeft', 'line')).toEqual({ bucket: 2, series: 0 });
    expect(moved(c, { bucket: 2, series: 0 }, 'ArrowLeft', 'line')).toEqual({ bucket: 0, series: 0 });
    expect(moved(c, { bucket: 0, series: 0 }, 'ArrowLeft', 'line')).toEqual({ bucket: 0, series: 0 });
    expect(moved(c, { bucket: 2, series: 0 }, 'ArrowDown', 'line')).toEqual({ bucket: 2, series: 1 });
    expect(moved(c, { bucket: 0, series: 0 }, 'ArrowUp', 'line')).toEqual({ bucket: 0, series: 0 });
    expect(moved([], { bucket: -1, series: 0 }, 'End', 'line')).toEqual({ bucket: -1, series: 0 });
  });
  it('a place is kept by the nearest point when buckets become longer', () => {
    expect(nearest([0, 15, 30], [1, null, 2], 20, 'line')).toBe(2);
    expect(nearest([0, 15, 30], [1, null, null], 20, 'line')).toBe(0);
    expect(nearest([0, 15], [null, undefined], 20, 'line')).toBe(-1);
  });
  it('keys pass over bars of nothing, behind which there is nothing to open', () => {
    const c = [
      [4, 2, 0],
      [0, 1, 1],
    ];
    expect(moved(c, { bucket: -1, series: 0 }, 'End', 'bars')).toEqual({ bucket: 1, series: 0 });
    expect(moved(c, { bucket: -1, series: 1 }, 'Home', 'bars')).toEqual({ bucket: 1, series: 1 });
    expect(moved(c, { bucket: 0, series: 0 }, 'ArrowDown', 'bars')).toEqual({ bucket: 0, series: 0 });
    expect(moved(c, { bucket: -1, series: 0 }, 'End', 'line')).toEqual({ bucket: 2, series: 0 });
    expect(nearest([10, 20, 30], c[0]!, 30, 'bars')).toBe(1);
  });
});
