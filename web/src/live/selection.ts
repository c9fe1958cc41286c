// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

/** First and last key of the browser's text selection in a list of rows; undefined when nothing is selected there. */
export function textSelection(host: HTMLElement): [number, number] | undefined {
  const s = window.getSelection();
  if (!s || s.isCollapsed || !s.anchorNode || !host.contains(s.anchorNode)) return undefined;
  const key = (n: Node | null) => Number((n instanceof Element ? n : n?.parentElement)?.closest<HTMLElement>('.lr')?.dataset.key ?? NaN);
  const a = key(s.anchorNode);
  const b = key(s.focusNode);
  if (Number.isNaN(a)) return undefined;
  return Number.isNaN(b) ? [a, a] : a < b ? [a, b] : [b, a];
}
