// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The spans of a trace against time: a tree on the left, bars on the right, the critical path as a line along the bars.

import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useMemo, useRef, useState } from 'react';
import { duration } from '../lib/format';
import { colourOf } from '../live/draw';
import { IconButton } from '../ui/ui';
import { criticalPath, endOf, type Node, type Segment, visible } from './tree';

const ROW = 26;

export function Waterfall({ roots, start, end, now, selected, onSelect }: { roots: Node[]; start: number; end: number; now: number; selected?: string; onSelect: (id: string) => void }) {
  const host = useRef<HTMLDivElement>(null);
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
  const [zoom, setZoom] = useState<[number, number] | undefined>();
  const [critical, setCritical] = useState(true);
  const [find, setFind] = useState('');
  const rows = useMemo(() => visible(roots, folded), [roots, folded]);
  const path = useMemo(() => {
    const by = new Map<string, Segment[]>();
    const root = roots.find((r) => !r.orphan) ?? roots[0];
    if (root) for (const s of criticalPath(root, now)) by.set(s.spanId, [...(by.get(s.spanId) ?? []), s]);
    return by;
  }, [roots, now]);
  const [a, b] = zoom ?? [start, end];
  const span = Math.max(b - a, 1e-6);
  const percent = (ms: number) => ((ms - a) / span) * 100;
  const list = useVirtualizer({ count: rows.length, getScrollElement: () => host.current, estimateSize: () => ROW, overscan: 16 });
  const needle = find.toLowerCase();
  const matches = (n: Node) => needle !== '' && (n.span.name.toLowerCase().includes(needle) || JSON.stringify(n.span.attributes).toLowerCase().includes(needle));
  const found = needle === '' ? 0 : rows.filter(matches).length;

  useEffect(() => {
    const i = rows.findIndex((r) => r.span.spanId === selected);
    if (i >= 0) list.scrollToIndex(i, { align: 'auto' });
    // eslint-disable-next-line
  }, [selected]);

  const toggle = (id: string) => setFolded((f) => {
    const next = new Set(f);
    if (!next.delete(id)) next.add(id);
    return next;
  });
  const foldAll = () => setFolded(folded.size > 0 ? new Set() : new Set(rows.filter((r) => r.children.length > 0 && r.depth > 0).map((r) => r.span.spanId)));

  const key = (e: React.KeyboardEvent) => {
    const at = rows.findIndex((r) => r.span.spanId === selected);
    const current = rows[at];
    if (e.key === 'ArrowDown' || e.key === 'j') onSelect(rows[Math.min(rows.length - 1, at + 1)]!.span.spanId);
    else if (e.key === 'ArrowUp' || e.key === 'k') onSelect(rows[Math.max(0, at - 1)]!.span.spanId);
    else if (e.key === 'ArrowLeft' && current && current.children.length > 0 && !folded.has(current.span.spanId)) toggle(current.span.spanId);
    else if (e.key === 'ArrowRight' && current && folded.has(current.span.spanId)) toggle(current.span.spanId);
    else return;
    e.preventDefault();
  };

  return (
    <div className="waterfall">
      <div className="wf-tools row">
        <input className="input" data-filter placeholder="Find in spans" aria-label="Find in spans" value={find} onChange={(e) => setFind(e.target.value)} />
        {needle !== '' && <span className="soft num">{found} of {rows.length}</span>}
        <button type="button" className="btn small" aria-pressed={critical} onClick={() => setCritical(!critical)}>
          Critical path
        </button>
        <button type="button" className="btn small" onClick={foldAll}>
          {folded.size > 0 ? 'Unfold all' : 'Fold all'}
        </button>
        {zoom && (
          <span className="tag info">
            {duration(b - a)}
            <IconButton icon="close" label="Whole trace" small onClick={() => setZoom(undefined)} />
          </span>
        )}
        <span className="grow" />
        <Legend rows={rows} />
      </div>
      <Axis from={a} to={b} origin={start} onZoom={setZoom} />
      <div ref={host} className="wf-rows" tabIndex={0} onKeyDown={key} role="tree" aria-label="Spans">
        <div className="wf-canvas" style={{ height: list.getTotalSize() }} role="presentation">
          {list.getVirtualItems().map((item) => {
            const n = rows[item.index]!;
            const s = n.span;
            const e = endOf(s, now);
            const id = s.spanId;
            return (
              <div
                key={id}
                role="treeitem"
                aria-level={n.depth + 1}
                aria-selected={id === selected}
                aria-expanded={n.children.length > 0 ? !folded.has(id) : undefined}
                className={`wf-row${id === selected ? ' selected' : ''}${matches(n) ? ' hit' : ''}${needle !== '' && !matches(n) ? ' miss' : ''}`}
                style={{ transform: `translateY(${item.start}px)` }}
                onClick={() => onSelect(id)}
              >
                <div className="wf-label" style={{ paddingLeft: 6 + Math.min(n.depth, 24) * 13 }}>
                  {n.children.length > 0 ? (
                    <button type="button" tabIndex={-1} className="fold-button" aria-label={folded.has(id) ? 'Unfold' : 'Fold'} onClick={(ev) => { ev.stopPropagation(); toggle(id); }}>
                      {folded.has(id) ? `▸` : '▾'}
                    </button>
                  ) : (
                    <span className="fold-button" />
                  )}
                  <i className={`wf-service ${colourOf(s.service)}`} />
                  {n.orphan && <span className="tag warn" title={`Its parent ${s.parentId} is not here (yet)`}>late parent</span>}
                  <span className={`ellipsis${s.status === 'error' ? ' bad' : ''}`}>{s.name}</span>
                  {s.status === 'error' && <span className="visually-hidden">error</span>}
                  {folded.has(id) && <span className="faint num">+{n.below}</span>}
                  <Tool span={n} />
                </div>
                <div className="wf-time">
                  <div className={`wf-bar ${colourOf(s.service)}${s.status === 'error' ? ' bad' : ''}${s.end === undefined ? ' running' : ''}`} style={{ left: `${Math.max(0, percent(s.start))}%`, width: `${Math.max(0.15, Math.min(100, percent(e)) - Math.max(0, percent(s.start)))}%` }} />
                  {critical && path.get(id)?.map((p) => <div key={p.from} className="wf-critical" style={{ left: `${Math.max(0, percent(p.from))}%`, width: `${Math.max(0.1, Math.min(100, percent(p.to)) - Math.max(0, percent(p.from)))}%` }} />)}
                  {s.events.map((ev, i) => (
                    <i key={i} className={`wf-event${ev.name === 'exception' ? ' bad' : ''}`} title={`${ev.name} +${duration(ev.ms - s.start)}`} style={{ left: `${percent(ev.ms)}%` }} />
                  ))}
                  <span className={`wf-duration num${percent(e) > 82 && percent(s.start) < 18 ? ' within' : ''}`} style={durationPlace(percent(s.start), percent(e))}>
                    {s.end === undefined ? `${duration(e - s.start)} …` : duration(e - s.start)}
                  </span>
                </div>
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

// Behind the bar, before it, or on it: wherever there is room.
function durationPlace(from: number, to: number): React.CSSProperties {
  if (to <= 82) return { left: `${Math.max(0, to)}%` };
  return from >= 18 ? { right: `${100 - from}%` } : { right: `${Math.max(0, 100 - to)}%` };
}

// What a span of an agent is about, in a word.
function Tool({ span }: { span: Node }) {
  const a = span.span.attributes;
  const tokens = Number(a['gen_ai.usage.input_tokens'] ?? 0) + Number(a['gen_ai.usage.output_tokens'] ?? 0);
  if (a['gen_ai.operation.name'] === undefined || tokens === 0) return null;
  return <span className="faint num wf-extra">{tokens} tok</span>;
}

function Legend({ rows }: { rows: Node[] }) {
  const services = [...new Set(rows.map((r) => r.span.service))].slice(0, 6);
  return (
    <span className="row wf-legend">
      {services.map((s) => (
        <span key={s} className="row soft">
          <i className={`wf-service ${colourOf(s)}`} />
          {s}
        </span>
      ))}
    </span>
  );
}

function Axis({ from, to, origin, onZoom }: { from: number; to: number; origin: number; onZoom: (z: [number, number] | undefined) => void }) {
  const el = useRef<HTMLDivElement>(null);
  const [drag, setDrag] = useState<[number, number] | undefined>();
  const at = (x: number) => {
    const r = el.current!.getBoundingClientRect();
    return Math.max(0, Math.min(1, (x - r.left) / r.width));
  };
  const ticks = [0, 0.25, 0.5, 0.75];
  return (
    <div className="wf-axis">
      <span className="wf-label soft">Span</span>
      <div
        ref={el}
        className="wf-time"
        title="Drag to zoom, double click for the whole"
        onPointerDown={(e) => {
          e.currentTarget.setPointerCapture(e.pointerId);
          setDrag([at(e.clientX), at(e.clientX)]);
        }}
        onPointerMove={(e) => drag && setDrag([drag[0], at(e.clientX)])}
        onPointerUp={() => {
          if (drag && Math.abs(drag[1] - drag[0]) > 0.01) {
            const [x, y] = drag[0] < drag[1] ? drag : [drag[1], drag[0]];
            onZoom([from + x * (to - from), from + y * (to - from)]);
          }
          setDrag(undefined);
        }}
        onDoubleClick={() => onZoom(undefined)}
      >
        {ticks.map((t) => (
          <span key={t} className="wf-tick num" style={{ left: `${t * 100}%` }}>
            {duration(from - origin + t * (to - from))}
          </span>
        ))}
        <span className="wf-tick num last">{duration(to - origin)}</span>
        {drag && <div className="wf-zoom" style={{ left: `${Math.min(...drag) * 100}%`, width: `${Math.abs(drag[1] - drag[0]) * 100}%` }} />}
      </div>
    </div>
  );
}
