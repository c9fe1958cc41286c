// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Screenshots of every page, dark and light, wide and narrow, of the product as `make run` starts it, with what its example sends.
//
//   node shots.mjs [OUT] [page,…|all] [dark,light] [1440,390]       BASE=http://… takes those of a console that runs already

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { launch, open } from './browser.mjs';
import { ROOT, start, until } from './stack.mjs';

// So long the example runs first, for charts to have something in them.
const TRAFFIC_MS = 120_000;
const [out = join(ROOT, 'docs', 'screenshots'), only, themes = 'dark,light', widths = '1440,390'] = process.argv.slice(2);
const stack = process.env.BASE ? undefined : await start();
const base = process.env.BASE ?? stack.base;
if (stack) {
  await until('scores', async () => (await stack.get('/scores?limit=1')).data.length > 0, 120_000);
  await new Promise((r) => setTimeout(r, TRAFFIC_MS));
}
const PAGES = {
  live: '/live',
  'live-split': '/live?split=1',
  servers: '/servers',
  server: async (page) => {
    await page.goto(`${base}/servers`);
    await page.locator('[data-server]').first().click();
  },
  traces: '/traces',
  trace: async (page) => {
    await page.goto(`${base}/traces?q=invoke_agent`);
    await page.locator('[data-trace]').nth(2).click();
    await page.locator('.wf-row').nth(1).click();
  },
  conversation: async (page) => {
    await page.goto(`${base}/traces?q=invoke_agent`);
    await page.locator('[data-trace]').nth(2).click();
    await page.getByRole('button', { name: 'Conversation' }).click();
  },
  compare: async (page) => {
    await page.goto(`${base}/traces?q=invoke_agent`);
    await page.locator('[data-trace]').first().waitFor();
    const ids = await page.locator('[data-trace]').evaluateAll((list) => list.slice(0, 2).map((e) => e.dataset.trace));
    await page.goto(`${base}/traces/compare?a=${ids[0]}&b=${ids[1]}`);
  },
  metrics: '/metrics',
  scores: '/scores',
  'scores-point': async (page) => {
    await page.goto(`${base}/scores`);
    const chart = page.getByRole('slider', { name: /Mean score/ });
    await chart.focus();
    for (const key of ['End', 'ArrowLeft', 'ArrowLeft', 'ArrowLeft', 'ArrowLeft', 'Enter']) await page.keyboard.press(key);
    await page.getByRole('region', { name: 'Behind the point' }).getByRole('row').nth(1).waitFor();
  },
  usage: '/usage',
  pipeline: '/pipeline',
};

await mkdir(out, { recursive: true });
const browser = await launch();
for (const theme of themes.split(','))
  for (const width of widths.split(',').map(Number)) {
    for (const [name, go] of Object.entries(PAGES)) {
      if (only && only !== 'all' && !only.split(',').includes(name)) continue;
      const { page, context, problems } = await open(browser, base, { width, height: width < 500 ? 844 : 900, theme });
      try {
        page.setDefaultTimeout(30_000);
        if (typeof go === 'string') await page.goto(base + go);
        else await go(page);
        await page.locator('.progress').first().waitFor({ state: 'detached' }).catch(() => {});
        await page.waitForTimeout(1500);
      } catch (e) {
        console.log(`${name}: ${String(e.message).split('\n')[0]}`);
      }
      await page.screenshot({ path: join(out, `${name}-${theme}-${width}.png`) });
      if (problems.length > 0) console.log(name, theme, width, problems);
      await context.close();
    }
  }
await browser.close();
await stack?.stop();
