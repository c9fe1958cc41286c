// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Measures how fresh the console is: a child prints a line → it stands in the page of a browser, → REST finds it in ClickHouse. At rest and
// with other children and spans beside it. Prints figures as a table for docs/benchmarks.md, asserts none.
//
//   node fresh.mjs [--seconds 60] [--lines 2000] [--spans 200]

import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { launch, open } from './browser.mjs';
import { argument, ROOT, sendSpans, start, until } from './stack.mjs';

const seconds = argument('seconds', 60);
const lines = argument('lines', 2000);
const spans = argument('spans', 200);
const PROBE = 20; // lines a second that are looked at
const POLL = 50; // ms between two questions to REST

/** config/local.yaml with other children. */
async function configured(dir, busy) {
  const local = await readFile(join(ROOT, 'config/local.yaml'), 'utf8');
  const server = (id, rate) => `      - {id: ${id}, project: fresh, command: [node, ${join(ROOT, 'test/browser/printer.mjs')}, "${rate}"]}\n`;
  const servers = server('probe', PROBE) + (busy ? server('busy-1', lines / 2) + server('busy-2', lines / 2) : '');
  const config = join(dir, 'fresh.yaml');
  await writeFile(config, local.replace(/( {4}servers:\n)[^]*?(?=\nreceivers:)/, `$1${servers}`));
  return config;
}

const quantile = (list, q) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * q))];

async function measure(name, busy) {
  const dir = await mkdtemp(join(tmpdir(), 'tailrace-fresh-'));
  const stack = await start({ config: await configured(dir, busy) });
  const browser = await launch();
  try {
    const { page } = await open(browser, stack.base);
    await page.goto(`${stack.base}/live?project=fresh&server=probe&signals=logs`);
    await page.locator('.lr.k-log').first().waitFor();
    const newest = async () => (await stack.get('/logs?project=fresh&server=probe&start=-30s&limit=100')).data;
    await until('lines are in the store', async () => (await newest()).length > 0);

    let sending = busy;
    const sent = (async () => {
      while (sending) {
        const traceId = randomBytes(16).toString('hex');
        await sendSpans(stack.otlp, Array.from({ length: spans / 10 }, () => ({ traceId, spanId: randomBytes(8).toString('hex'), name: 'chat', attributes: { 'gen_ai.operation.name': 'chat', 'gen_ai.input.messages': 'x'.repeat(600) } })), { 'project.id': 'fresh' });
        await new Promise((r) => setTimeout(r, 100));
      }
    })();

    // Rows are drawn in an animation frame; what is noted here is in the frame that is painted next.
    await page.evaluate(() => {
      globalThis.fresh_ = [];
      const since = performance.timeOrigin + performance.now();
      new MutationObserver((all) => {
        const now = performance.timeOrigin + performance.now();
        for (const { addedNodes } of all) for (const e of addedNodes) {
          const at = Number(/@(\d+\.\d+) #/.exec(e.textContent)?.[1] ?? 0);
          if (at > since) globalThis.fresh_.push(now - at);
        }
      }).observe(document.querySelector('.log-frame'), { childList: true });
    });
    const seen = new Map();
    const began = performance.timeOrigin + performance.now();
    for (let now = began; now < began + seconds * 1000; await new Promise((r) => setTimeout(r, POLL))) {
      const found = await newest();
      now = performance.timeOrigin + performance.now();
      for (const r of found) {
        const [, at, n] = /@(\d+\.\d+) #(\d+)/.exec(r.body) ?? [];
        if (at > began && !seen.has(n)) seen.set(n, now - at);
      }
    }
    const inPage = await page.evaluate(() => globalThis.fresh_);
    const load = loadavg()[0].toFixed(1);
    sending = false;
    await sent;
    const cells = (list) => `${list.length} lines | ${quantile(list, 0.5).toFixed(0)} | ${quantile(list, 0.99).toFixed(0)} | ${Math.max(...list).toFixed(0)}`;
    console.log(`| ${name} | in the page | ${cells(inPage)} | ${load} |`);
    console.log(`| ${name} | found by REST, asked every ${POLL} ms | ${cells([...seen.values()])} | ${load} |`);
  } finally {
    await browser.close();
    await stack.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

console.log(`\n| a child prints ${PROBE} lines/s | until | measured | p50, ms | p99, ms | longest, ms | load of ${cpus().length} cores |\n|---|---|---|---|---|---|---|`);
await measure('nothing else', false);
await measure(`beside ${lines} lines/s of two others and ${spans} spans/s`, true);
