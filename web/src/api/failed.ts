// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Files in failed/, as GET /pipeline/failed answers.

import { millis } from '../lib/format';
import { num, type Raw, str } from './decode';

export interface FailedFile {
  id: string;
  file: string;
  kind: string;
  type: string;
  project: string;
  segment: string;
  bytes: number;
  time: number;
  reasons: { line?: number; from: number; to: number; class: string; reason: string; token?: string }[];
  reasonCount: number;
  mayPutBack: boolean;
}

export function failedFile(r: Raw): FailedFile {
  return {
    id: str(r, 'id'),
    file: str(r, 'file'),
    kind: str(r, 'kind'),
    type: str(r, 'type'),
    project: str(r, 'project'),
    segment: str(r, 'segment'),
    bytes: num(r, 'bytes') ?? 0,
    time: millis(r.time),
    reasons: (Array.isArray(r.reasons) ? (r.reasons as Raw[]) : []).map((x) => ({ line: num(x, 'line'), from: num(x, 'from') ?? 0, to: num(x, 'to') ?? 0, class: str(x, 'class'), reason: str(x, 'reason'), token: str(x, 'token') || undefined })),
    reasonCount: num(r, 'reasonCount') ?? 0,
    mayPutBack: r.mayPutBack === true,
  };
}
