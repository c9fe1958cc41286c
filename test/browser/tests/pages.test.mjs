// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Every page of the console against the built product with its example: what it shows, that nothing is foreign, accessible names and
// contrast.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, describe, it } from 'node:test';
import { launch, open } from '../browser.mjs';
import { start, until } from '../stack.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

describe('pages', () => {
  let stack;
  let browser;
  before(async () => {
    stack = await start();
    browser = await launch();
    // The example makes scores and failures of its own; wait for one of each signal.
    await until('a finished trace with a tool call', async () => (await stack.get('/spans?attribute=gen_ai.operation.name%3Dexecute_tool&limit=1')).data.length > 0, 90_000);
    await until('a score', async () => (await stack.get('/scores?limit=1')).data.length > 0, 90_000);
    await until('metrics', async () => (await stack.get('/metrics')).data.length > 4, 90_000);
  });
  after(async () => {
    await browser?.close();
    await stack?.stop();
  });

  // Opens a path, runs the checks, and lets axe look at it in both themes.
  const visit = (name, path, check) =>
    it(name, async () => {
      for (const theme of ['dark', 'light']) {
        const { page, context, problems } = await open(browser, stack.base, { theme });
        try {
          await page.goto(stack.base + (typeof path === 'string' ? path : await path()));
          await check(page);
          // axe is run from a context that the page's own policy does not bind.
          await page.evaluate(axe);
          const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
          const serious = result.violations.filter((v) => ['serious', 'critical'].includes(v.impact));
          assert.deepEqual(serious.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => `${n.target} ${n.failureSummary}`).join(' | ')}`), [], `${theme}: axe`);
          assert.deepEqual(problems, [], theme);
        } finally {
          await context.close();
        }
      }
    });

  const anyTrace = async () => `/traces/${(await stack.get('/spans?attribute=gen_ai.operation.name%3Dexecute_tool&limit=1')).data[0].traceId}`;

  visit('live', '/live', async (page) => {
    await page.locator('.lr', { hasText: /run \d+ agent/ }).first().waitFor();
    await page.locator('.lr.k-span', { hasText: 'chat sim-' }).first().waitFor();
    await page.getByRole('status').filter({ hasText: 'Live' }).waitFor();
    assert.ok((await page.locator('.ls', { hasText: 'shop-agent-1' }).count()) > 0, 'lines of shop-agent-1');
  });
  visit('live, one record open', '/live?project=shop&signals=logs', async (page) => {
    await page.locator('.lr.k-log', { hasText: /run \d+ agent/ }).locator('.lb').last().click();
    const detail = page.getByRole('complementary', { name: 'Record' });
    await detail.getByText('shop-agent-1', { exact: true }).waitFor();
    await detail.getByText('log.iostream').waitFor();
  });
  visit('live, two streams', '/live?split=1', async (page) => {
    await page.getByRole('region', { name: 'Second stream' }).locator('.lr.k-span').first().waitFor();
  });
  visit('servers', '/servers', async (page) => {
    await page.getByRole('region', { name: 'Project shop' }).getByText('running · healthy').waitFor();
    await page.getByRole('region', { name: 'Project support' }).getByText('support-agent-1').waitFor();
  });
  visit('one server', '/servers?open=shop-agent-1', async (page) => {
    const detail = page.getByRole('complementary', { name: 'Server shop-agent-1' });
    await detail.getByText('Logs, spans and metrics arrive').waitFor();
    await detail.getByRole('img', { name: 'Memory over time' }).waitFor();
    await detail.locator('.timeline').getByText('running').first().waitFor();
  });
  visit('traces', '/traces', async (page) => {
    await page.locator('[data-trace]', { hasText: 'invoke_agent' }).first().waitFor();
    await page.getByRole('figure', { name: /Traces over time/ }).locator('canvas').waitFor();
  });
  visit('a trace: waterfall', anyTrace, async (page) => {
    await page.getByRole('treeitem', { name: /invoke_agent/ }).waitFor();
    await page.getByRole('treeitem', { name: /execute_tool/ }).first().click();
    await page.getByRole('complementary', { name: 'Span' }).getByText('gen_ai.tool.call.arguments').waitFor();
    assert.ok((await page.locator('.wf-critical').count()) > 0, 'a critical path');
  });
  visit('a trace: conversation', async () => `${await anyTrace()}?view=conversation`, async (page) => {
    await page.locator('.chat-entry.user').first().waitFor();
    await page.locator('.chat-entry.tool').first().getByText('Arguments').waitFor();
    await page.locator('.chat-entry.system', { hasText: 'helpful agent' }).waitFor();
  });
  visit('a trace: logs', async () => `${await anyTrace()}?view=logs`, async (page) => {
    await page.locator('.plain-logs li').first().waitFor();
  });
  visit('two traces compared', async () => {
    const list = (await stack.get('/traces?text=invoke_agent&limit=2')).data;
    return `/traces/compare?a=${list[0].traceId}&b=${list[1].traceId}`;
  }, async (page) => {
    await page.locator('.compare-head').nth(1).waitFor();
    await page.locator('table.compare td', { hasText: /chat sim-/ }).first().waitFor();
  });
  visit('metrics', '/metrics?name=gen_ai.client.token.usage&by=gen_ai.token.type&agg=sum', async (page) => {
    await page.getByRole('cell', { name: 'input', exact: true }).waitFor();
    await page.getByRole('cell', { name: 'output', exact: true }).waitFor();
    await page.getByRole('button', { name: /process\.memory\.usage/ }).waitFor();
  });
  visit('scores', '/scores', async (page) => {
    await page.getByRole('region', { name: 'Single scores' }).getByRole('link', { name: /^trace / }).first().waitFor();
  });
  visit('usage', '/usage', async (page) => {
    await page.getByRole('cell', { name: /sim-(large|small)-1/ }).first().waitFor();
    await page.getByRole('region', { name: 'Tools' }).locator('tbody tr').first().waitFor();
  });
  visit('pipeline', '/pipeline', async (page) => {
    const store = page.locator('.station', { hasText: 'ClickHouse' });
    await store.getByText('ready').waitFor();
  });
  visit('what does not exist', '/nowhere', async (page) => {
    await page.getByText('No such page').waitFor();
  });
  visit('an empty selection teaches', '/live?project=nobody', async (page) => {
    await page.getByText('Waiting for the first record').waitFor();
    await page.locator('pre', { hasText: 'project.id' }).first().waitFor();
  });
  visit('a trace that is not there', `/traces/${'0'.repeat(31)}1`, async (page) => {
    await page.getByText('No span of this trace is here').waitFor();
  });
  visit('a filter that is refused says so', '/traces?q=%2F(%2F', async (page) => {
    await page.getByRole('alert').filter({ hasText: /regex/ }).waitFor();
  });

  // What lies behind a point is asked for in the same selection: the other project must not come.
  const behind = (page) => page.getByRole('region', { name: 'Behind the point' });
  async function openLast(page, name) {
    const chart = page.getByRole('slider', { name });
    await until('what a screen reader says', async () => {
      await chart.focus();
      await page.keyboard.press('End');
      return /\d{4}-\d\d-\d\d .*\d/.test(await chart.getAttribute('aria-valuetext'));
    });
    await page.keyboard.press('Enter');
    await behind(page).waitFor();
    assert.match(page.url(), /[?&]at=\d+-\d+/);
  }
  const projectsBehind = async (page) => {
    const servers = await behind(page).locator('tbody tr td:nth-child(2)').allTextContents();
    return [...new Set(servers)];
  };

  it('opens the traces behind a point of the scores, by keys and by a click', async () => {
    const { page, context, problems } = await open(browser, stack.base);
    await page.goto(`${stack.base}/scores?project=shop`);
    await openLast(page, /Mean score over time/);
    const rows = behind(page).getByRole('row').filter({ has: page.getByRole('link', { name: /^trace / }) });
    await rows.first().waitFor();
    const [from, to] = /at=(\d+)-(\d+)/.exec(page.url()).slice(1).map(Number);
    const name = new URL(page.url()).searchParams.get('of');
    const iso = (ms) => new Date(ms).toISOString();
    let wanted; // its bucket may still grow, and so does what is shown
    await until('as many as the store has', async () => {
      wanted = (await stack.get(`/scores?project=shop&name=${name}&start=${iso(from)}&end=${iso(to)}&limit=200`)).data;
      return wanted.length > 0 && (await rows.count()) === wanted.length;
    });
    assert.deepEqual(new Set(await rows.getByRole('link').evaluateAll((l) => l.map((a) => a.getAttribute('href').split('/')[2]))), new Set(wanted.map((s) => s.traceId)));
    await rows.first().getByRole('link').click();
    await page.getByRole('tree', { name: 'Spans' }).waitFor();
    await page.goBack();
    await behind(page).waitFor();
    await page.reload();
    await behind(page).getByRole('button', { name: 'Traces', exact: true }).click();
    await until('traces of shop', async () => (await projectsBehind(page)).join() === 'shop-agent-1');
    await page.keyboard.press('Escape');
    await behind(page).waitFor({ state: 'detached' });
    assert.doesNotMatch(page.url(), /at=/);
    // The same by a click on the last point.
    const plot = page.getByRole('slider', { name: /Mean score over time/ }).locator('.u-over');
    const box = await plot.boundingBox();
    await plot.click({ position: { x: box.width - 4, y: box.height / 2 } });
    await behind(page).waitFor();
    assert.deepEqual(problems, []);
    await context.close();
  });
  // Requests wait, but for the first `pass` of them, until what is returned is called.
  async function held(page, url, pass = 0) {
    let release;
    const released = new Promise((r) => (release = r));
    let asked = 0;
    await page.route(url, async (route) => {
      if (asked++ >= pass) await released;
      await route.continue();
    });
    return release;
  }
  // Since when there is data is known only after the first chart: the next one, which is asked for then, has shorter buckets.
  it('opens a point with the width that it is drawn with', async () => {
    const { page, context } = await open(browser, stack.base);
    const tell = await held(page, '**/api/v1/stats/traces?*');
    const answer = await held(page, '**/api/v1/scores/series?*', 1);
    await page.goto(`${stack.base}/scores?project=shop`);
    await page.getByRole('slider', { name: /Mean score over time/ }).waitFor();
    const asked = page.waitForRequest(/scores\/series\?.*step=(?!3600s)/);
    tell();
    await asked;
    await openLast(page, /Mean score over time/);
    const [from, to] = /at=(\d+)-(\d+)/.exec(page.url()).slice(1).map(Number);
    assert.equal(to - from, 3_600_000);
    await behind(page).getByRole('link', { name: /^trace / }).first().waitFor();
    answer();
    await context.close();
  });
  it('asks for a metric once it knows of which kind it is', async () => {
    const { page, context } = await open(browser, stack.base);
    const asked = [];
    page.on('request', (r) => r.url().includes('/metrics/series?') && asked.push(new URL(r.url()).searchParams.get('aggregate')));
    const tell = await held(page, '**/api/v1/metrics?*');
    await page.goto(`${stack.base}/metrics?project=shop&name=agent.runs`);
    await page.getByText('Looking for metrics').waitFor();
    tell();
    await page.getByRole('slider', { name: /agent\.runs/ }).waitFor();
    assert.deepEqual([...new Set(asked)], ['rate']);
    await context.close();
  });
  it('opens the traces behind points of metrics and usage', async () => {
    const { page, context } = await open(browser, stack.base);
    await page.goto(`${stack.base}/metrics?project=shop&name=agent.runs&by=gen_ai.agent.name&from=-6h`);
    await openLast(page, /agent\.runs/);
    await until('traces of shop', async () => (await projectsBehind(page)).join() === 'shop-agent-1');
    const agent = new URL(page.url()).searchParams.get('of');
    await behind(page).getByRole('link', { name: /on the page of traces/ }).click();
    await page.waitForURL(/\/traces\?/);
    assert.equal(new URL(page.url()).searchParams.get('q'), `@gen_ai.agent.name=${agent}`);
    await page.locator('[data-trace]', { hasText: `invoke_agent ${agent}` }).first().waitFor();

    await page.goto(`${stack.base}/usage?project=shop`);
    await openLast(page, /Tokens over time/);
    await until('traces of shop', async () => (await projectsBehind(page)).join() === 'shop-agent-1');
    await behind(page).getByRole('button', { name: 'Log records' }).click();
    await behind(page).locator('li', { hasText: /run \d+ agent/ }).first().waitFor();
    await context.close();
  });
  it('a bar of the traces narrows the list, a dot opens its trace', async () => {
    const { page, context } = await open(browser, stack.base);
    await page.goto(`${stack.base}/traces?project=shop`);
    await page.locator('[data-trace]').first().waitFor();
    const bars = page.getByRole('slider', { name: /Traces over time/ });
    await bars.focus();
    await page.keyboard.press('End');
    await page.keyboard.press('Enter');
    await page.waitForURL(/from=\d+&to=\d+/);
    await page.locator('[data-trace]').first().waitFor();
    const dots = page.getByRole('slider', { name: /Duration of the traces/ });
    await until('a dot says its trace', async () => {
      await dots.focus();
      await page.keyboard.press('End');
      return /, (invoke_agent \w+|root not here yet) .*s$/.test(await dots.getAttribute('aria-valuetext'));
    });
    await page.keyboard.press('Enter');
    await page.getByRole('tree', { name: 'Spans' }).waitFor();
    await context.close();
  });

  it('goes by the keyboard', async () => {
    const { page, context } = await open(browser, stack.base);
    await page.goto(`${stack.base}/live`);
    await page.locator('.lr').first().waitFor();
    // The two keys belong together for 1.2 s, which a busy machine may not keep.
    await until('the traces', async () => {
      await page.keyboard.press('g');
      await page.keyboard.press('t');
      return page.url().endsWith('/traces');
    });
    await page.locator('[data-trace]').first().waitFor();
    await page.locator('.trace-rows').focus();
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.getByRole('tree', { name: 'Spans' }).waitFor();
    await page.keyboard.press('?');
    await page.getByRole('dialog').getByText('follow the newest line').waitFor();
    await context.close();
  });
});
