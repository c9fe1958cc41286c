// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The live page against the built product: follow and pause, selection, filter, find, context, history, hostile data, restarts.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { readFile } from 'node:fs/promises';
import { launch, open } from '../browser.mjs';
import { sendLogs, sendSpans, start, until } from '../stack.mjs';
import { HOSTILE } from '../hostile.mjs';

describe('live', () => {
  let stack;
  let browser;
  before(async () => {
    stack = await start();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await stack?.stop();
  });

  async function live(path, options) {
    const o = await open(browser, stack.base, options);
    await o.page.goto(`${stack.base}${path}`);
    await o.page.getByRole('status').filter({ hasText: /^\s*Live$/ }).waitFor();
    return o;
  }
  const numbered = (from, n, more = {}) => Array.from({ length: n }, (_, i) => ({ body: `line ${from + i} of the test`, ...more }));
  const newest = (page) => page.locator('.lr.k-log .lb').last().textContent();

  /** What a choice of the download menu gives. */
  async function saved(page, choice) {
    await page.getByRole('button', { name: 'Download', exact: true }).click();
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('menuitem', { name: choice }).click()]);
    return readFile(await download.path(), 'utf8');
  }

  it('follows, pauses without losing the place, and goes back to the newest', async () => {
    const { page, context } = await live('/live?project=follow&signals=logs');
    await sendLogs(stack.otlp, numbered(0, 300), { 'project.id': 'follow' });
    await page.locator('.lr', { hasText: 'line 299 ' }).waitFor();
    await page.locator('.log').hover();
    await page.mouse.wheel(0, -2000);
    await page.getByRole('button', { name: 'Paused' }).waitFor();
    const place = () => page.evaluate(() => {
      const log = document.querySelector('.log').getBoundingClientRect();
      const row = [...document.querySelectorAll('.lr')].find((r) => r.getBoundingClientRect().top >= log.top);
      return `${row.querySelector('.lb').textContent} ${Math.round(row.getBoundingClientRect().top)}`;
    });
    const before = await place();
    await sendLogs(stack.otlp, numbered(300, 200), { 'project.id': 'follow' });
    await page.getByRole('button', { name: '200 new' }).waitFor();
    assert.equal(await place(), before, 'the place');
    await page.getByRole('button', { name: '200 new' }).click();
    await page.locator('.lr', { hasText: 'line 499 ' }).waitFor();
    await page.getByRole('button', { name: 'Following' }).waitFor();
    await context.close();
  });

  it('keeps a text selection while lines are appended', async () => {
    const { page, context } = await live('/live?project=select&signals=logs');
    await sendLogs(stack.otlp, numbered(0, 100), { 'project.id': 'select' });
    await page.locator('.lr', { hasText: 'line 95 ' }).locator('.lb').waitFor();
    await page.evaluate(() => {
      const row = [...document.querySelectorAll('.lr .lb')].find((e) => e.textContent.startsWith('line 95 '));
      const range = document.createRange();
      range.selectNodeContents(row);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
    });
    await page.getByRole('button', { name: 'Paused' }).waitFor();
    await sendLogs(stack.otlp, numbered(100, 400), { 'project.id': 'select' });
    await page.getByRole('button', { name: '400 new' }).waitFor();
    assert.match(await page.evaluate(() => getSelection().toString()), /^line 95 of the test/);
    await context.close();
  });

  it('filters on the server, completes, and keeps the state in the URL', async () => {
    const { page, context } = await live('/live?project=filter&signals=logs');
    await sendLogs(stack.otlp, [{ body: 'an apple' }, { body: 'a pear', severity: 17, attributes: { fruit: 'pear' } }], { 'project.id': 'filter' });
    await page.locator('.lr', { hasText: 'a pear' }).waitFor();
    const input = page.getByRole('combobox', { name: 'Filter' });
    await input.fill('lev');
    await page.getByRole('option', { name: /level:/ }).waitFor();
    await input.fill('level:error');
    await input.press('Enter');
    await page.waitForURL(/q=level%3Aerror/);
    await page.locator('.lr', { hasText: 'an apple' }).waitFor({ state: 'detached' });
    await page.locator('.lr', { hasText: 'a pear' }).waitFor(); // the past comes anew, through the filter
    assert.equal(await page.locator('.lr').count(), 1);
    await input.fill('@fruit=pear -apple');
    await input.press('Enter');
    await page.waitForURL(/fruit/);
    await page.locator('.lr', { hasText: 'a pear' }).waitFor();
    await page.goto(page.url());
    await page.locator('.lr', { hasText: 'a pear' }).waitFor();
    assert.equal(await page.locator('.lr').count(), 1);
    await context.close();
  });

  it('hides levels by chips, folds stacks and JSON', async () => {
    const { page, context } = await live('/live?project=fold&signals=logs');
    await sendLogs(stack.otlp, [{ body: 'Error: boom\n    at f (/a.js:1:2)\n    at g (/node_modules/b.js:3:4)', severity: 17 }, { body: '{"order":{"id":7,"items":[1,2]},"ok":true}' }, { body: 'plain', severity: 13 }], { 'project.id': 'fold' });
    const stackRow = page.locator('.lr', { hasText: 'Error: boom' });
    await stackRow.getByText('+2 frames').waitFor();
    await stackRow.locator('.fold').click();
    await stackRow.locator('.frame.library', { hasText: 'node_modules' }).waitFor();
    const json = page.locator('.lr', { hasText: 'order' });
    await json.locator('.fold').click();
    await json.locator('.j-key', { hasText: 'items' }).waitFor();
    await page.getByRole('button', { name: /^warn/ }).click();
    await page.locator('.lr', { hasText: 'plain' }).waitFor({ state: 'detached' });
    await page.waitForURL(/hide=warn/);
    await context.close();
  });

  it('finds in what is loaded, also in what is not drawn', async () => {
    const { page, context } = await live('/live?project=find&signals=logs');
    await sendLogs(stack.otlp, [...numbered(0, 500), { body: 'a NEEDLE in it' }, ...numbered(500, 900)], { 'project.id': 'find' });
    await page.locator('.lr', { hasText: 'line 1399 ' }).waitFor();
    await page.keyboard.press('Control+f');
    await page.getByRole('textbox', { name: 'Find in the loaded lines' }).fill('needle');
    await page.getByText('1 of 1').waitFor();
    await page.locator('.lr', { hasText: 'NEEDLE' }).waitFor();
    assert.equal(await page.evaluate(() => [...CSS.highlights.get('find-now')].map(String).join()), 'NEEDLE');
    await context.close();
  });

  it('selects lines, copies, downloads, links and shows context', async () => {
    const { page, context } = await live('/live?project=link&signals=logs');
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await sendLogs(stack.otlp, numbered(0, 60), { 'project.id': 'link' });
    await page.locator('.lr', { hasText: 'line 59 ' }).waitFor();
    await page.locator('.lr', { hasText: 'line 55 ' }).locator('.lt').click();
    await page.locator('.lr', { hasText: 'line 57 ' }).locator('.lt').click({ modifiers: ['Shift'] });
    await page.getByRole('toolbar', { name: 'Selected lines' }).getByText('3 lines').waitFor();
    await page.getByRole('button', { name: 'Copy', exact: true }).click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'line 55 of the test\nline 56 of the test\nline 57 of the test');
    await page.getByRole('button', { name: 'Clear the selection' }).click();
    const file = await saved(page, /^As text/);
    assert.equal(file.trim().split('\n').length, 60);
    assert.match(file, /line 7 of the test/);
    const records = (await saved(page, /^As records/)).trim().split('\n').map((l) => JSON.parse(l));
    assert.deepEqual(records.map((r) => [r.signal, r.project, r.body]), Array.from({ length: 60 }, (_, i) => ['log', 'link', `line ${i} of the test`]));
    await until('the store has them', async () => (await stack.get('/logs?project=link&limit=100')).data.length === 60);
    // The store's by the same filter: 1 and 10 to 19.
    await page.goto(`${stack.base}/live?project=link&signals=logs&q=%22line+1%22`);
    await page.locator('.lr', { hasText: 'line 19 ' }).waitFor();
    const stored = (await saved(page, /of the last hour$/)).trim().split('\n').map((l) => JSON.parse(l));
    assert.deepEqual(stored.map((r) => r.body).sort(), [1, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19].map((i) => `line ${i} of the test`).sort());
    assert.ok(stored.every((r) => r.uid && r.project === 'link'));
    await page.goto(`${stack.base}/live?project=link&signals=logs`);
    await page.locator('.lr', { hasText: 'line 59 ' }).waitFor();
    await page.locator('.lr', { hasText: 'line 58 ' }).locator('.lb').click();
    await page.getByRole('link', { name: 'Context' }).click();
    await page.waitForURL(/around=/);
    await page.locator('.lr.cursor', { hasText: 'line 58 ' }).waitFor();
    assert.ok((await page.locator('.lr').count()) > 5, 'its neighbours');
    await context.close();
  });

  it('goes from the ring into the store when scrolled up', async () => {
    const n = 3000; // the page asks the ring for 2,000
    for (let i = 0; i < n; i += 500) await sendLogs(stack.otlp, numbered(i, 500).map((r, k) => ({ ...r, ms: Date.now() - (n - i - k) * 20 })), { 'project.id': 'history' });
    await until('the store has them', async () => (await stack.get('/logs?project=history&text=line%200%20&limit=5')).data.length === 1);
    const { page, context } = await live('/live?project=history&signals=logs');
    await page.locator('.lr', { hasText: 'line 2999 ' }).waitFor();
    await page.locator('.log').focus();
    const found = page.locator('.lr', { hasText: 'line 0 ' });
    const scrolledUp = async () => {
      await page.keyboard.press('Home');
      return (await found.count()) > 0;
    };
    await until('the first line', scrolledUp, 60_000);
    // Nothing twice, nothing missing: the download has every line once.
    const numbers = await downloaded(page);
    assert.equal(new Set(numbers).size, n);
    assert.equal(numbers.length, n);
    await context.close();
  });

  it('runs nothing of what hostile senders send', async () => {
    const traceId = 'ab'.repeat(16);
    const { page, context, problems } = await live('/live?project=hostile&split=1');
    await page.evaluate(() => (globalThis.pwned = []));
    await sendLogs(stack.otlp, HOSTILE.flatMap((h, i) => [{ body: h, traceId, spanId: '11'.repeat(8) }, { body: `\u001b[31m${h}\u001b[0m\u001b]8;;${h}\u001b\\x`, attributes: { [h]: h, [`k${i}`]: h } }, { body: JSON.stringify({ [h]: h }) }, { body: `Error: ${h}\n    at ${h} (${h}:1:2)`, severity: 17 }]), { 'project.id': 'hostile', 'server.id': HOSTILE[0], 'service.name': HOSTILE[1], 'deployment.id': HOSTILE[2] });
    await sendSpans(stack.otlp, HOSTILE.map((h, i) => ({ traceId, spanId: (i + 16).toString(16).padStart(16, '0'), parentSpanId: i === 0 ? '' : '0000000000000010', name: h, attributes: { 'gen_ai.operation.name': 'chat', 'gen_ai.input.messages': JSON.stringify([{ role: 'user', parts: [{ type: 'text', content: h }] }]), 'gen_ai.tool.name': h, 'url.full': h, [h]: h }, status: { code: 2, message: h }, events: [{ name: 'exception', timeUnixNano: String(BigInt(Date.now()) * 1000000n), attributes: [{ key: 'exception.message', value: { stringValue: h } }, { key: 'exception.stacktrace', value: { stringValue: h } }] }], links: [{ traceId, spanId: '22'.repeat(8), attributes: [{ key: 'x', value: { stringValue: h } }] }] })), { 'project.id': 'hostile', 'service.name': HOSTILE[3] });
    const rows = page.getByRole('region', { name: 'Stream', exact: true }).locator('.lr');
    await rows.first().waitFor();
    for (const b of await page.locator('.fold').all()) await b.click({ timeout: 1000 }).catch(() => {});
    await page.locator('.lr.k-log .ll').first().click(); // its body may be unfolded JSON, where a click folds
    await page.getByRole('complementary', { name: 'Record' }).waitFor();
    await page.getByRole('button', { name: 'JSON' }).click();
    await until('the trace is in the store', async () => (await stack.get(`/traces/${traceId}`)).data?.spans?.length === HOSTILE.length);
    for (const path of [`/traces/${traceId}`, `/traces/${traceId}/0000000000000010`, `/traces/${traceId}?view=conversation`, `/traces/${traceId}?view=logs`, `/traces/${traceId}?view=json`, '/traces?project=hostile', '/servers?project=hostile', `/live?q=${encodeURIComponent(HOSTILE[0])}`, `/traces/${encodeURIComponent(HOSTILE[0])}`, `/live?project=${encodeURIComponent(HOSTILE[0])}&server=${encodeURIComponent('javascript:alert(1)')}`]) {
      await page.goto(stack.base + path);
      await page.waitForLoadState('networkidle').catch(() => {});
      await page.waitForTimeout(300);
      for (const e of await page.locator('.wf-row').all()) await e.click({ timeout: 500 }).catch(() => {});
      const bad = await page.evaluate(() => ({
        pwned: globalThis.pwned,
        elements: document.querySelectorAll('#root script, #root iframe, #root img:not([src="/favicon.svg"]), #root object, #root embed, #root base, #root style').length,
        links: [...document.querySelectorAll('a[href]')].map((a) => a.href).filter((h) => !h.startsWith(location.origin)),
        handlers: [...document.querySelectorAll('#root *')].filter((e) => [...e.attributes].some((a) => /^on/i.test(a.name))).length,
      }));
      assert.deepEqual(bad, { pwned: undefined, elements: 0, links: [], handlers: 0 }, path);
    }
    assert.deepEqual(problems, []);
    await context.close();
  });

  it('shows a span in progress, and its end', async () => {
    const traceId = 'cd'.repeat(16);
    const span = { traceId, spanId: 'aa'.repeat(8), name: 'a long job', start: Date.now() };
    const { page, context } = await open(browser, stack.base);
    await page.goto(`${stack.base}/traces/${traceId}`);
    await page.getByText('No span of this trace is here').waitFor();
    await sendSpans(stack.otlp, [{ ...span, end: 0 }], { 'project.id': 'progress' });
    await page.getByText('1 in progress').waitFor();
    const bar = page.locator('.wf-bar.running');
    await bar.waitFor();
    const shown = await page.locator('.wf-duration').textContent();
    await until('it grows', async () => (await page.locator('.wf-duration').textContent()) !== shown);
    await sendSpans(stack.otlp, [span], { 'project.id': 'progress' });
    await bar.waitFor({ state: 'detached' });
    await page.locator('.trace-head .tag.ok').waitFor();
    await context.close();
  });

  // Stands between the page and the server, so that a test can cut the line and keep it cut.
  async function cuttable(path) {
    const o = await open(browser, stack.base);
    let cut = false;
    let current;
    await o.page.routeWebSocket('**/ws', (ws) => {
      if (cut) return void ws.close({ code: 4490, reason: 'cut by the test' });
      ws.connectToServer();
      current = ws;
    });
    await o.page.goto(`${stack.base}${path}`);
    await o.page.getByRole('status').filter({ hasText: /^\s*Live$/ }).waitFor();
    return {
      ...o,
      async cut() {
        cut = true;
        await current.close({ code: 4490, reason: 'cut by the test' });
        await o.page.getByRole('status').filter({ hasText: 'No connection' }).waitFor();
      },
      async mend() {
        cut = false;
        // It may have come back by itself at this very moment.
        await o.page.getByRole('button', { name: 'Try now' }).click({ timeout: 1000 }).catch(() => {});
        await o.page.getByRole('status').filter({ hasText: /^\s*Live$/ }).waitFor();
      },
    };
  }
  async function downloaded(page) {
    return [...(await saved(page, /^As text/)).matchAll(/line (\d+) /g)].map((m) => Number(m[1]));
  }
  const upTo = (n) => Array.from({ length: n }, (_, i) => i);

  it('a lost connection: what was missed comes from the ring, without a gap', async () => {
    const { page, context, cut, mend } = await cuttable('/live?project=lost&signals=logs');
    await sendLogs(stack.otlp, numbered(0, 20), { 'project.id': 'lost' });
    await page.locator('.lr', { hasText: 'line 19 ' }).waitFor();
    await cut();
    await sendLogs(stack.otlp, numbered(20, 30), { 'project.id': 'lost' });
    await mend();
    await page.locator('.lr', { hasText: 'line 49 ' }).waitFor();
    assert.deepEqual(await downloaded(page), upTo(50), 'every line once, in order');
    assert.equal(await page.locator('.lr.gap').count(), 0);
    await context.close();
  });

  it('a restarted collector: the stream goes on, the gap is marked and filled', async () => {
    const { page, context, cut, mend } = await cuttable('/live?project=restart&signals=logs');
    await sendLogs(stack.otlp, numbered(0, 20), { 'project.id': 'restart' });
    await page.locator('.lr', { hasText: 'line 19 ' }).waitFor();
    await cut();
    await sendLogs(stack.otlp, numbered(20, 30), { 'project.id': 'restart' });
    await stack.down();
    await stack.up();
    await mend();
    await page.locator('.lr.gap').waitFor();
    await sendLogs(stack.otlp, numbered(50, 10), { 'project.id': 'restart' });
    await page.locator('.lr', { hasText: 'line 59 ' }).waitFor();
    await page.locator('.lr.gap', { hasText: 'loaded from the store' }).waitFor({ timeout: 60_000 });
    assert.deepEqual(await downloaded(page), upTo(60), 'every line once, in order');
    assert.match(await newest(page), /line 59 /);
    await context.close();
  });

  // Nothing stands between: the page finds the collector again by itself, while others go on sending.
  it('stays open over a restart of the collector and shows each line once, with the gap in its place', async () => {
    const { page, context, problems } = await live('/live?project=stays&signals=logs');
    await sendLogs(stack.otlp, numbered(0, 30), { 'project.id': 'stays' });
    await page.locator('.lr', { hasText: 'line 29 ' }).waitFor();
    await stack.down();
    await page.getByRole('status').filter({ hasText: 'No connection' }).waitFor();
    await stack.up();
    await sendLogs(stack.otlp, numbered(30, 30), { 'project.id': 'stays' });
    await page.getByRole('status').filter({ hasText: /^\s*Live$/ }).waitFor();
    await sendLogs(stack.otlp, numbered(60, 10), { 'project.id': 'stays' });
    await page.locator('.lr', { hasText: 'line 69 ' }).waitFor();
    await page.locator('.lr.gap', { hasText: 'The collector was restarted here' }).waitFor();
    await until('every line once, in order', async () => {
      assert.deepEqual(await downloaded(page), upTo(70));
      return true;
    }, 60_000);
    // Those from before are above the gap.
    const shown = await page.locator('.lr').evaluateAll((rows) => rows.map((r) => (r.classList.contains('gap') ? 'gap' : r.querySelector('.lb').textContent)));
    assert.match(shown[shown.indexOf('gap') - 1], /line 29 /);
    assert.deepEqual(problems, []);
    await context.close();
  });
});
