// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Time series by uPlot: lines, bars and dots; dragging over a range gives it to onBrush, a click or Enter on a point to onPoint.

import { useLayoutEffect, useRef } from 'react';
import uPlot from 'uplot';
import type { Series } from '../api/types';
import { dateTime, dayOf, lineTime } from '../lib/format';
import { clock } from '../live/look';
import { theme } from '../shell/Shell';
import { useCell } from '../lib/store';
import type { Kind } from './pick';
import { type Place, reachable } from './points';

export interface Dot {
  ms: number;
  value: number;
  colour: string;
  /** What a screen reader says of it. */
  label?: string;
  id?: string;
}

export interface ChartProps {
  series: Series[];
  label: string;
  title?: string;
  kind?: Kind;
  height?: number;
  format?: (v: number) => string;
  colours?: string[];
  /** Single values beside the series, such as one trace each. */
  dots?: Dot[];
  log?: boolean;
  range?: [number, number];
  onBrush?: (from: number, to: number, low: number, high: number) => void;
  brushValues?: boolean;
  /** A point was opened, by a click or by keys; `ms` is where its bucket begins. */
  onPoint?: (ms: number, series: Series) => void;
  onDot?: (dot: Dot) => void;
  /** The bucket that is open, in ms. */
  shown?: [number, number];
}

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const COLOURS = ['--c1', '--c2', '--c3', '--c4', '--c5', '--c6', '--c7', '--c8'];

function align(series: Series[]): uPlot.AlignedData {
  const times = [...new Set(series.flatMap((s) => s.points.map((p) => p[0])))].sort((a, b) => a - b);
  const at = new Map(times.map((t, i) => [t, i]));
  return [
    times.map((t) => t / 1000),
    ...series.map((s) => {
      const column = new Array<number | null>(times.length).fill(null);
      for (const [t, v] of s.points) column[at.get(t)!] = v;
      return column;
    }),
  ];
}

export function Chart(props: ChartProps) {
  const { series, label, title, kind = 'line', height = 160, format = (v) => String(v), colours = COLOURS, dots, log, range, onBrush, brushValues, onPoint, onDot, shown } = props;
  const host = useRef<HTMLDivElement>(null);
  const place = useRef<Place>({});
  const legend = useRef<HTMLDivElement>(null);
  const mode = useCell(theme);
  const handlers = useRef({ onBrush, onPoint, onDot });
  handlers.current = { onBrush, onPoint, onDot };
  const opens = (onPoint && series.length > 0) || (onDot && dots && dots.length > 0);

  useLayoutEffect(() => {
    const el = host.current!;
    const text = css('--text-faint');
    const line = css('--line');
    const font = '11px ' + (css('--font-ui') || 'sans-serif');
    let data = align(series);
    if (data[0].length === 0 && range) data = [[range[0] / 1000, range[1] / 1000], ...series.map(() => [null, null])] as uPlot.AlignedData;
    const values = dots?.map((d) => d.value) ?? [];
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const stacked = kind === 'stack' ? stack(data) : data;
    const axis = { stroke: text, font, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 } };
    const bars = uPlot.paths.bars!({ size: [0.82, 40], align: 1 });
    const options: uPlot.Options = {
      width: Math.max(200, el.clientWidth),
      height,
      legend: { show: false },
      padding: [8, 20, 0, 0],
      cursor: { drag: { x: !!onBrush, y: !!brushValues, setScale: false, uni: brushValues ? 24 : undefined }, points: { size: 6 }, y: false },
      scales: { x: { time: true, ...(range ? { range: [range[0] / 1000, range[1] / 1000] } : {}) }, y: log ? { distr: 3, range: (_u, lo, hi) => [10 ** Math.floor(Math.log10(Math.max(1e-3, Math.min(least, lo ?? Infinity)))), 10 ** Math.ceil(Math.log10(Math.max(most, hi ?? 0, 1)))] } : { range: (_u, _lo, hi) => [0, Math.max(hi ?? 0, values.length > 0 ? most : 0) * 1.08 || 1] } },
      axes: [
        { ...axis, size: 26, space: 76, values: (_u, splits, _i, _s, incr) => splits.map((t) => tick(t * 1000, incr)) },
        { ...axis, size: 56, values: (_u, values) => values.map((v) => (v === null || v === undefined ? '' : format(v))), ...(log ? { filter: decades, grid: { ...axis.grid, filter: decades }, ticks: { ...axis.ticks, filter: decades } } : {}) },
      ],
      series: [
        {},
        ...series.map((s, i): uPlot.Series => {
          const colour = css(colours[i % colours.length]!) || colours[i % colours.length]!;
          return kind === 'line'
            ? { label: s.label, stroke: colour, width: 1.5, points: { show: s.points.length < 3 }, spanGaps: true }
            : { label: s.label, stroke: colour, fill: colour, width: 0, paths: bars, points: { show: false } };
        }),
      ],
      hooks: {
        setSelect: [
          (u) => {
            const { left, width, top, height: h } = u.select;
            if (width > 3 || (brushValues && h > 3 && h < u.over.clientHeight - 2)) {
              const from = width > 3 ? u.posToVal(left, 'x') * 1000 : u.scales.x!.min! * 1000;
              const to = width > 3 ? u.posToVal(left + width, 'x') * 1000 : u.scales.x!.max! * 1000;
              handlers.current.onBrush?.(from, to, u.posToVal(top + h, 'y'), u.posToVal(top, 'y'));
            }
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          },
        ],
        setCursor: [(u) => showLegend(u, series, data, format, legend.current)],
        drawClear: shown ? [(u) => drawShown(u, shown)] : [],
        draw: dots ? [(u) => drawDots(u, dots)] : [],
      },
    };
    const u = new uPlot(options, stacked, el);
    const said = (ms: number, name: string, v: number) => `${dateTime(ms)}, ${name} ${format(v)}`;
    let done = () => {};
    if (onPoint && series.length > 0)
      done = reachable(u, el, {
        kind,
        data: stacked,
        place: place.current,
        say: (b, s) => said(data[0][b]! * 1000, series[s]!.label, (data[s + 1] as number[])[b]!),
        open: (b, s) => handlers.current.onPoint?.(Math.round(data[0][b]! * 1000), series[s]!),
      });
    else if (onDot && dots && dots.length > 0) {
      const sorted = [...dots].sort((a, b) => a.ms - b.ms);
      done = reachable(u, el, {
        kind: 'line',
        place: place.current,
        data: [sorted.map((d) => d.ms / 1000), sorted.map((d) => d.value)],
        say: (b) => said(sorted[b]!.ms, sorted[b]!.label ?? '', sorted[b]!.value),
        open: (b) => handlers.current.onDot?.(nearest(u, sorted) ?? sorted[b]!),
      });
    }
    const observer = new ResizeObserver(() => u.setSize({ width: Math.max(200, el.clientWidth), height }));
    observer.observe(el);
    return () => {
      observer.disconnect();
      done();
      u.destroy();
    };
    // Handlers are followed by reference; a new data object makes a new chart, which costs a few ms.
  }, [series, kind, height, mode, dots, log, range?.[0], range?.[1], shown?.[0], shown?.[1], !!onBrush, !!opens, brushValues]);

  return (
    <figure className="chart" aria-label={label}>
      <figcaption className="chart-legend" ref={legend}>
        {title && <span>{title}</span>}
        {series.map((s, i) => (
          <span key={s.label} className="chart-key" data-i={i}>
            <i className={`swatch ${colours[i % colours.length]!.replace('--', 'bg-')}`} />
            {s.label} <b className="num" />
          </span>
        ))}
      </figcaption>
      <div ref={host} className={opens ? 'chart-plot' : undefined} {...(opens ? { role: 'slider', tabIndex: 0, 'aria-valuenow': 0, 'aria-label': `Points of: ${label.split(';')[0]}. Arrow keys move, Enter opens` } : {})} />
    </figure>
  );
}

const decades = (_u: uPlot, splits: number[]) => splits.map((s) => (Number.isInteger(Math.log10(s)) ? s : null));

// A day has 24 hours; days are named where the steps are that long.
function tick(ms: number, incr: number): string {
  const c = clock.get();
  if (incr >= 86_400) return dayOf(ms, c).slice(5);
  const t = lineTime(ms, c === 'utc' ? 'utc' : 'local');
  return incr >= 60 ? t.slice(0, 5) : t.slice(0, 8);
}

function stack(data: uPlot.AlignedData): uPlot.AlignedData {
  const out = [data[0]] as unknown as uPlot.AlignedData;
  const columns = data.slice(1) as (number | null)[][];
  // The first series is drawn first and so must be the tallest: sums run from the last.
  const sums: number[] = new Array<number>(data[0].length).fill(0);
  const made = columns.map(() => [] as number[]);
  for (let c = columns.length - 1; c >= 0; c--) for (let i = 0; i < sums.length; i++) made[c]![i] = sums[i]! += columns[c]![i] ?? 0;
  (out as unknown as number[][]).push(...made);
  return out;
}

function showLegend(u: uPlot, series: Series[], data: uPlot.AlignedData, format: (v: number) => string, legend: HTMLElement | null): void {
  if (!legend) return;
  const i = u.cursor.idx;
  for (const key of legend.querySelectorAll<HTMLElement>('.chart-key')) {
    const n = Number(key.dataset.i);
    const v = i === null || i === undefined ? undefined : (data[n + 1] as (number | null)[] | undefined)?.[i];
    key.querySelector('b')!.textContent = v === null || v === undefined || !series[n] ? '' : format(v);
  }
}

function drawShown(u: uPlot, [from, to]: [number, number]): void {
  const x = u.valToPos(from / 1000, 'x', true);
  u.ctx.save();
  u.ctx.fillStyle = css('--selected');
  u.ctx.fillRect(Math.max(u.bbox.left, x), u.bbox.top, Math.max(3, Math.min(u.valToPos(to / 1000, 'x', true), u.bbox.left + u.bbox.width) - x), u.bbox.height);
  u.ctx.restore();
}

// Several dots may stand above one another: the one nearest to the pointer is meant.
function nearest(u: uPlot, dots: Dot[]): Dot | undefined {
  const { left = -1, top = -1 } = u.cursor;
  const away = (d: Dot) => (u.valToPos(d.ms / 1000, 'x') - left) ** 2 + (u.valToPos(d.value, 'y') - top) ** 2;
  return dots.reduce<Dot | undefined>((best, d) => (!best || away(d) < away(best) ? d : best), undefined);
}

function drawDots(u: uPlot, dots: NonNullable<ChartProps['dots']>): void {
  const { ctx } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  ctx.clip();
  const r = 3 * devicePixelRatio;
  for (const d of dots) {
    ctx.fillStyle = css(d.colour);
    ctx.globalAlpha = 0.75;
    ctx.beginPath();
    ctx.arc(u.valToPos(d.ms / 1000, 'x', true), u.valToPos(d.value, 'y', true), r, 0, 7);
    ctx.fill();
  }
  ctx.restore();
}
