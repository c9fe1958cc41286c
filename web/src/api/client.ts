// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Requests to /api/v1. Answers that are no success become an ApiError that says what to do.

import { cell } from '../lib/store';

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail?: string,
  ) {
    super(detail ? `${title}: ${detail}` : title);
  }

  get advice(): string {
    switch (this.status) {
      case 0:
        return 'The collector does not answer at this address. Is it running? This page tries again by itself.';
      case 400:
        return 'Change the filter or the time range; the message names what is not understood.';
      case 401:
        return 'Sign in again.';
      case 403:
        return 'Your rules do not include this. Ask who runs this collector for the project.';
      case 404:
        return 'It may have been removed by retention, or has not been loaded into the store yet: that takes a moment after it happened.';
      case 503:
        return 'The store (ClickHouse) is away or still starting. Live data goes on; nothing is lost, it is loaded when the store is back.';
      case 408:
      case 504:
      case 422:
        return 'Narrow the time range or add a filter, then try again.';
      default:
        return 'Try again; if it stays, the Pipeline page and the log of the collector say more.';
    }
  }
}

export interface Session {
  subject?: string;
  method?: string;
  role?: string;
  projects?: string[];
  csrf?: string;
  /** false where everybody may do everything, on loopback. */
  auth?: boolean;
}

/** undefined: not asked yet; null: sign in first. */
export const session = cell<Session | null | undefined>(undefined);

const BASE = '/api/v1';

type Value = string | number | boolean | undefined | null;
export type Params = Record<string, Value | Value[]>;

export function url(path: string, params: Params = {}): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(params)) {
    for (const x of Array.isArray(v) ? v : [v]) if (x !== undefined && x !== null && x !== '') q.append(k, String(x));
  }
  const text = q.toString();
  return BASE + path + (text ? `?${text}` : '');
}

async function request(address: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address, { credentials: 'same-origin', ...init });
  } catch (e) {
    if ((e as Error).name === 'AbortError') throw e;
    throw new ApiError(0, 'No connection to the collector');
  }
  if (response.ok) return response;
  let title = response.statusText || `HTTP ${response.status}`;
  let detail: string | undefined;
  try {
    const problem = (await response.json()) as { title?: string; detail?: string };
    title = problem.title ?? title;
    detail = problem.detail;
  } catch {
    /* not a problem document */
  }
  if (response.status === 401) session.set(null);
  throw new ApiError(response.status, title, detail);
}

export async function get<T>(path: string, params?: Params, signal?: AbortSignal): Promise<T> {
  const r = await request(url(path, params), { signal, headers: { Accept: 'application/json' } });
  return (await r.json()) as T;
}

/** All rows of a list, a JSON object a line. An export that fails on its way is cut by the server, and this fails too. */
export async function download(path: string, params?: Params): Promise<Blob> {
  const r = await request(url(path, params), { headers: { Accept: 'application/x-ndjson' } });
  return r.blob();
}

export async function post<T>(path: string, body: unknown): Promise<T | undefined> {
  const csrf = session.get()?.csrf;
  const headers: Record<string, string> = { 'Content-Type': 'application/json' };
  if (csrf) headers['X-CSRF-Token'] = csrf;
  const r = await request(BASE + path, { method: 'POST', headers, body: JSON.stringify(body) });
  const text = await r.text();
  return text ? (JSON.parse(text) as T) : undefined;
}

/** Asks who we are. A console without authentication may not know the route: then everything is open. */
export async function loadSession(): Promise<void> {
  try {
    const s = await get<Session & { data?: Session }>('/session');
    session.set(s.data ?? s);
  } catch (e) {
    if (e instanceof ApiError && e.status === 401) session.set(null);
    else session.set({});
  }
}
