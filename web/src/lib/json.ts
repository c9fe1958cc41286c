// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import type { Json } from '../live/protocol';

/** An object or an array that a text is; undefined for all other texts. */
export function parseJson(text: string): Json | undefined {
  const t = text.trimStart();
  if (t[0] !== '{' && t[0] !== '[') return undefined;
  try {
    const v = JSON.parse(t) as Json;
    return typeof v === 'object' && v !== null ? v : undefined;
  } catch {
    return undefined;
  }
}
