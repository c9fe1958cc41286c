// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from 'vitest';
import { complete, milliseconds, term, toFilter, tokens } from '../src/live/filter';

describe('the filter bar', () => {
  it.each([
    ['timeout', { text: 'timeout' }],
    ['"two words"', { text: 'two words' }],
    ['a b', { regex: '(?i)a.*b' }],
    ['a.b c', { regex: '(?i)a\\.b.*c' }],
    ['/time(out|r)/', { regex: 'time(out|r)' }],
    ['level:WARN', { min_severity: 'warn' }],
    ['service:web name:"chat gpt"', { service: 'web', name: 'chat gpt' }],
    ['event:server.health status:error', { event_name: 'server.health', status: 'error' }],
    ['duration:>1.5s', { min_duration_ms: 1500 }],
    ['signal:spans,logs', { signals: ['spans', 'logs'] }],
    ['@tool=search', { attributes: { tool: 'search' } }],
    ['@tool=search @tool=read', { attributes: { tool: ['search', 'read'] } }],
    ['@user.id', { attributes: { 'user.id': { exists: true } } }],
    ['@k="a b"', { attributes: { k: 'a b' } }],
    ['-health', { not: { text: 'health' } }],
    ['-a -b', { not: { regex: '(?i)a|b' } }],
    ['-service:a -service:b', { not: { service: ['a', 'b'] } }],
    ['http://x/y', { text: 'http://x/y' }],
    ['level:', {}],
    ['level:loud', {}],
    ['', {}],
  ])('%s', (text, filter) => expect(toFilter(text)).toEqual(filter));

  it('says what it does not understand', () => {
    expect(tokens('level:loud')[0]!.problem).toMatch(/levels are/);
    expect(tokens('status:maybe')[0]!.problem).toMatch(/ok or error/);
    expect(tokens('duration:soon')[0]!.problem).toMatch(/duration:>/);
    expect(tokens('-a -service:b')[1]!.problem).toMatch(/one kind/);
    expect(tokens('@=x')[0]!.problem).toMatch(/attribute/);
  });

  it('never fails and covers what it reads', () => {
    const alphabet = ['"', '/', '-', '@', ':', '=', '\\', ' ', 'a', 'level', 'é', '\u0000', '💧'];
    let a = 7;
    const next = () => (a = (a * 48271) % 2147483647);
    for (let n = 0; n < 3000; n++) {
      const text = Array.from({ length: next() % 12 }, () => alphabet[next() % alphabet.length]).join('');
      let at = 0;
      for (const t of tokens(text)) {
        expect(t.start).toBeGreaterThanOrEqual(at);
        expect(t.end).toBeGreaterThan(t.start);
        at = t.end;
      }
      toFilter(text);
      complete(text, next() % (text.length + 1), { values: () => ['v'], attributes: () => ['k'] });
    }
  });

  it('writes terms that it reads back', () => {
    for (const value of ['x', 'a b', 'say "hi"', 'back\\slash', '-minus', 'level:warn', '/re/', '@at']) {
      expect(tokens(term('', value))[0]).toMatchObject({ key: '', value });
      expect(tokens(term('service', value, true))[0]).toMatchObject({ key: 'service', value, negated: true });
      expect(tokens(term('@k.v', value))[0]).toMatchObject({ key: '@=', attribute: 'k.v', value });
    }
  });

  it('completes keys, values and attributes where the cursor is', () => {
    const known = { values: (k: string) => (k === 'service' ? ['web', 'worker'] : k === '@tool' ? ['search', 'read mail'] : []), attributes: () => ['tool', 'run'] };
    expect(complete('le', 2, known)[0]).toMatchObject({ text: 'level:', from: 0, to: 2 });
    expect(complete('x service:wo', 12, known).map((c) => c.text)).toEqual(['service:worker']);
    expect(complete('@to', 3, known).map((c) => c.text)).toEqual(['@tool=']);
    expect(complete('@tool=', 6, known).map((c) => c.text)).toEqual(['@tool=search', '@tool="read mail"']);
    expect(complete('-lev', 4, known)[0]!.text).toBe('-level:');
  });

  it.each([['>500', 500], ['500ms', 500], ['>=1.5s', 1500], ['2m', 120_000], ['soon', undefined]])('duration %s', (t, ms) => expect(milliseconds(t)).toBe(ms));
});
