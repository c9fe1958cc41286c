// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Evaluation scores over time, and the traces behind them.

import { useQuery as useData } from '@tanstack/react-query';
import { useMemo } from 'react';
import { get } from '../api/client';
import { page, type Raw, score, series } from '../api/decode';
import { scopeOf, scopeParams } from '../api/params';
import type { Score } from '../api/types';
import { ago, dateTime } from '../lib/format';
import { apiRange, bounds, rangeOf, step, whileGrowing, whileMoving } from '../lib/range';
import { useQuery } from '../lib/router';
import { Behind, NO_POINT, openPoint, type Point, pointOf } from '../traces/Behind';
import { Chart, COLOURS } from '../ui/Chart';
import { ScopePicker } from '../ui/ScopePicker';
import { TimeRange } from '../ui/TimeRange';
import { Empty, ErrorNote, Link, Loading, Snippet } from '../ui/ui';

const two = (v: number) => v.toFixed(2);

export function ScoresPage() {
  const [q, set] = useQuery();
  const range = rangeOf(q, '-24h');
  const name = q.get('name') ?? '';
  const base = { ...scopeParams(scopeOf(q)), ...apiRange(range) };
  const named = { ...base, name: name || undefined };
  const point = pointOf(q);
  const lines = useData({ queryKey: ['scores/series', base], queryFn: async ({ signal }) => series(await get<Raw>('/scores/series', { ...base, aggregate: 'avg', group_by: 'name', step: step(range, 30).text }, signal)), refetchInterval: 15_000, placeholderData: whileMoving(base) });
  const list = useData({ queryKey: ['scores', named], queryFn: async ({ signal }) => page(await get<Raw>('/scores', { ...named, limit: 500 }, signal), score).data, refetchInterval: 15_000, placeholderData: whileMoving(named) });
  const names = (lines.data ?? []).map((s) => s.label);
  const shown = useMemo(() => (lines.data ?? []).filter((s) => !name || s.label === name), [lines.data, name]);
  // A name has the same colour whether it is shown alone or with others; dots have that of their line, failed ones are red.
  const colours = useMemo(() => new Map((lines.data ?? []).map((s, i) => [s.label, COLOURS[i % COLOURS.length]!])), [lines.data]);
  const dots = useMemo(() => (list.data ?? []).filter((s) => s.value !== null).map((s) => ({ ms: s.ms, value: s.value!, colour: s.label === 'fail' ? '--error' : colours.get(s.name)! })), [list.data, colours]);
  const [from, to] = bounds(range);
  return (
    <>
      <div className="page-bar">
        <h1>Scores</h1>
        <ScopePicker />
        <span className="grow" />
        <TimeRange fallback="-24h" />
      </div>
      <div className="page">
        <div className="page-body">
          {list.isPending && <Loading what="Asking for scores" query={['scores']} />}
          {list.error && <ErrorNote error={list.error} what="Scores" retry={() => void list.refetch()} />}
          {list.data?.length === 0 && !name ? (
            <Empty title="No evaluation scores in this time">
              <p className="soft">
                A score is a log record with the event name <code>gen_ai.evaluation.result</code>, linked to the span that it judges. In Node:
              </p>
              <Snippet
                text={`logs.getLogger('evals').emit({\n  eventName: 'gen_ai.evaluation.result',\n  context: context.active(),\n  attributes: {\n    'gen_ai.evaluation.name': 'relevance',\n    'gen_ai.evaluation.score.value': 0.82,\n    'gen_ai.evaluation.score.label': 'pass',\n  },\n});`}
              />
            </Empty>
          ) : (
            list.data && (
              <>
                <section className="panel" aria-label="Scores over time">
                  <header>
                    <h2>Mean over time; dots are single scores, red ones failed</h2>
                    <span className="grow" />
                    <span className="segmented" role="group" aria-label="Score">
                      <button type="button" aria-pressed={!name} onClick={() => set({ name: null })}>all</button>
                      {names.map((n) => (
                        <button key={n} type="button" aria-pressed={n === name} onClick={() => set({ name: n })}>{n}</button>
                      ))}
                    </span>
                  </header>
                  <Chart series={shown} dots={dots} label="Mean score over time; drag to narrow, click for the traces behind a point" height={220} format={two} range={[from, to]} colours={shown.map((s) => colours.get(s.label)!)} shown={point && [point.from, point.to]} onPoint={(ms, s) => set(openPoint(ms, s))} onBrush={(a, b) => set({ from: Math.round(a), to: Math.round(b), ...NO_POINT })} />
                </section>
                {point && <Behind point={point} ways={[]} what="Scores" first={{ name: 'Scores', content: <OfPoint point={point} /> }} />}
                <section className="panel scroll-x" aria-label="Single scores">
                  <ScoreTable scores={list.data.slice(0, 200)} />
                </section>
              </>
            )
          )}
        </div>
      </div>
    </>
  );
}

// The mean of a bucket is of these, each with the trace that was judged.
function OfPoint({ point }: { point: Point }) {
  const [q] = useQuery();
  const params = { ...scopeParams(scopeOf(q)), name: point.of || undefined, start: new Date(point.from).toISOString(), end: new Date(point.to).toISOString(), limit: 200 };
  const data = useData({ queryKey: ['scores/point', params], queryFn: async ({ signal }) => page(await get<Raw>('/scores', params, signal), score), refetchInterval: whileGrowing(point.to) });
  if (data.error) return <div className="body"><ErrorNote error={data.error} what="Scores" retry={() => void data.refetch()} /></div>;
  if (!data.data) return <div className="body"><Loading what="Looking for the scores behind this point" query={['scores/point']} /></div>;
  if (data.data.data.length === 0) return <p className="body soft">No score of this name in this time.</p>;
  return (
    <div className="scroll-x">
      <ScoreTable scores={data.data.data} />
      {data.data.more && <p className="body soft">The newest 200 of this time.</p>}
    </div>
  );
}

function ScoreTable({ scores }: { scores: Score[] }) {
  return (
    <table className="table">
      <thead>
        <tr>
          <th className="num">When</th>
          <th>Score</th>
          <th className="num">Value</th>
          <th>Label</th>
          <th>Explanation</th>
          <th>Of</th>
        </tr>
      </thead>
      <tbody>
        {scores.map((s, i) => (
          <tr key={s.uid || i}>
            <td className="soft num" title={dateTime(s.ms)}>{ago(s.ms)}</td>
            <td>{s.name}</td>
            <td className="num">{s.value === null ? '–' : two(s.value)}</td>
            <td>{s.label && <span className={`tag ${s.label === 'fail' ? 'error' : s.label === 'pass' ? 'ok' : ''}`}>{s.label}</span>}</td>
            <td className="soft explanation">{s.explanation}</td>
            <td>{s.traceId ? <Link to={`/traces/${s.traceId}${s.spanId ? `/${s.spanId}` : ''}`}>trace {s.traceId.slice(0, 8)}</Link> : <span className="faint">{s.server}</span>}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
