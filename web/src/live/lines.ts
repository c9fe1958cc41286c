// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The rows of a stream with their heights. Chunks of up to 256 rows carry their sums, so that "which row is at y" and "where is
// row i" cost a walk over some 400 numbers with 100,000 rows, and a row that grows or goes touches one chunk. A list library
// that recomputes all offsets when the count changes can't follow 2,000 lines a second.

export const CHUNK = 256;

interface Chunk<T> {
  rows: T[];
  heights: number[];
  sum: number;
}

export interface Position {
  /** Index of the row, 0 is the oldest one kept. */
  index: number;
  /** Its upper edge. */
  top: number;
}

export class Lines<T> {
  private chunks: Chunk<T>[] = [];
  count = 0;
  height = 0;

  append(row: T, height: number): void {
    let last = this.chunks[this.chunks.length - 1];
    if (!last || last.rows.length >= CHUNK) {
      last = { rows: [], heights: [], sum: 0 };
      this.chunks.push(last);
    }
    last.rows.push(row);
    last.heights.push(height);
    last.sum += height;
    this.count++;
    this.height += height;
  }

  /** Puts older rows, in order, before the first; returns the height they add. */
  prepend(rows: T[], heights: number[]): number {
    const added: Chunk<T>[] = [];
    let total = 0;
    for (let i = 0; i < rows.length; i += CHUNK) {
      const h = heights.slice(i, i + CHUNK);
      const sum = h.reduce((a, b) => a + b, 0);
      total += sum;
      added.push({ rows: rows.slice(i, i + CHUNK), heights: h, sum });
    }
    this.chunks.unshift(...added);
    this.count += rows.length;
    this.height += total;
    return total;
  }

  /** Puts rows behind row `index`. A chunk may grow beyond its size by that; gaps are few. */
  insertAfter(index: number, rows: T[], heights: number[]): void {
    const [c, i] = this.locate(index);
    if (!c) return;
    const sum = heights.reduce((a, b) => a + b, 0);
    c.rows.splice(i + 1, 0, ...rows);
    c.heights.splice(i + 1, 0, ...heights);
    c.sum += sum;
    this.count += rows.length;
    this.height += sum;
  }

  /** Drops the oldest chunk while more than `keep` rows are there; returns the height that went. */
  trim(keep: number): number {
    let gone = 0;
    let n = 0;
    while (this.count > keep && n < this.chunks.length - 1) {
      const c = this.chunks[n]!;
      gone += c.sum;
      this.count -= c.rows.length;
      n++;
    }
    if (n > 0) this.chunks.splice(0, n);
    this.height -= gone;
    return gone;
  }

  clear(): void {
    this.chunks = [];
    this.count = 0;
    this.height = 0;
  }

  at(index: number): T | undefined {
    const [c, i] = this.locate(index);
    return c?.rows[i];
  }

  heightAt(index: number): number {
    const [c, i] = this.locate(index);
    return c?.heights[i] ?? 0;
  }

  /** Sets the height of a row; returns the difference. */
  setHeight(index: number, height: number): number {
    const [c, i] = this.locate(index);
    if (!c) return 0;
    const diff = height - c.heights[i]!;
    c.heights[i] = height;
    c.sum += diff;
    this.height += diff;
    return diff;
  }

  /** Computes all heights anew: a filter of the view or its width has changed. */
  remeasure(height: (row: T) => number): void {
    this.height = 0;
    for (const c of this.chunks) {
      c.sum = 0;
      for (let i = 0; i < c.rows.length; i++) c.sum += c.heights[i] = height(c.rows[i]!);
      this.height += c.sum;
    }
  }

  topOf(index: number): number {
    let top = 0;
    for (const c of this.chunks) {
      if (index < c.rows.length) {
        for (let i = 0; i < index; i++) top += c.heights[i]!;
        return top;
      }
      index -= c.rows.length;
      top += c.sum;
    }
    return top;
  }

  /** The row that covers y; the last one when y lies below all. Rows of height 0 are passed over. */
  find(y: number): Position {
    let index = 0;
    let top = 0;
    for (const c of this.chunks) {
      if (y < top + c.sum) {
        for (let i = 0; i < c.rows.length; i++) {
          const h = c.heights[i]!;
          if (y < top + h) return { index: index + i, top };
          top += h;
        }
      }
      index += c.rows.length;
      top += c.sum;
    }
    return { index: Math.max(0, this.count - 1), top: Math.max(0, this.height - this.heightAt(this.count - 1)) };
  }

  /** Calls `visit` for the rows from `index` on until it returns false. */
  walk(index: number, visit: (row: T, height: number, index: number) => boolean): void {
    let base = 0;
    for (const c of this.chunks) {
      if (index < base + c.rows.length) {
        for (let i = Math.max(0, index - base); i < c.rows.length; i++) if (!visit(c.rows[i]!, c.heights[i]!, base + i)) return;
      }
      base += c.rows.length;
    }
  }

  private locate(index: number): [Chunk<T> | undefined, number] {
    if (index < 0) return [undefined, 0];
    for (const c of this.chunks) {
      if (index < c.rows.length) return [c, index];
      index -= c.rows.length;
    }
    return [undefined, 0];
  }
}
