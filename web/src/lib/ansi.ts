// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Escape sequences of terminals become classes on text nodes: nothing of a line is ever parsed as HTML. Only colour and weight
// are shown (SGR); everything else (cursor movement, titles, OSC 8 links) is removed, since a line of a log has no screen to act on.

export interface Segment {
  text: string;
  /** Space-separated class names, '' for none. */
  classes: string;
}

const ESCAPE = /\u001b(?:\[([0-9;:]*)([@-~])|\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[PX^_][^\u001b]*(?:\u001b\\)?|[ -/]*[0-~])|\u009b([0-9;:]*)([@-~])/g;
// What is left of control characters would show as boxes; tab is kept.
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

interface Style {
  fg: string;
  bg: string;
  flags: Set<string>;
}

/** Splits a line into segments of one style each. A line without an escape costs one scan. */
export function ansiSegments(line: string): Segment[] {
  if (!line.includes('\u001b') && !line.includes('\u009b')) return [{ text: line.replace(CONTROL, ''), classes: '' }];
  const out: Segment[] = [];
  const style: Style = { fg: '', bg: '', flags: new Set() };
  let at = 0;
  const push = (text: string) => {
    text = text.replace(CONTROL, '');
    if (text) out.push({ text, classes: [style.fg, style.bg, ...style.flags].filter(Boolean).join(' ') });
  };
  for (const m of line.matchAll(ESCAPE)) {
    push(line.slice(at, m.index));
    at = m.index + m[0].length;
    if (m[2] === 'm' || m[4] === 'm') apply(style, m[1] ?? m[3] ?? '');
  }
  push(line.slice(at));
  return out.length > 0 ? out : [{ text: '', classes: '' }];
}

/** The line without its escapes. */
export const stripAnsi = (line: string): string => (line.includes('\u001b') || line.includes('\u009b') ? line.replace(ESCAPE, '') : line).replace(CONTROL, '');

const FLAGS: Record<number, string> = { 1: 'a-bold', 2: 'a-dim', 3: 'a-italic', 4: 'a-underline', 7: 'a-inverse', 9: 'a-strike' };
const ENDS: Record<number, string[]> = { 22: ['a-bold', 'a-dim'], 23: ['a-italic'], 24: ['a-underline'], 27: ['a-inverse'], 29: ['a-strike'] };

function apply(style: Style, parameters: string): void {
  const codes = parameters === '' ? [0] : parameters.split(/[;:]/).map(Number);
  for (let i = 0; i < codes.length; i++) {
    const c = codes[i]!;
    if (c === 0) {
      style.fg = style.bg = '';
      style.flags.clear();
    } else if (FLAGS[c]) style.flags.add(FLAGS[c]);
    else if (ENDS[c]) ENDS[c].forEach((f) => style.flags.delete(f));
    else if (c >= 30 && c <= 37) style.fg = `a-f${c - 30}`;
    else if (c === 39) style.fg = '';
    else if (c >= 40 && c <= 47) style.bg = `a-b${c - 40}`;
    else if (c === 49) style.bg = '';
    else if (c >= 90 && c <= 97) style.fg = `a-f${c - 90}`;
    else if (c >= 100 && c <= 107) style.bg = `a-b${c - 100}`;
    else if (c === 38 || c === 48) {
      const [colour, used] = extended(codes.slice(i + 1));
      i += used;
      if (colour >= 0) style[c === 38 ? 'fg' : 'bg'] = `a-${c === 38 ? 'f' : 'b'}${colour}`;
    }
  }
}

// The 256 and 16.7 million colours are brought down to the eight of the theme, which are readable on both backgrounds.
function extended(rest: number[]): [colour: number, used: number] {
  if (rest[0] === 5) {
    const n = rest[1] ?? 0;
    if (n < 16) return [n % 8, 2];
    if (n >= 232) return [n < 244 ? 0 : 7, 2];
    const c = n - 16;
    return [nearest(Math.floor(c / 36) * 51, (Math.floor(c / 6) % 6) * 51, (c % 6) * 51), 2];
  }
  if (rest[0] === 2) return [nearest(rest[1] ?? 0, rest[2] ?? 0, rest[3] ?? 0), 4];
  return [-1, 1];
}

function nearest(r: number, g: number, b: number): number {
  const top = Math.max(r, g, b);
  if (top < 60) return 0;
  const on = (v: number) => (v > top * 0.6 ? 1 : 0);
  return on(r) | (on(g) << 1) | (on(b) << 2);
}
