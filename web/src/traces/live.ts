// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// A trace that is still going on: its spans come by live tail and are merged, by span id, with what the store has.

import { useEffect, useRef, useState } from 'react';
import { span as decodeSpan, type Raw } from '../api/decode';
import type { Span } from '../api/types';
import { tail } from '../live/pane';

/** Merges live spans into stored ones: a finished one replaces one in progress, stored ones (with everything) win over live ones. */
export function merge(stored: Span[], live: ReadonlyMap<string, Span>): Span[] {
  const out = new Map(stored.map((s) => [s.spanId, s]));
  for (const s of live.values()) {
    const have = out.get(s.spanId);
    if (!have || (have.end === undefined && s.end !== undefined)) out.set(s.spanId, s);
  }
  return [...out.values()];
}

/** Spans of a trace as they come. `version` changes when something came. */
export function useLiveSpans(traceId: string): { spans: ReadonlyMap<string, Span>; version: number } {
  const spans = useRef(new Map<string, Span>());
  const [version, setVersion] = useState(0);
  useEffect(() => {
    spans.current = new Map();
    const sub = tail().subscribe(
      { channel: `trace:${traceId}`, filter: { signals: ['spans'] }, backfill: { records: 5000 } },
      {
        records: (records) => {
          for (const r of records) {
            const s = decodeSpan(r as unknown as Raw);
            // An event of an unfinished span may come late: the end stays.
            if (spans.current.get(s.spanId)?.end === undefined) spans.current.set(s.spanId, s);
          }
          setVersion((v) => v + 1);
        },
      },
    );
    return () => sub.close();
  }, [traceId]);
  return { spans: spans.current, version };
}
