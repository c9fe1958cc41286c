// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Queries of the trace pages.

import { useInfiniteQuery, useQuery as useData } from '@tanstack/react-query';
import { get, type Params } from '../api/client';
import { page, type Raw, series, traceSpans, traceSummary } from '../api/decode';
import { attributeParams, scopeOf, scopeParams } from '../api/params';
import { apiRange, moment, rangeOf, step, whileGrowing, whileMoving } from '../lib/range';
import { toFilter, tokens } from '../live/filter';

const PAGE = 100;

/** The filter of a list of traces, out of the page's query. */
export function traceParams(q: URLSearchParams): Params {
  const text = q.get('q') ?? '';
  const f = toFilter(text);
  return {
    ...scopeParams(scopeOf(q)),
    ...apiRange(rangeOf(q)),
    service: f.service ?? scopeOf(q).service,
    name: f.name,
    status: f.status === 'ok' ? 'ok' : undefined,
    has_error: f.status === 'error' ? true : undefined,
    min_duration: q.get('min') ? `${q.get('min')}ms` : f.min_duration_ms === undefined ? undefined : `${f.min_duration_ms}ms`,
    max_duration: q.get('max') ? `${q.get('max')}ms` : undefined,
    text: tokens(text).filter((t) => t.key === '' && !t.negated && t.value).map((t) => t.value),
    regex: tokens(text).find((t) => t.key === 're')?.value,
    ...attributeParams(f),
  };
}

export function useTraces(q: URLSearchParams) {
  const { to } = rangeOf(q);
  const params = traceParams(q);
  return useInfiniteQuery({
    queryKey: ['traces', params],
    queryFn: async ({ pageParam, signal }) => page(await get<Raw>('/traces', { ...params, limit: PAGE, cursor: pageParam }, signal), traceSummary),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => (last.more ? last.next : undefined),
    refetchInterval: whileGrowing(to === undefined ? to : moment(to)),
    placeholderData: whileMoving(params),
  });
}

export function useTraceStats(q: URLSearchParams) {
  const range = rangeOf(q);
  const params = { ...scopeParams(scopeOf(q)), ...apiRange(range), step: step(range, 60).text };
  return useData({
    queryKey: ['stats/traces', params],
    queryFn: async ({ signal }) => {
      const a = await get<Raw>('/stats/traces', params, signal);
      return { traces: series(a, 'traces'), errors: series(a, 'errors') };
    },
    refetchInterval: 15_000,
    placeholderData: whileMoving(params),
  });
}

export function useTrace(id: string) {
  return useData({
    queryKey: ['trace', id],
    queryFn: async ({ signal }) => traceSpans(await get<Raw>(`/traces/${encodeURIComponent(id)}`, {}, signal)),
    retry: 1,
  });
}
