// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from 'vitest';
import { ansiSegments, stripAnsi } from '../src/lib/ansi';
import { fold } from '../src/lib/stack';

const E = '\u001b';

describe('escape sequences', () => {
  it.each([
    ['plain', [['plain', '']]],
    [`${E}[31mred${E}[0m no`, [['red', 'a-f1'], [' no', '']]],
    [`${E}[1;4;32mok${E}[22m x${E}[m y`, [['ok', 'a-f2 a-bold a-underline'], [' x', 'a-f2 a-underline'], [' y', '']]],
    [`${E}[91mbright${E}[39m`, [['bright', 'a-f1']]],
    [`${E}[38;5;196mx${E}[48;2;0;0;250my`, [['x', 'a-f1'], ['y', 'a-f1 a-b4']]],
    [`${E}[2Kcleared${E}[1A`, [['cleared', '']]],
    [`${E}]0;title\u0007text`, [['text', '']]],
    [`${E}]8;;javascript:alert(1)${E}\\click${E}]8;;${E}\\`, [['click', '']]],
    [`\u009b31mcsi`, [['csi', 'a-f1']]],
    [`a\u0000b\u0007c\u007f`, [['abc', '']]],
    [`${E}[999mx${E}[`, [['x', '']]],
  ])('%j', (line, expected) => expect(ansiSegments(line).map((s) => [s.text, s.classes])).toEqual(expected));

  it('only ever makes class names of its own', () => {
    let a = 3;
    const next = (n: number) => (a = (a * 48271) % 2147483647) % n;
    const pieces = [E, '[', ']', ';', '38', '48', '5', '2', 'm', '31', '"', '<img onerror=x>', '\u0007', ' ', '\u009b', '999999999999', '-1', ':'];
    for (let i = 0; i < 5000; i++) {
      const line = Array.from({ length: next(14) }, () => pieces[next(pieces.length)]).join('');
      for (const s of ansiSegments(line)) {
        expect(s.classes).toMatch(/^(a-([fb][0-7]|bold|dim|italic|underline|inverse|strike)( |$))*$/);
        expect(s.text).not.toContain(E);
      }
      expect(stripAnsi(line)).toBe(ansiSegments(line).map((s) => s.text).join(''));
    }
  });
});

describe('folding', () => {
  it('finds the frames of a stack trace', () => {
    expect(fold('Error: x\n    at f (a.js:1:2)\n    at g (b.js:3:4)')).toMatchObject({ head: 'Error: x', restLines: 2, isStack: true });
    expect(fold('Traceback (most recent call last):\n  File "a.py", line 3, in f\n    boom()\nValueError: x')).toMatchObject({ isStack: true });
    expect(fold('panic: x\n\ngoroutine 1 [running]:\nmain.f()\n\t/a/b.go:12 +0x1')).toMatchObject({ isStack: true });
    expect(fold('one\ntwo')).toMatchObject({ head: 'one', rest: 'two', isStack: false });
    expect(fold('one line\n')).toMatchObject({ restLines: 0 });
  });
});
