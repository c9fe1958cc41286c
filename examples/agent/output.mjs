// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// What the app prints: numbered plain lines, JSON log lines and stack traces. Each stream has its own numbers without
// gaps, so that a reader can prove that it has got every line.

import { trace } from '@opentelemetry/api';

const numbers = { stdout: 0, stderr: 0 };

function numbered(stream, text) {
  numbers[stream]++;
  process[stream].write(`line ${String(numbers[stream]).padStart(6, '0')} ${text}\n`);
}

/** A plain numbered line on stdout. */
export const print = (text) => numbered('stdout', text);

/** A plain numbered line on stderr. */
export const complain = (text) => numbered('stderr', text);

/** How many numbered lines each stream has had. */
export const printed = () => ({ ...numbers });

/** An error with its whole stack, as Node prints it: many lines, one write, on stderr. */
export function printStack(error) {
  process.stderr.write(`${error.stack}\n`);
}

const LEVELS = { debug: 20, info: 30, warn: 40, error: 50 };

/**
 * A JSON log line in the shape of pino, on stdout, with the ids of the active span.
 *
 * @param {'debug'|'info'|'warn'|'error'} level
 * @param {string} msg
 * @param {object} [fields]
 */
export function log(level, msg, fields) {
  const context = trace.getActiveSpan()?.spanContext();
  const ids = context && { trace_id: context.traceId, span_id: context.spanId };
  process.stdout.write(`${JSON.stringify({ level: LEVELS[level], time: Date.now(), pid: process.pid, name: 'agent', ...ids, ...fields, msg })}\n`);
}
