// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Makes the points of a uPlot chart reachable: by clicks, and as a slider by the keyboard (arrows move, Enter opens).

import type uPlot from 'uplot';
import { bucketAt, type Kind, moved, nearest, seriesAt } from './pick';

export interface Reach {
  kind: Kind;
  /** As drawn: times in seconds, then one column a series. */
  data: uPlot.AlignedData;
  /** What a screen reader says of a point. */
  say: (bucket: number, series: number) => string;
  open: (bucket: number, series: number) => void;
  /** Where the keyboard is, kept by the caller: data that arrives makes a new chart, which must not lose the place. */
  place: Place;
}

export interface Place {
  time?: number;
  series?: number;
}

/** Wires a chart; `host` carries the role of a slider. Returns what takes it apart. */
export function reachable(u: uPlot, host: HTMLElement, { kind, data, say, open, place }: Reach): () => void {
  const abort = new AbortController();
  const times = data[0] as number[];
  const columns = data.slice(1) as (number | null)[][];
  // A line may have buckets without a point, such as the one that has just begun: a click there means the point beside it.
  const valued = times.map((_, i) => i).filter((i) => kind !== 'line' || columns.some((c) => c[i] !== null && c[i] !== undefined));
  let at = { bucket: -1, series: 0 };
  host.setAttribute('aria-valuemin', '0');
  host.setAttribute('aria-valuemax', String(Math.max(0, times.length - 1)));
  const show = () => {
    if (at.bucket < 0) return;
    u.setCursor({ left: u.valToPos(times[at.bucket]!, 'x'), top: u.valToPos(columns[at.series]![at.bucket] ?? 0, 'y') });
    host.setAttribute('aria-valuenow', String(at.bucket));
    host.setAttribute('aria-valuetext', say(at.bucket, at.series));
  };
  host.setAttribute('aria-valuenow', '0');
  host.setAttribute('aria-valuetext', 'no point chosen');
  if (place.time !== undefined && document.activeElement === host) {
    const series = Math.min(place.series ?? 0, columns.length - 1);
    // Buckets of another length begin at other times.
    at = { bucket: nearest(times, columns[series] ?? [], place.time, kind), series };
    show();
  }

  u.over.addEventListener(
    'click',
    () => {
      const { left, top } = u.cursor;
      if (left === undefined || top === undefined || left < 0) return;
      const bucket = valued[bucketAt(valued.map((i) => times[i]!), u.posToVal(left, 'x'), kind)] ?? -1;
      const series = seriesAt(columns, bucket, u.posToVal(top, 'y'), kind);
      if (series >= 0) open(bucket, series);
    },
    { signal: abort.signal },
  );
  host.addEventListener(
    'keydown',
    (e) => {
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      if (e.key === 'Enter' || e.key === ' ') {
        if (at.bucket >= 0) open(at.bucket, at.series);
      } else if (/^(Arrow|Home$|End$)/.test(e.key)) {
        at = moved(columns, at, e.key, kind);
        if (at.bucket < 0) return;
        place.time = times[at.bucket];
        place.series = at.series;
        show();
      } else return;
      e.preventDefault();
      e.stopPropagation();
    },
    { signal: abort.signal },
  );
  return () => {
    abort.abort();
    // Where the next chart has no points to open, the host is no slider any more, and must not be described as one.
    for (const name of ['valuemin', 'valuemax', 'valuetext']) host.removeAttribute(`aria-${name}`);
  };
}
