// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Which lines of a record are its stack trace: the message stays visible, the frames fold.

const FRAME = /^\s+at\s|^\s*File ".*", line \d+|^\s+from\s.*:\d+|^goroutine \d+ |^\s+\S+\.go:\d+|^\s*\.\.\. \d+ more|^\s{2,}\d+:\s|^\tat /;

export interface Folded {
  head: string;
  /** What folding hides; empty when the record has one line. */
  rest: string;
  restLines: number;
  isStack: boolean;
}

/** Splits a text at its first line end. */
export function fold(text: string): Folded {
  const at = text.indexOf('\n');
  if (at < 0) return { head: text, rest: '', restLines: 0, isStack: false };
  const head = text.slice(0, at).replace(/\r$/, '');
  const rest = text.slice(at + 1).replace(/\s+$/, '');
  if (rest === '') return { head, rest: '', restLines: 0, isStack: false };
  const lines = rest.split('\n');
  return { head, rest, restLines: lines.length, isStack: lines.some((l) => FRAME.test(l)) };
}
