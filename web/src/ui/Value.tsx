// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// A value of an attribute: short ones as they are, JSON as a tree (also when it is JSON in a string), long ones folded.

import { useState } from 'react';
import { parseJson } from '../lib/json';
import type { Json } from '../live/protocol';
import { JsonTree } from './ui';

const LONG = 400;

export function Value({ value }: { value: Json }) {
  const [whole, setWhole] = useState(false);
  if (typeof value === 'object' && value !== null) return <JsonTree value={value} />;
  const text = String(value);
  const json = typeof value === 'string' && value.length > 1 ? parseJson(value) : undefined;
  if (json !== undefined) return <JsonTree value={json} />;
  if (text.length <= LONG || whole) return <>{text}</>;
  return (
    <>
      {text.slice(0, LONG)}…{' '}
      <button type="button" className="btn small" onClick={() => setWhole(true)}>
        all {text.length} characters
      </button>
    </>
  );
}
