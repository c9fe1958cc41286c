// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Find in page for a list of which most is not in the document. The scan goes in slices, so that 100,000 lines cost no long task;
// matches are painted by the CSS highlight API, which leaves the document as it is.

import type { Lines } from './lines';
import type { Row } from './row';

const SLICE = 4000;

export interface FindState {
  query: string;
  hits: number;
  /** 1-based; 0 before the first step. */
  at: number;
  scanning: boolean;
}

export class Finder {
  private query = '';
  private hits: number[] = [];
  private at = -1;
  private run = 0;
  private scanning = false;
  onChange: (state: FindState) => void = () => {};

  constructor(
    private readonly lines: Lines<Row>,
    private readonly reveal: (key: number) => void,
    private readonly repaint: () => void,
  ) {}

  /** Looks for a text, case ignored, and goes to the match nearest the end. */
  search(query: string): void {
    this.query = query.toLowerCase();
    this.hits = [];
    this.at = -1;
    const run = ++this.run;
    if (this.query === '') {
      this.scanning = false;
      this.changed();
      return;
    }
    this.scanning = true;
    let from = 0;
    const slice = () => {
      if (run !== this.run) return;
      let n = 0;
      this.lines.walk(from, (row) => {
        if (!row.hidden && this.matches(row)) this.hits.push(row.key);
        return ++n < SLICE;
      });
      from += n;
      if (n === SLICE) setTimeout(slice);
      else {
        this.scanning = false;
        if (this.hits.length > 0) {
          this.at = this.hits.length - 1;
          this.reveal(this.hits[this.at]!);
        }
      }
      this.changed();
    };
    slice();
  }

  step(by: 1 | -1): void {
    if (this.hits.length === 0) return;
    this.at = (this.at + by + this.hits.length) % this.hits.length;
    this.reveal(this.hits[this.at]!);
    this.changed();
  }

  /** New rows at the end: matches among them are counted at once. */
  added(rows: Row[]): void {
    if (this.query === '' || this.scanning) return;
    let found = false;
    for (const row of rows) {
      if (!row.hidden && this.matches(row)) {
        this.hits.push(row.key);
        found = true;
      }
    }
    if (found) this.changed();
  }

  clear(): void {
    this.run++;
    this.query = '';
    this.hits = [];
    this.at = -1;
    this.changed();
  }

  /** Marks the matches in the rows that are drawn. */
  paint(drawn: Map<number, HTMLElement>): void {
    const registry = typeof CSS !== 'undefined' ? CSS.highlights : undefined;
    if (!registry) return;
    if (this.query === '') {
      registry.delete('find');
      registry.delete('find-now');
      return;
    }
    const now = this.at >= 0 ? this.hits[this.at] : undefined;
    const all: Range[] = [];
    const current: Range[] = [];
    for (const [key, e] of drawn) this.ranges(e, key === now ? current : all);
    registry.set('find', new Highlight(...all));
    registry.set('find-now', new Highlight(...current));
  }

  private ranges(row: HTMLElement, into: Range[]): void {
    const body = row.querySelector('.lb') ?? row;
    const walker = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
    const nodes: { node: Text; at: number }[] = [];
    let text = '';
    for (let n = walker.nextNode(); n; n = walker.nextNode()) {
      nodes.push({ node: n as Text, at: text.length });
      text += (n as Text).data;
    }
    text = text.toLowerCase();
    for (let i = text.indexOf(this.query); i >= 0; i = text.indexOf(this.query, i + this.query.length)) {
      const start = nodes.findLast((n) => n.at <= i);
      const end = nodes.findLast((n) => n.at < i + this.query.length);
      if (!start || !end) continue;
      const r = document.createRange();
      r.setStart(start.node, Math.min(i - start.at, start.node.length));
      r.setEnd(end.node, Math.min(i + this.query.length - end.at, end.node.length));
      into.push(r);
    }
  }

  private matches(row: Row): boolean {
    return row.text.toLowerCase().includes(this.query);
  }

  private changed(): void {
    this.onChange({ query: this.query, hits: this.hits.length, at: this.at + 1, scanning: this.scanning });
    this.repaint();
  }
}
