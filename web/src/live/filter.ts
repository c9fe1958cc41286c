// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The filter bar's language, and what the server makes of it.
//
//   timeout                    text, case ignored            -health         not this text
//   "two words"                text with spaces              /time(out|r)/   regular expression (RE2)
//   level:warn                 this severity and above       service:web     name:"chat gpt"   event:server.health
//   status:error  duration:>500   of spans                    @tool.name=search   @user.id   attribute equals, exists
//   signal:spans,scores

import type { Filter, Json, Severity, Signals } from './protocol';

export interface Token {
  start: number;
  end: number;
  negated: boolean;
  /** '' for free text, 're' for a regular expression, '@' for an attribute. */
  key: string;
  value: string;
  /** The attribute's name. */
  attribute?: string;
  problem?: string;
}

export const KEYS: Record<string, string> = {
  level: 'this severity and above',
  service: 'service.name',
  name: 'name of a span, metric or score',
  event: 'event name of a log record',
  status: 'ok or error, of spans',
  duration: 'of spans, for example >500ms',
  signal: 'logs, spans, metrics, scores',
};

export const LEVELS: Severity[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];
const SIGNALS: Record<string, Signals> = { logs: 'logs', log: 'logs', spans: 'spans', span: 'spans', metrics: 'metrics', metric: 'metrics', scores: 'scores', score: 'scores' };

// A token: -? then a quoted text, a /regex/, or a run without spaces in which quotes may protect some.
const TOKEN = /(-?)(?:"((?:[^"\\]|\\.)*)"?|\/((?:[^/\\]|\\.)+)\/|((?:[^\s"]|"(?:[^"\\]|\\.)*"?)+))/g;

/** Splits the text of the bar; never fails, a token that means nothing has a `problem`. */
export function tokens(text: string): Token[] {
  const out: Token[] = [];
  for (const m of text.matchAll(TOKEN)) {
    const at = { start: m.index, end: m.index + m[0].length, negated: m[1] === '-' };
    if (m[2] !== undefined) out.push({ ...at, key: '', value: unescape(m[2]) });
    else if (m[3] !== undefined) out.push({ ...at, key: 're', value: m[3].replace(/\\\//g, '/') });
    else out.push({ ...at, ...word(m[4] ?? '') });
  }
  mixed(out);
  return out;
}

const unescape = (s: string) => s.replace(/\\(.)/g, '$1');
const unquote = (s: string) => (s.startsWith('"') ? unescape(s.slice(1).replace(/"$/, '')) : s);

function word(raw: string): Pick<Token, 'key' | 'value' | 'attribute' | 'problem'> {
  if (raw.startsWith('@')) {
    const at = raw.indexOf('=');
    const name = at < 0 ? raw.slice(1) : raw.slice(1, at);
    const t = { key: '@', attribute: unquote(name), value: at < 0 ? '' : unquote(raw.slice(at + 1)) };
    return name === '' ? { ...t, problem: 'the name of an attribute follows @' } : at < 0 ? t : { ...t, value: t.value, key: '@=' };
  }
  const colon = raw.indexOf(':');
  const key = colon > 0 ? raw.slice(0, colon).toLowerCase() : '';
  if (!(key in KEYS)) return { key: '', value: unquote(raw) };
  const value = unquote(raw.slice(colon + 1));
  return { key, value, problem: value === '' ? undefined : problemOf(key, value) };
}

function problemOf(key: string, value: string): string | undefined {
  if (key === 'level' && !LEVELS.includes(value.toLowerCase() as Severity)) return `levels are ${LEVELS.join(', ')}`;
  if (key === 'status' && !['ok', 'error'].includes(value)) return 'status is ok or error';
  if (key === 'duration' && milliseconds(value) === undefined) return 'for example duration:>500ms or duration:>2s';
  if (key === 'signal' && value.split(',').some((s) => s !== '' && !(s in SIGNALS))) return 'signals are logs, spans, metrics, scores';
  return undefined;
}

/** ">500", "500ms", ">=1.5s" → milliseconds. */
export function milliseconds(text: string): number | undefined {
  const m = /^>?=?(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text);
  return m ? Number(m[1]) * { ms: 1, s: 1000, m: 60_000 }[(m[2] ?? 'ms') as 'ms' | 's' | 'm'] : undefined;
}

/** What the server is asked for. Tokens with a problem, or without a value yet, are left out. */
export function toFilter(text: string): Filter {
  const all = tokens(text).filter((t) => !t.problem && (t.value !== '' || t.key === '@'));
  const filter = build(all.filter((t) => !t.negated));
  const not = negation(all.filter((t) => t.negated));
  if (Object.keys(not).length > 0) filter.not = not;
  return filter;
}

// The conditions within `not` must all hold for a record to go, but "-a -b" means that either is enough. Alternatives of one kind
// can be said (texts as one expression, names as a list); of different kinds they can't: mixed says so in the bar.
function negation(list: Token[]): Filter {
  const first = list[0];
  if (!first) return {};
  const same = list.filter((t) => t.key === first.key && t.attribute === first.attribute);
  const values = same.map((t) => t.value);
  if (first.key === '' && values.length > 1) return { regex: '(?i)' + values.map(quoteRegex).join('|') };
  if (first.key === 're' && values.length > 1) return { regex: values.map((v) => `(?:${v})`).join('|') };
  const f = build([first]);
  if (values.length > 1) {
    if (first.key === 'service') f.service = values;
    else if (first.key === 'name') f.name = values;
    else if (first.key === 'event') f.event_name = values;
    else if (first.key === '@=') f.attributes = { [first.attribute!]: values };
  }
  return f;
}

function mixed(list: Token[]): void {
  const negated = list.filter((t) => t.negated && !t.problem);
  for (const t of negated) if (t.key !== negated[0]!.key || t.attribute !== negated[0]!.attribute) t.problem = 'excluded terms must be of one kind';
}

function build(list: Token[]): Filter {
  const f: Filter = {};
  const texts: string[] = [];
  for (const t of list) {
    switch (t.key) {
      case '':
        texts.push(t.value);
        break;
      case 're':
        f.regex = t.value;
        break;
      case '@':
        (f.attributes ??= {})[t.attribute!] = { exists: true };
        break;
      case '@=':
        (f.attributes ??= {})[t.attribute!] = add(f.attributes[t.attribute!], t.value);
        break;
      case 'level':
        f.min_severity = t.value.toLowerCase() as Severity;
        break;
      case 'service':
        f.service = t.value;
        break;
      case 'name':
        f.name = t.value;
        break;
      case 'event':
        f.event_name = t.value;
        break;
      case 'status':
        f.status = t.value as 'ok' | 'error';
        break;
      case 'duration':
        f.min_duration_ms = milliseconds(t.value);
        break;
      case 'signal':
        f.signals = t.value.split(',').map((s) => SIGNALS[s]).filter((s) => s !== undefined);
        break;
    }
  }
  // The protocol knows one text; several words must be there in this order at most, which a regular expression says.
  if (texts.length === 1) f.text = texts[0];
  else if (texts.length > 1 && !f.regex) f.regex = '(?i)' + texts.map(quoteRegex).join('.*');
  else if (texts.length > 1) f.text = texts.join(' ');
  return f;
}

const quoteRegex = (s: string) => s.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

// The same attribute twice means one value or the other.
function add(before: Json | undefined, value: string): Json {
  if (before === undefined || (typeof before === 'object' && !Array.isArray(before))) return value;
  return Array.isArray(before) ? [...before, value] : [before, value];
}

/** Writes a term so that `tokens` reads it back. */
export function term(key: string, value: string, negated = false): string {
  const quoted = /^[^\s"]+$/.test(value) ? value : `"${value.replace(/["\\]/g, '\\$&')}"`;
  const sign = negated ? '-' : '';
  if (key === '') return sign + (/^[-@/]|:/.test(value) || quoted !== value ? `"${value.replace(/["\\]/g, '\\$&')}"` : value);
  return sign + (key.startsWith('@') ? `${key}=${quoted}` : `${key}:${quoted}`);
}

export interface Completion {
  text: string;
  hint: string;
  /** What it stands for in the bar. */
  from: number;
  to: number;
}

/** Completions at the cursor. `values` gives what is known of a key or attribute; `attributes` the attributes seen. */
export function complete(text: string, cursor: number, known: { values: (key: string) => string[]; attributes: () => string[] }): Completion[] {
  const t = tokens(text).find((x) => x.start <= cursor && cursor <= x.end);
  const from = t?.start ?? cursor;
  const raw = text.slice(from, cursor);
  const sign = raw.startsWith('-') ? '-' : '';
  const word = raw.slice(sign.length);
  const to = t?.end ?? cursor;
  const make = (list: string[], hint: (s: string) => string): Completion[] => list.map((s) => ({ text: sign + s, hint: hint(s), from, to }));
  const eq = word.indexOf('=');
  if (word.startsWith('@') && eq > 0) {
    const value = word.slice(eq + 1).toLowerCase();
    return make(known.values(word.slice(0, eq)).filter((v) => v.toLowerCase().includes(value)).slice(0, 12).map((v) => term(word.slice(0, eq), v)), () => '');
  }
  if (word.startsWith('@')) {
    const part = word.slice(1).toLowerCase();
    return make(known.attributes().filter((a) => a.toLowerCase().includes(part)).slice(0, 14).map((a) => `@${a}=`), () => 'attribute');
  }
  const colon = word.indexOf(':');
  if (colon > 0 && word.slice(0, colon) in KEYS) {
    const key = word.slice(0, colon);
    const part = word.slice(colon + 1).toLowerCase();
    const list = key === 'level' ? LEVELS : key === 'status' ? ['error', 'ok'] : key === 'signal' ? ['logs', 'spans', 'metrics', 'scores'] : key === 'duration' ? ['>100ms', '>500ms', '>1s', '>10s'] : known.values(key);
    return make(list.filter((v) => v.toLowerCase().includes(part)).slice(0, 12).map((v) => term(key, v)), () => '');
  }
  const keys = Object.keys(KEYS).filter((k) => k.startsWith(word.toLowerCase()));
  return [...make(keys.map((k) => k + ':'), (k) => KEYS[k.slice(0, -1)] ?? ''), ...(word === '' ? make(['@'], () => 'an attribute') : [])];
}
