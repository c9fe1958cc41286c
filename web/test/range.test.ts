// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from 'vitest';
import { whileMoving } from '../src/lib/range';

describe('an answer of before', () => {
  const now = { start: '-15m', project: 'shop', step: '15s' };
  const before = (params: object) => ({ queryKey: ['traces', params] });

  it('stays while only the begin moves', () => {
    expect(whileMoving(now)('old', before({ start: '-5m', project: 'shop', step: '5s' }))).toBe('old');
  });
  it('is gone with another selection, filter or end, and when there was none', () => {
    for (const p of [{ ...now, project: 'secret' }, { ...now, status: 'error' }, { ...now, end: '2026-01-01T00:00:00.000Z' }]) expect(whileMoving(now)('old', before(p))).toBeUndefined();
    expect(whileMoving(now)('old', undefined)).toBeUndefined();
  });
});
