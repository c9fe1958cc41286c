// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// How lines are shown: of this browser, not of the address.

import { stored } from '../lib/store';

export const clock = stored<'local' | 'utc' | 'relative'>('clock', 'local', ['local', 'utc', 'relative']);
export const wrapLines = stored<'on' | 'off'>('wrap', 'off', ['on', 'off']);
export const extras = stored<'on' | 'off'>('attributes', 'on', ['on', 'off']);
