// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import { ansiSegments } from '../lib/ansi';

/** A line of a terminal, its colours as classes of text nodes. */
export const AnsiText = ({ text }: { text: string }) => (
  <>
    {text.split('\n').flatMap((line, n) => [
      n > 0 ? '\n' : '',
      ...ansiSegments(line).map((s, i) => (s.classes ? <span key={`${n}.${i}`} className={s.classes}>{s.text}</span> : s.text)),
    ])}
  </>
);
