// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The keys of the list of lines.

import { LINE, type LogView } from './view';

/** Acts on a key that was pressed on the list. */
export function listKey(view: LogView, event: KeyboardEvent): void {
  if (event.metaKey || event.ctrlKey || event.altKey || (event.target as Element).closest('.json')) return;
  const at = view.indexOf(view.cursor);
  const current = at >= 0 ? view.lines.at(at) : undefined;
  switch (event.key) {
    case 'ArrowDown':
    case 'j':
      move(view, at < 0 ? view.lines.find(view.host.scrollTop + view.host.clientHeight / 2).index : at + 1, 1);
      break;
    case 'ArrowUp':
    case 'k':
      move(view, at < 0 ? view.lines.find(view.host.scrollTop + view.host.clientHeight / 2).index : at - 1, -1);
      break;
    case 'Enter':
      if (current?.record) view.events.open(current);
      break;
    case 'ArrowRight':
    case 'ArrowLeft':
      if (!current?.record || current.open === (event.key === 'ArrowRight')) return;
      view.toggle(current);
      break;
    case 'PageUp':
      view.setFollowing(false);
      return;
    case 'Home':
      view.setFollowing(false);
      view.moveTo(0);
      break;
    case 'End':
      view.setFollowing(true);
      break;
    default:
      return;
  }
  event.preventDefault();
}

function move(view: LogView, index: number, step: 1 | -1): void {
  while (view.lines.at(index)?.hidden) index += step;
  const row = view.lines.at(index);
  if (!row) return;
  view.cursor = row.key;
  view.setFollowing(false);
  const top = view.lines.topOf(index);
  const { scrollTop, clientHeight } = view.host;
  if (top < scrollTop) view.moveTo(top);
  else if (top + LINE * 2 > scrollTop + clientHeight) view.moveTo(top + LINE * 2 - clientHeight);
  view.schedule();
}
