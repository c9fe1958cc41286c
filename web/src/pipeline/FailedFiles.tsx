// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// What was set aside in failed/, with the reasons beside it, and putting it back.

import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { ApiError, get, post } from '../api/client';
import { type FailedFile, failedFile } from '../api/failed';
import { page, type Raw } from '../api/decode';
import type { Page } from '../api/types';
import { ago, bytes } from '../lib/format';
import { ErrorNote, Loading } from '../ui/ui';

const LIMIT = 50;

export function FailedFiles() {
  const client = useQueryClient();
  const [done, setDone] = useState<string>();
  const list = useInfiniteQuery({
    queryKey: ['failed'],
    queryFn: async ({ signal, pageParam }): Promise<Page<FailedFile>> => page(await get<Raw>('/pipeline/failed', { limit: LIMIT, cursor: pageParam }, signal), failedFile),
    initialPageParam: '',
    getNextPageParam: (last) => last.next || undefined,
    refetchInterval: 10_000,
  });
  const files = list.data?.pages.flatMap((p) => p.data) ?? [];
  const again = (text: string) => {
    setDone(text);
    void client.invalidateQueries({ queryKey: ['failed'] });
    void client.invalidateQueries({ queryKey: ['pipeline'] });
  };
  // A collector without an ingest has no such files, and the stations say so.
  if (list.error instanceof ApiError && list.error.status === 503) return null;
  return (
    <section className="panel" aria-label="Failed">
      <header>
        <h2>Set aside in failed/</h2>
        <span className="soft">{files.length > 0 ? 'the rest of their files is loaded' : ''}</span>
      </header>
      {done && (
        <div className="note" role="status">
          <span className="grow">{done}</span>
        </div>
      )}
      {list.isLoading && <Loading what="Looking into failed/" />}
      {list.error && <ErrorNote error={list.error} what="Failed files" retry={() => void list.refetch()} />}
      {list.data && files.length === 0 && (
        <p className="body soft">Nothing. What can&apos;t be read, or what the store refuses, is set aside here with the reason; all else goes on being loaded.</p>
      )}
      {files.length > 0 && (
        <div className="scroll-x">
          <table className="table failed-files">
            <thead>
              <tr>
                <th>Project</th>
                <th>Why</th>
                <th className="num">Size</th>
                <th className="num">Since</th>
                <th aria-label="Action" />
              </tr>
            </thead>
            <tbody>
              {files.map((f) => (
                <Row key={`${f.id} ${f.file}`} file={f} done={again} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {list.hasNextPage && (
        <div className="body">
          <button type="button" className="btn small" disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
            More
          </button>
        </div>
      )}
    </section>
  );
}

function Row({ file: f, done }: { file: FailedFile; done: (text: string) => void }) {
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const put = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await post('/pipeline/failed/put-back', { file: f.file, id: f.id });
      done(`${f.file} is put back, and will be loaded. If it fails again, it comes back here.`);
    } catch (e) {
      setError(e);
      setBusy(false);
      setAsking(false);
    }
  };
  const first = f.reasons[0];
  return (
    <tr>
      <td>
        {f.project || <span className="faint">unknown</span>} <span className="faint">{f.type}</span>
        <div className="faint mono ellipsis" title={f.file}>
          {f.kind === 'file' ? 'whole segment ' : 'lines of '}
          {f.segment}
        </div>
      </td>
      <td>
        {first ? (
          <details>
            <summary>
              <span className="tag">{first.class}</span> {f.reasonCount > 1 && <span className="faint">{f.reasonCount} × </span>}
              <span className="reason">{first.reason}</span>
            </summary>
            <ul className="plain-logs mono">
              {f.reasons.map((r, i) => (
                <li key={i}>
                  <span className="faint">
                    {r.line ? `line ${r.line}, ` : ''}
                    {f.kind === 'file' ? `loaded up to byte ${r.from}` : `bytes ${r.from}–${r.to}`}
                    {r.token ? `, ${r.token}` : ''}
                  </span>{' '}
                  <span className="grow">{r.class}: {r.reason}</span>
                </li>
              ))}
              {f.reasonCount > f.reasons.length && <li className="faint">and {f.reasonCount - f.reasons.length} more in its .reasons.ndjson</li>}
            </ul>
          </details>
        ) : (
          <span className="faint">no reason is beside it</span>
        )}
        {error !== undefined && <ErrorNote error={error} what="Not put back" />}
      </td>
      <td className="num">{f.bytes > 0 ? bytes(f.bytes) : 'nothing kept'}</td>
      <td className="num soft">{ago(f.time)}</td>
      <td>
        {f.mayPutBack && !asking && (
          <button type="button" className="btn small" onClick={() => setAsking(true)}>
            Put back
          </button>
        )}
        {asking && (
          <span className="row" role="group" aria-label="Put it back?">
            <button type="button" className="btn small primary" disabled={busy} onClick={() => void put()}>
              Load it again
            </button>
            <button type="button" className="btn small" disabled={busy} onClick={() => setAsking(false)}>
              Leave it
            </button>
          </span>
        )}
      </td>
    </tr>
  );
}
