// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Settings of this browser, and small pieces of state that several components follow.

import { useSyncExternalStore } from 'react';

export interface Cell<T> {
  get(): T;
  set(value: T): void;
  subscribe(listener: () => void): () => void;
}

export function cell<T>(initial: T): Cell<T> {
  let value = initial;
  const listeners = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      listeners.forEach((l) => l());
    },
    subscribe(l) {
      listeners.add(l);
      return () => listeners.delete(l);
    },
  };
}

/** A cell that outlives the page. Storage may be forbidden: then it only lives as long as the page. */
export function stored<T extends string>(key: string, initial: T, allowed?: readonly T[]): Cell<T> {
  const name = `tailrace.${key}`;
  let value = initial;
  try {
    const kept = localStorage.getItem(name) as T | null;
    if (kept !== null && (!allowed || allowed.includes(kept))) value = kept;
  } catch {
    /* forbidden */
  }
  const inner = cell<T>(value);
  return {
    ...inner,
    set(next) {
      inner.set(next);
      try {
        localStorage.setItem(name, next);
      } catch {
        /* forbidden */
      }
    },
  };
}

export const useCell = <T>(c: Cell<T>): T => useSyncExternalStore(c.subscribe, c.get);

export const toast = cell<{ text: string; at: number } | null>(null);
/** Says something in passing, at the foot of the page. */
export const say = (text: string): void => toast.set({ text, at: Date.now() });

/** Copies text and says so; says how to help oneself where the browser refuses. */
export async function copy(text: string, what = 'Copied'): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(what);
  } catch {
    say('The browser does not allow copying here: select the text and press Ctrl+C');
  }
}

/** Offers text as a file. */
export function saveAs(name: string, parts: BlobPart[], type = 'text/plain'): void {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const a = document.createElement('a');
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
