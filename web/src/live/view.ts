// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The list of lines. It is drawn by hand, not by React: at 2,000 lines a second a viewport changes completely every frame, and
// 60 rows made directly cost a fifth of 60 rows reconciled. React owns everything around it.
//
// Following keeps the newest line in sight. Anything that says "I am reading" ends it: scrolling up, selecting text, a key. Then
// appended lines change nothing on the screen; what leaves at the head moves the scroll position by its height.

import { drawRow, explain, type Look } from './draw';
import { Finder } from './find';
import { listKey } from './listkeys';
import { Lines } from './lines';
import { partsOf, type Row } from './row';
import { textSelection } from './selection';

export const LINE = 20;
const OVERSCAN = 12;
// A selection keeps its rows in the document as long as it spans no more than this.
const MAX_SELECTED = 1500;

export interface ViewEvents {
  follow(following: boolean): void;
  open(row: Row): void;
  selection(rows: number): void;
  /** The reader is near the oldest line: load more. */
  top(): void;
  fill(row: Row): void;
  /** How many lines came since following ended. */
  behind(n: number): void;
}

export class LogView {
  readonly lines = new Lines<Row>();
  readonly finder: Finder;
  following = true;
  look: Look;
  /** Lines kept while following; half as many more while somebody reads. */
  max = 100_000;
  private readonly canvas = document.createElement('div');
  private readonly frame = document.createElement('div');
  private drawn = new Map<number, HTMLElement>();
  /** Rows whose text has changed: they leave the document when their successors come. */
  private stale: HTMLElement[] = [];
  /** Where a button is pressed: nothing moves under it, or the press would end on another line, or as a selection of both. */
  private press: { x: number; y: number } | undefined;
  private scheduled = 0;
  private setTop = 0;
  /** The height that the document has; the lines' own may be ahead of it until the next drawing. */
  private drawnHeight = 0;
  private frameTop = 0;
  private columns = 120;
  /** The height of the viewport, which the observer follows: asking the document would lay it out in the middle of a drawing. */
  private viewport: number;
  private behind = 0;
  cursor = 0;
  private selected: [number, number] | undefined;
  private widest = 0;
  private readonly resize: ResizeObserver;
  private readonly abort = new AbortController();

  constructor(
    readonly host: HTMLElement,
    look: Look,
    readonly events: ViewEvents,
  ) {
    this.look = look;
    this.viewport = host.clientHeight;
    this.canvas.className = 'log-canvas';
    this.frame.className = 'log-frame';
    this.canvas.append(this.frame);
    host.append(this.canvas);
    this.finder = new Finder(this.lines, (key) => this.reveal(key), () => this.schedule());
    const on = <K extends keyof HTMLElementEventMap>(name: K, f: (e: HTMLElementEventMap[K]) => void) => host.addEventListener(name, f, { signal: this.abort.signal, passive: name === 'wheel' || name === 'scroll' || name === 'touchmove' });
    on('scroll', () => this.scrolled());
    on('wheel', (e) => e.deltaY < 0 && this.host.scrollTop > 0 && this.setFollowing(false));
    on('touchmove', () => this.host.scrollTop + this.host.clientHeight < this.lines.height - LINE && this.setFollowing(false));
    on('keydown', (e) => listKey(this, e));
    on('mouseover', (e) => explain(e.target as HTMLElement, (key) => this.lines.at(this.indexOf(key))));
    on('pointerdown', (e) => (this.press = e.button === 0 ? { x: e.clientX, y: e.clientY } : undefined));
    on('pointermove', (e) => this.press && (e.buttons === 0 || Math.hypot(e.clientX - this.press.x, e.clientY - this.press.y) > 4) && this.release());
    on('click', (e) => this.clicked(e));
    for (const name of ['pointerup', 'pointercancel', 'wheel', 'blur']) window.addEventListener(name, () => this.release(), { signal: this.abort.signal, passive: true });
    host.addEventListener('refold', () => this.schedule(), { signal: this.abort.signal });
    document.addEventListener('selectionchange', () => textSelection(this.host) && this.setFollowing(false), { signal: this.abort.signal });
    this.resize = new ResizeObserver(() => this.relayout());
    this.resize.observe(host);
  }

  destroy(): void {
    this.abort.abort();
    this.resize.disconnect();
    cancelAnimationFrame(this.scheduled);
    this.finder.clear();
    this.canvas.remove();
  }

  append(rows: Row[]): void {
    for (const row of rows) this.lines.append(row, this.estimate(row));
    this.finder.added(rows);
    if (!this.following) {
      this.behind += rows.length;
      this.events.behind(this.behind);
    }
    const gone = this.lines.trim(this.following ? this.max : this.max * 1.5);
    if (gone > 0 && !this.following) this.moveTo(this.host.scrollTop - gone);
    this.schedule();
  }

  /** Older rows, oldest first. The line that the reader looks at stays where it is. */
  prepend(rows: Row[]): void {
    const added = this.lines.prepend(rows, rows.map((r) => this.estimate(r)));
    this.resizeCanvas();
    this.moveTo(this.host.scrollTop + added);
    this.schedule();
  }

  /** Puts rows behind the row with this key. They get keys between their neighbours', so that keys rise with the index. */
  insertAfter(key: number, rows: Row[]): void {
    const index = this.indexOf(key);
    if (index < 0 || rows.length === 0) return;
    const next = this.lines.at(index + 1)?.key ?? key + 1;
    rows.forEach((row, i) => (row.key = key + ((next - key) * (i + 1)) / (rows.length + 1)));
    this.keepPlace(() => this.lines.insertAfter(index, rows, rows.map((r) => this.estimate(r))));
    this.schedule();
  }

  /** Draws a row again whose text has changed. */
  changed(row: Row): void {
    const e = this.drawn.get(row.key);
    if (e) this.stale.push(e);
    this.drawn.delete(row.key);
    this.schedule();
  }

  /** The row itself and its neighbours. */
  around(key: number): { before?: Row; after?: Row } {
    const i = this.indexOf(key);
    return { before: this.lines.at(i - 1), after: this.lines.at(i + 1) };
  }

  clear(): void {
    this.lines.clear();
    this.finder.clear();
    this.behind = 0;
    this.selected = undefined;
    this.widest = 0;
    this.redraw();
  }

  setLook(look: Look): void {
    this.look = look;
    this.redraw();
  }

  /** Shows and hides rows by a predicate over records. */
  setHidden(hidden: (row: Row) => boolean): void {
    this.keepPlace(() =>
      this.lines.remeasure((row) => {
        row.hidden = hidden(row);
        return this.estimate(row);
      }),
    );
    this.redraw();
  }

  setFollowing(following: boolean): void {
    if (following === this.following) return;
    this.following = following;
    if (following) {
      this.behind = 0;
      this.events.behind(0);
      window.getSelection()?.removeAllRanges();
    }
    this.events.follow(following);
    this.schedule();
  }

  /** Brings a row into sight and puts the cursor on it. */
  reveal(key: number): void {
    const index = this.indexOf(key);
    if (index < 0) return;
    this.setFollowing(false);
    this.cursor = key;
    const top = this.lines.topOf(index);
    const { scrollTop, clientHeight } = this.host;
    if (top < scrollTop + LINE || top > scrollTop + clientHeight - 3 * LINE) this.moveTo(top - clientHeight / 3);
    this.redraw();
  }

  /** The rows of the line selection, or undefined. */
  selectedRows(): Row[] | undefined {
    if (!this.selected) return undefined;
    const [a, b] = this.selected[0] < this.selected[1] ? this.selected : [this.selected[1], this.selected[0]];
    const out: Row[] = [];
    this.lines.walk(Math.max(0, this.indexOf(a)), (row) => {
      if (row.key > b) return false;
      if (!row.hidden) out.push(row);
      return true;
    });
    return out;
  }

  clearSelection(): void {
    this.selected = undefined;
    this.events.selection(0);
    this.redraw();
  }

  allRows(): Row[] {
    const out: Row[] = [];
    this.lines.walk(0, (row) => out.push(row) > 0);
    return out.filter((r) => !r.hidden);
  }

  schedule(): void {
    if (this.press) return;
    this.scheduled ||= requestAnimationFrame(() => {
      this.scheduled = 0;
      if (!this.press) this.render();
    });
  }

  private release(): void {
    if (!this.press) return;
    this.press = undefined;
    this.schedule();
  }

  private redraw(): void {
    this.stale.push(...this.drawn.values());
    this.drawn.clear();
    this.schedule();
  }

  private relayout(): void {
    const width = this.host.clientWidth;
    this.viewport = this.host.clientHeight;
    const columns = Math.max(20, Math.floor((width - (this.look.sources ? 330 : 190)) / 7.25));
    if (columns === this.columns) return this.schedule();
    this.columns = columns;
    if (this.look.wrap) this.keepPlace(() => this.lines.remeasure((row) => this.estimate(row)));
    this.schedule();
  }

  private keepPlace(change: () => void): void {
    const at = this.lines.find(this.host.scrollTop);
    const offset = this.host.scrollTop - at.top;
    change();
    this.resizeCanvas();
    if (!this.following) this.moveTo(this.lines.topOf(at.index) + offset);
  }

  private estimate(row: Row): number {
    if (row.hidden) return 0;
    if (row.kind !== 'record') return LINE + 8;
    let lines = 1;
    if (this.look.wrap) lines = Math.max(1, Math.ceil(row.text.length / this.columns));
    if (row.open) lines += partsOf(row).folded.restLines || 8;
    return lines * LINE;
  }

  moveTo(top: number): void {
    this.host.scrollTop = this.setTop = Math.max(0, top);
  }

  private resizeCanvas(): void {
    if (this.drawnHeight === this.lines.height) return;
    this.drawnHeight = this.lines.height;
    this.canvas.style.height = `${this.drawnHeight}px`;
  }

  indexOf(key: number): number {
    let lo = 0;
    let hi = this.lines.count - 1;
    while (lo <= hi) {
      const mid = (lo + hi) >> 1;
      const k = this.lines.at(mid)!.key;
      if (k === key) return mid;
      if (k < key) lo = mid + 1;
      else hi = mid - 1;
    }
    return -1;
  }

  // First everything is written, then the document is laid out, once, and read.
  private render(): void {
    const { host, lines } = this;
    const scrollTop = Math.max(0, this.following ? lines.height - this.viewport : host.scrollTop);
    this.resizeCanvas();
    const first = lines.find(Math.max(0, scrollTop - OVERSCAN * LINE));
    const bottom = scrollTop + this.viewport + OVERSCAN * LINE;
    let { index, top } = first;
    const kept = textSelection(this.host);
    let until = -1;
    if (kept) {
      const [a, b] = kept.map((k) => this.indexOf(k)) as [number, number];
      if (a >= 0 && b >= 0 && Math.max(b, index) - Math.min(a, index) < MAX_SELECTED) {
        if (a < index) {
          index = a;
          top = lines.topOf(a);
        }
        until = b;
      }
    }
    const wanted: Row[] = [];
    let y = top;
    lines.walk(index, (row, height, i) => {
      if (y > bottom && i > until) return false;
      if (height > 0) wanted.push(row);
      y += height;
      return true;
    });
    this.place(wanted, top);
    if (this.following) this.moveTo(lines.height - this.viewport + 1);
    this.measure(wanted, index, scrollTop);
    this.finder.paint(this.drawn);
    if (scrollTop < 400 && lines.count > 0 && !this.following) this.events.top();
  }

  private place(rows: Row[], top: number): void {
    const next = new Map<number, HTMLElement>();
    for (const e of this.stale.splice(0)) e.remove();
    for (const row of rows) next.set(row.key, this.drawn.get(row.key) ?? drawRow(row, this.look));
    for (const [key, e] of this.drawn) if (!next.has(key)) e.remove();
    // Rows that stay are never moved in the document, or a text selection on them would be lost.
    let at: ChildNode | null = this.frame.firstChild;
    for (const [key, e] of next) {
      if (e === at) at = at.nextSibling;
      else {
        this.frame.insertBefore(e, at);
        e.dataset.key = String(key);
      }
      this.mark(e, 'cursor', key === this.cursor);
      this.mark(e, 'sel', this.isSelected(key));
    }
    this.drawn = next;
    // A row keeps its place on the canvas while rows before it come and go: what is painted of it stays painted. Moved by a transform, the
    // frame would be a layer of its own, in which all rows shift, and are painted anew, with each step.
    if (top !== this.frameTop) this.frame.style.top = `${(this.frameTop = top)}px`;
    this.mark(this.frame, 'wrap', this.look.wrap);
  }

  private mark(e: HTMLElement, name: string, on: boolean): void {
    if (e.classList.contains(name) !== on) e.classList.toggle(name, on);
  }

  private isSelected(key: number): boolean {
    const s = this.selected;
    return !!s && key >= Math.min(s[0], s[1]) && key <= Math.max(s[0], s[1]);
  }

  // Only rows that can differ from the estimate are measured: reading a layout costs more than drawing a line.
  private measure(rows: Row[], index: number, scrollTop: number): void {
    let above = 0;
    let changed = false;
    if (!this.look.wrap) {
      const w = this.frame.scrollWidth;
      if (w > this.widest) {
        this.widest = w;
        this.canvas.style.minWidth = `${w}px`;
      }
    } else this.canvas.style.minWidth = '';
    let i = index;
    for (const row of rows) {
      while (this.lines.at(i) && this.lines.at(i) !== row) i++;
      if (!this.look.wrap && !row.open && row.kind === 'record') continue;
      const e = this.drawn.get(row.key)!;
      const height = e.offsetHeight;
      if (height !== this.lines.heightAt(i)) {
        const before = e.offsetTop + this.lines.topOf(index) < scrollTop - 1;
        const diff = this.lines.setHeight(i, height);
        if (before) above += diff;
        changed = true;
      }
    }
    if (!changed) return;
    this.resizeCanvas();
    if (above !== 0 && !this.following) this.moveTo(this.host.scrollTop + above);
    this.schedule();
  }

  private scrolled(): void {
    const { scrollTop, clientHeight } = this.host;
    // What was appended since the last drawing is not in the document yet: against that, a view that the browser has just clamped to
    // its end (it grew, or was split) would seem to be scrolled up.
    const atEnd = scrollTop + clientHeight >= this.drawnHeight - 2;
    if (this.following && scrollTop < this.setTop - 2 && !atEnd) this.setFollowing(false);
    else if (!this.following && atEnd && scrollTop > this.setTop && !textSelection(this.host)) this.setFollowing(true);
    this.setTop = scrollTop;
    this.schedule();
  }

  private clicked(event: MouseEvent): void {
    const target = event.target as Element;
    const key = Number(target.closest<HTMLElement>('.lr')?.dataset.key ?? NaN);
    const row = Number.isNaN(key) ? undefined : this.lines.at(this.indexOf(key));
    if (!row || target.closest('.json')) return;
    if (target.closest('.mark-fill')) this.events.fill(row);
    else if (target.closest('.fold')) this.toggle(row);
    else if (target.closest('.lt')) {
      this.selected = event.shiftKey && this.selected ? [this.selected[0], key] : this.selected?.[0] === key && this.selected[1] === key ? undefined : [key, key];
      this.setFollowing(false);
      this.events.selection(this.selectedRows()?.length ?? 0);
      this.schedule();
    } else if (!textSelection(this.host) && row.record) {
      this.cursor = key;
      this.setFollowing(false);
      this.events.open(row);
      this.schedule();
    }
  }

  /** Unfolds or folds a row. */
  toggle(row: Row): void {
    row.open = !row.open;
    this.setFollowing(false);
    const index = this.indexOf(row.key);
    this.lines.setHeight(index, this.estimate(row));
    this.changed(row);
  }
}
