// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Two traces side by side: the same step of both in one row, and by how much it differs.

import { useMemo } from 'react';
import { count, dateTime, duration } from '../lib/format';
import { useQuery } from '../lib/router';
import { ErrorNote, Link, Loading } from '../ui/ui';
import { compare } from './compare';
import { usageOf } from './conversation';
import { useTrace } from './data';
import { extent } from './tree';

export function ComparePage() {
  const [q] = useQuery();
  const ids = [q.get('a') ?? '', q.get('b') ?? ''] as const;
  const a = useTrace(ids[0]);
  const b = useTrace(ids[1]);
  const rows = useMemo(() => (a.data && b.data ? compare(a.data, b.data) : []), [a.data, b.data]);
  const longest = Math.max(1, ...rows.flatMap((r) => [r.a?.ms ?? 0, r.b?.ms ?? 0]));
  return (
    <>
      <div className="page-bar">
        <h1>Compare two traces</h1>
        <Link to="/traces" className="btn">All traces</Link>
      </div>
      <div className="page">
        <div className="page-body">
          {(a.isLoading || b.isLoading) && <Loading what="Loading both traces" />}
          {[a, b].map((t, i) => t.error && <ErrorNote key={i} error={t.error} what={`Trace ${i === 0 ? 'A' : 'B'}`} retry={() => void t.refetch()} />)}
          {a.data && b.data && (
            <>
              <div className="compare-heads">
                {[a.data, b.data].map((spans, i) => {
                  const [from, to] = extent(spans, Date.now());
                  const u = usageOf(spans);
                  const root = spans.find((s) => !s.parentId) ?? spans[0]!;
                  return (
                    <section key={i} className={`panel compare-head side-${i === 0 ? 'a' : 'b'}`}>
                      <div className="body stack">
                        <div className="row">
                          <span className="tag">{i === 0 ? 'A' : 'B'}</span>
                          <Link to={`/traces/${ids[i]}`}>{root.name}</Link>
                          <span className="grow" />
                          <b className="num">{duration(to - from)}</b>
                        </div>
                        <span className="soft num">
                          {dateTime(from)} · {spans.length} spans · {spans.filter((s) => s.status === 'error').length} errors · {count(u.input)} → {count(u.output)} tokens
                        </span>
                      </div>
                    </section>
                  );
                })}
              </div>
              <div className="panel scroll-x">
                <table className="table compare">
                  <thead>
                    <tr>
                      <th>Step</th>
                      <th className="num">A</th>
                      <th className="num">B</th>
                      <th className="num">Difference</th>
                      <th>
                        <span className="visually-hidden">Bars</span>
                      </th>
                    </tr>
                  </thead>
                  <tbody>
                    {rows.map((r) => (
                      <tr key={r.key} className={r.a && r.b ? '' : 'only'}>
                        <td style={{ paddingLeft: 10 + r.depth * 14 }}>
                          {r.name}
                          {!r.a && <span className="tag info">only in B</span>}
                          {!r.b && <span className="tag info">only in A</span>}
                          {r.a?.error !== r.b?.error && r.a && r.b && <span className="tag error">{r.b.error ? 'fails in B' : 'fails in A'}</span>}
                        </td>
                        <td className="num">{r.a ? duration(r.a.ms) : '–'}</td>
                        <td className="num">{r.b ? duration(r.b.ms) : '–'}</td>
                        <td className={`num ${r.a && r.b ? (r.b.ms > r.a.ms * 1.1 ? 'slower' : r.b.ms < r.a.ms * 0.9 ? 'faster' : '') : 'faint'}`}>{r.a && r.b ? `${r.b.ms >= r.a.ms ? '+' : '−'}${duration(Math.abs(r.b.ms - r.a.ms))}` : ''}</td>
                        <td className="compare-bars">
                          <i className={r.a ? 'side-a' : 'none'} style={{ width: `${((r.a?.ms ?? 0) / longest) * 100}%` }} />
                          <i className={r.b ? 'side-b' : 'none'} style={{ width: `${((r.b?.ms ?? 0) / longest) * 100}%` }} />
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            </>
          )}
        </div>
      </div>
    </>
  );
}
