// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Numbers and times as people read them. Everything is deterministic and has no locale but the digits' grouping.

export function count(n: number): string {
  const a = Math.abs(n);
  if (a < 1000) return Number.isInteger(n) ? String(n) : String(+n.toFixed(a < 10 ? 2 : 1));
  if (a < 1e6) return trim(n / 1e3) + 'k';
  if (a < 1e9) return trim(n / 1e6) + 'M';
  return trim(n / 1e9) + 'G';
}

const trim = (n: number) => (Math.abs(n) >= 100 ? n.toFixed(0) : n.toFixed(1).replace(/\.0$/, ''));

/** 12345 → "12,345". */
export const whole = (n: number): string => Math.round(n).toString().replace(/\B(?=(\d{3})+(?!\d))/g, ',');

export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (Math.abs(n) >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return `${i === 0 ? n : n >= 100 ? n.toFixed(0) : n.toFixed(1)} ${units[i]}`;
}

/** A duration in milliseconds: 0.42 → "420µs", 1234 → "1.23s". */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return '–';
  const a = Math.abs(ms);
  if (a === 0) return '0';
  if (a < 0.001) return `${(ms * 1e6).toFixed(0)}ns`;
  // Each limit is where the unit's own rounding would reach the next unit: there is no 1000ms, and no 1m 60s.
  if (a < 0.9995) return `${(ms * 1e3).toFixed(0)}µs`;
  if (a < 9.995) return `${ms.toFixed(2)}ms`;
  if (a < 999.5) return `${ms.toFixed(0)}ms`;
  if (a < 9_995) return `${(ms / 1000).toFixed(2)}s`;
  if (a < 59_950) return `${(ms / 1000).toFixed(1).replace('.0', '')}s`;
  const parts = (whole: number, of: number, names: string) => `${Math.trunc(whole / of)}${names[0]} ${Math.abs(whole % of)}${names[1]}`;
  if (a < 3_599_500) return parts(Math.round(ms / 1000), 60, 'ms');
  if (a < 86_370_000) return parts(Math.round(ms / 60_000), 60, 'hm');
  return parts(Math.round(ms / 3_600_000), 24, 'dh');
}

export function money(usd: number): string {
  if (usd === 0) return '$0';
  if (Math.abs(usd) < 0.01) return `$${usd.toPrecision(2)}`;
  return `$${usd < 100 ? usd.toFixed(2) : whole(usd)}`;
}

export type Clock = 'local' | 'utc' | 'relative';

const two = (n: number) => (n < 10 ? '0' + n : String(n));
const three = (n: number) => (n < 10 ? '00' + n : n < 100 ? '0' + n : String(n));

/** The time of a line: hours to milliseconds; relative is seconds against `now`. */
export function lineTime(ms: number, clock: Clock, now = Date.now()): string {
  if (clock === 'relative') return ago(ms, now);
  const d = new Date(ms);
  return clock === 'utc'
    ? `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}.${three(d.getUTCMilliseconds())}`
    : `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${three(d.getMilliseconds())}`;
}

export function dayOf(ms: number, clock: Clock): string {
  const d = new Date(ms);
  return clock === 'utc'
    ? `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())}`
    : `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

export const dateTime = (ms: number, clock: Clock = 'local'): string => `${dayOf(ms, clock)} ${lineTime(ms, clock === 'relative' ? 'local' : clock)}`;

/** "12s ago"; "in 3m" for what lies ahead. */
export function ago(ms: number, now = Date.now()): string {
  const s = (now - ms) / 1000;
  const a = Math.abs(s);
  const text = a < 1 ? 'now' : a < 60 ? `${Math.floor(a)}s` : a < 3600 ? `${Math.floor(a / 60)}m` : a < 86_400 ? `${Math.floor(a / 3600)}h` : `${Math.floor(a / 86_400)}d`;
  return text === 'now' ? text : s < 0 ? `in ${text}` : `${text} ago`;
}

/** Milliseconds of an RFC 3339 time with up to nine digits, or of a number of milliseconds. NaN for what is neither. */
export function millis(time: unknown): number {
  if (typeof time === 'number') return time;
  if (typeof time !== 'string') return NaN;
  // Date.parse may refuse more than three digits of a second; what follows them is kept apart as a fraction.
  const m = /^(.*?\.\d{3})(\d+)(.*)$/.exec(time);
  if (!m) return Date.parse(time);
  return Date.parse(m[1]! + m[3]!) + Number('0.' + m[2]!);
}

export const shortId = (id: string): string => (id.length > 12 ? id.slice(0, 8) : id);
