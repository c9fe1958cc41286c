// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import { useEffect, useRef, useState } from 'react';
import { count } from '../lib/format';
import { IconButton } from '../ui/ui';
import type { Finder, FindState } from './find';

export function FindBar({ finder, close }: { finder: Finder; close: () => void }) {
  const [state, setState] = useState<FindState>({ query: '', hits: 0, at: 0, scanning: false });
  const [text, setText] = useState('');
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    finder.onChange = setState;
    input.current?.focus();
    return () => {
      finder.onChange = () => {};
    };
  }, [finder]);
  useEffect(() => {
    const t = setTimeout(() => finder.search(text), 150);
    return () => clearTimeout(t);
  }, [finder, text]);
  return (
    <div className="find-bar row" role="search">
      <input
        ref={input}
        className="input mono grow"
        aria-label="Find in the loaded lines"
        placeholder="Find in the loaded lines"
        value={text}
        spellCheck={false}
        onChange={(e) => setText(e.target.value)}
        onKeyDown={(e) => {
          if (e.key === 'Enter') finder.step(e.shiftKey ? -1 : 1);
          else if (e.key === 'Escape') close();
          else return;
          e.preventDefault();
        }}
      />
      <span className="num soft find-count" role="status">
        {text === '' ? '' : state.scanning ? '…' : state.hits === 0 ? 'none' : `${state.at || '–'} of ${count(state.hits)}`}
      </span>
      <IconButton icon="up" label="Previous match" small onClick={() => finder.step(-1)} />
      <IconButton icon="down" label="Next match" small onClick={() => finder.step(1)} />
      <IconButton icon="close" label="Close find" small onClick={close} />
    </div>
  );
}
