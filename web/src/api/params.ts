// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Filters of the console in the words of the REST interface.

import type { Filter } from '../live/protocol';
import type { Params } from './client';
import type { Scope } from './types';

export const scopeParams = (s: Scope): Params => ({ project: s.project, deployment: s.deployment, server: s.server, service: s.service });

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];

/** What of a live filter the query for logs knows. What it does not know is left out: more lines come, never fewer. */
export function logParams(scope: Scope, f: Filter): Params {
  const at = f.min_severity ? LEVELS.indexOf(f.min_severity) : 0;
  return {
    ...scopeParams(scope),
    service: f.service ?? scope.service,
    text: f.text,
    regex: f.regex,
    level: at > 0 ? LEVELS.slice(at) : undefined,
    event_name: f.event_name,
    ...attributeParams(f),
  };
}

export function spanParams(scope: Scope, f: Filter): Params {
  return {
    ...scopeParams(scope),
    service: f.service ?? scope.service,
    name: f.name,
    text: f.text,
    regex: f.regex,
    status: f.status,
    min_duration: f.min_duration_ms === undefined ? undefined : `${f.min_duration_ms}ms`,
    ...attributeParams(f),
  };
}

export function attributeParams(f: Filter): Params {
  const out: string[] = [];
  // Several values of one attribute are alternatives, which the interface can't say: the first stands for what it can.
  for (const [k, v] of Object.entries(f.attributes ?? {})) out.push(typeof v === 'object' && v !== null && !Array.isArray(v) ? k : `${k}=${String(Array.isArray(v) ? v[0] : v)}`);
  return { attribute: out };
}

/** The scope in the query of a page. */
export const scopeOf = (q: URLSearchParams): Scope => ({
  project: q.get('project') ?? undefined,
  deployment: q.get('deployment') ?? undefined,
  server: q.get('server') ?? undefined,
  service: q.get('service') ?? undefined,
});
