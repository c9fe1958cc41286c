// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import { term } from '../live/filter';
import type { Narrowing } from './Behind';

/** How the traces of a group are found. */
export function waysOf(by: string, value: string): Narrowing[] {
  if (!value || value === 'unknown') return [];
  if (['project', 'deployment', 'server', 'service'].includes(by)) return [{ params: { [by]: value }, patch: { [by]: value } }];
  const keys = by === 'model' ? ['gen_ai.response.model', 'gen_ai.request.model'] : by === 'provider' ? ['gen_ai.provider.name', 'gen_ai.system'] : [by];
  return keys.map((k) => ({ params: { attribute: `${k}=${value}` }, patch: { q: term(`@${k}`, value) } }));
}
