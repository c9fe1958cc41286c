// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The URL is the state of every view, so that a copied address shows the same. A router of some eighty lines serves that
// better than a library: paths are few, and all that changes often is the query string.

import { useCallback, useSyncExternalStore } from 'react';

const listeners = new Set<() => void>();
const notify = () => listeners.forEach((l) => l());

function subscribe(listener: () => void): () => void {
  if (listeners.size === 0) window.addEventListener('popstate', notify);
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) window.removeEventListener('popstate', notify);
  };
}

const current = () => window.location.pathname + window.location.search;

/** Goes to an address of this console. `replace` leaves no step for the back button: for typing and dragging. */
export function navigate(to: string, options: { replace?: boolean } = {}): void {
  if (to === current()) return;
  if (options.replace) history.replaceState(null, '', to);
  else history.pushState(null, '', to);
  notify();
}

export interface Location {
  path: string;
  query: URLSearchParams;
}

export function useLocation(): Location {
  const url = useSyncExternalStore(subscribe, current);
  const at = url.indexOf('?');
  return { path: at < 0 ? url : url.slice(0, at), query: new URLSearchParams(at < 0 ? '' : url.slice(at + 1)) };
}

export type Patch = Record<string, string | number | boolean | null | undefined>;

/** Adds the patch to a query string; what is empty, false or null leaves it. */
export function withQuery(path: string, query: URLSearchParams | string, patch: Patch): string {
  const next = new URLSearchParams(query);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null || value === undefined || value === '' || value === false) next.delete(key);
    else next.set(key, value === true ? '1' : String(value));
  }
  const text = next.toString();
  return text ? `${path}?${text}` : path;
}

/** The query of this page and a function that changes some of it. */
export function useQuery(): [URLSearchParams, (patch: Patch, options?: { replace?: boolean }) => void] {
  const { query } = useLocation();
  const set = useCallback((patch: Patch, options?: { replace?: boolean }) => {
    navigate(withQuery(window.location.pathname, window.location.search, patch), options);
  }, []);
  return [query, set];
}

/** Follows a click on an anchor without loading the page, unless the user wants a tab of its own. */
export function followLink(event: { button: number; metaKey: boolean; ctrlKey: boolean; shiftKey: boolean; defaultPrevented: boolean; preventDefault(): void }, to: string): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  navigate(to);
}
