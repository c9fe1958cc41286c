// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import { useEffect, useRef } from 'react';
import { IconButton } from '../ui/ui';

const KEYS: [string, string][] = [
  ['g then l s t m c u p', 'go to Live, Servers, Traces, Metrics, Scores, Usage, Pipeline'],
  ['/', 'to the filter'],
  ['Ctrl F', 'find in the stream; Enter and Shift Enter step'],
  ['f', 'follow the newest line, or stop following'],
  ['j k ↓ ↑', 'move the cursor'],
  ['Enter', 'open what the cursor is on'],
  ['→ ←', 'unfold, fold'],
  ['Home End', 'oldest, newest'],
  ['Esc', 'close what is open'],
  ['w', 'wrap lines'],
  ['?', 'these keys'],
];

export function Help({ close }: { close: () => void }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => ref.current?.showModal(), []);
  return (
    <dialog ref={ref} className="dialog" onClose={close} aria-labelledby="keys-title">
      <header>
        <h1 id="keys-title">Keys</h1>
        <IconButton icon="close" label="Close" onClick={close} />
      </header>
      <div className="body stack keys-list">
        {KEYS.map(([k, what]) => (
          <div key={k} className="row" role="presentation">
            <kbd>{k}</kbd>
            <span>{what}</span>
          </div>
        ))}
      </div>
    </dialog>
  );
}
