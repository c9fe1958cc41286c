// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The range that a page looks back over.

import { describe, PRESETS, rangeOf } from '../lib/range';
import { useQuery } from '../lib/router';
import { IconButton } from './ui';

export function TimeRange({ fallback = '-1h', least }: { fallback?: string; least?: string }) {
  const [q, set] = useQuery();
  const range = rangeOf(q, fallback, least);
  return (
    <span className="row">
      <span className="segmented" role="group" aria-label="Time range">
        {PRESETS.map(([v, text]) => (
          <button key={v} type="button" aria-pressed={!range.to && range.from === v} onClick={() => set({ from: v, to: null, cursor: null, at: null, of: null })}>
            {text}
          </button>
        ))}
      </span>
      {range.to && (
        <span className="tag info">
          {describe(range)}
          <IconButton icon="close" label="Back to the usual range" small onClick={() => set({ from: null, to: null, at: null, of: null })} />
        </span>
      )}
    </span>
  );
}
