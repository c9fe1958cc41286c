// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from 'vitest';
import { CHUNK, Lines } from '../src/live/lines';

// A plain list that does the same, slowly.
class Model {
  rows: { id: number; h: number }[] = [];
  top = (i: number) => this.rows.slice(0, i).reduce((a, r) => a + r.h, 0);
  find(y: number) {
    let top = 0;
    for (let i = 0; i < this.rows.length; i++) {
      if (y < top + this.rows[i]!.h) return { index: i, top };
      top += this.rows[i]!.h;
    }
    const n = this.rows.length;
    return { index: Math.max(0, n - 1), top: Math.max(0, this.top(n) - (this.rows[n - 1]?.h ?? 0)) };
  }
}

function random(seed: number) {
  let a = seed;
  return () => ((a = (a * 1_103_515_245 + 12_345) & 0x7fffffff) / 0x7fffffff);
}

describe('Lines', () => {
  it('does what a plain list does, whatever happens to it', () => {
    for (let seed = 1; seed <= 8; seed++) {
      const r = random(seed);
      const lines = new Lines<number>();
      const model = new Model();
      let id = 0;
      for (let step = 0; step < 250; step++) {
        const what = r();
        const h = r() < 0.1 ? 0 : Math.ceil(r() * 60);
        if (what < 0.55) {
          const n = Math.ceil(r() * 40);
          for (let i = 0; i < n; i++) {
            lines.append(++id, h);
            model.rows.push({ id, h });
          }
        } else if (what < 0.65) {
          const rows = Array.from({ length: Math.ceil(r() * 300) }, () => ++id);
          lines.prepend(rows, rows.map(() => h));
          model.rows.unshift(...rows.map((x) => ({ id: x, h })));
        } else if (what < 0.8 && lines.count > 0) {
          const i = Math.floor(r() * lines.count);
          lines.setHeight(i, h);
          model.rows[i]!.h = h;
        } else if (what < 0.85 && lines.count > 0) {
          const i = Math.floor(r() * lines.count);
          lines.insertAfter(i, [++id], [h]);
          model.rows.splice(i + 1, 0, { id, h });
        } else if (what < 0.9) {
          const before = lines.count;
          const gone = lines.trim(800);
          const n = before - lines.count;
          expect(gone).toBe(model.top(n));
          model.rows.splice(0, n);
          expect(lines.count === before || lines.count >= 800 - 1200).toBe(true);
        }
        expect(lines.count).toBe(model.rows.length);
        expect(lines.height).toBe(model.top(model.rows.length));
        if (lines.count > 0) {
          const i = Math.floor(r() * lines.count);
          expect(lines.at(i)).toBe(model.rows[i]!.id);
          expect(lines.topOf(i)).toBe(model.top(i));
          const y = Math.floor(r() * (lines.height + 10));
          expect(lines.find(y)).toEqual(model.find(y));
          const seen: number[] = [];
          lines.walk(i, (row) => seen.push(row) < 5);
          expect(seen).toEqual(model.rows.slice(i, i + 5).map((x) => x.id));
        }
      }
    }
  });

  it('trims whole chunks and never the newest', () => {
    const lines = new Lines<number>();
    for (let i = 0; i < CHUNK * 3; i++) lines.append(i, 20);
    expect(lines.trim(CHUNK)).toBe(CHUNK * 2 * 20);
    expect(lines.count).toBe(CHUNK);
    expect(lines.trim(0)).toBe(0);
  });
});
