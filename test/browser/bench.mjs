// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Measures the live page: 100,000 lines loaded, 2,000 a second arriving, by the browser's own tracing. Prints figures as a table for
// docs/benchmarks.md, asserts none.
//
//   node bench.mjs [--seconds 60] [--lines 100000] [--rate 2000]
//   node bench.mjs --minutes 10          memory only, a line of the table each 30 s

import { cpus, loadavg } from 'node:os';
import { launch, open } from './browser.mjs';
import { argument, sendLogs, start, until } from './stack.mjs';

const seconds = argument('seconds', 60);
const lines = argument('lines', 100_000);
const rate = argument('rate', 2000);
const minutes = argument('minutes', 0);
const PATH = '/live?project=bench&signals=logs';
const OPENINGS = 5;

const stack = await start();
const browser = await launch();
const { page, problems } = await open(browser, stack.base);
const client = await page.context().newCDPSession(page);
await client.send('Performance.enable');
await page.goto(stack.base + PATH);
await page.getByRole('status').filter({ hasText: /^\s*Live$/ }).waitFor();

let n = 0;
const LEVELS = [9, 9, 9, 9, 5, 13, 17];
const batch = (size) => Array.from({ length: size }, () => ({ body: `request ${++n} GET /products/${n % 977} answered in ${n % 211}ms \u001b[32mok\u001b[0m with a line of ordinary length`, severity: LEVELS[n % LEVELS.length], attributes: { 'http.route': '/products/:id', run: n % 400 } }));
const send = (size) => sendLogs(stack.otlp, batch(size), { 'project.id': 'bench' });
const received = () => page.locator('.pane-foot').first().textContent();
// Lines of the page, by the height of its canvas.
const held = () => page.evaluate(() => Math.round(document.querySelector('.log-canvas').offsetHeight / 20));

for (let i = 0; i < lines; i += 1000) await send(1000);
await until('the lines are on the page', async () => (await held()) > Math.min(lines, 100_000) * 0.95, 120_000);

/** Opens the page anew, nothing cached: when something is painted, when lines stand there, and what came over the wire. */
async function opening() {
  const o = await open(browser, stack.base);
  await o.page.addInitScript(() => {
    new MutationObserver((_, self) => {
      if (!document.querySelector('.lr')) return;
      self.disconnect();
      requestAnimationFrame(() => (globalThis.lines_ = performance.now()));
    }).observe(document, { childList: true, subtree: true });
  });
  await o.page.goto(stack.base + PATH);
  await o.page.waitForFunction(() => globalThis.lines_);
  const got = await o.page.evaluate(() => ({
    paint: performance.getEntriesByType('paint').find((e) => e.name === 'first-contentful-paint')?.startTime ?? NaN,
    lines: globalThis.lines_,
    bytes: performance.getEntriesByType('resource').reduce((sum, e) => sum + e.transferSize, performance.getEntriesByType('navigation')[0].transferSize),
  }));
  await o.context.close();
  return got;
}

let running = true;
const sender = () => (async () => {
  const began = Date.now();
  for (let sent = 0; running; sent += rate / 20) {
    await send(rate / 20);
    const wait = began + ((sent + rate / 20) / rate) * 1000 - Date.now();
    if (wait > 0) await new Promise((r) => setTimeout(r, wait));
  }
})();

async function heap() {
  await client.send('HeapProfiler.collectGarbage');
  const { metrics } = await client.send('Performance.getMetrics');
  const get = (name) => metrics.find((m) => m.name === name).value;
  return { mib: get('JSHeapUsedSize') / 2 ** 20, nodes: get('Nodes') };
}

// What of a task is whose: the names that the browser's tracing gives.
const PARTS = { script: /^(FunctionCall|EvaluateScript|v8\.|V8\.GC|MinorGC|MajorGC|TimerFire|FireAnimationFrame)/, layout: /^(Layout|UpdateLayoutTree|ScheduleStyle)/, paint: /^(PrePaint|Paint|Layerize|Commit|UpdateLayer)/ };

/** Frames as the page sees them, tasks as the browser traces them. */
async function phase(name, during) {
  await page.evaluate(() => {
    globalThis.frames_ = [];
    const tick = (t) => {
      globalThis.frames_.push(t);
      globalThis.frame_ = requestAnimationFrame(tick);
    };
    globalThis.frame_ = requestAnimationFrame(tick);
  });
  await browser.startTracing(page, { categories: ['toplevel', 'devtools.timeline', 'disabled-by-default-devtools.timeline'] });
  const began = Date.now();
  await during(() => (Date.now() - began) / 1000 < seconds);
  const trace = JSON.parse((await browser.stopTracing()).toString()).traceEvents;
  const frames = await page.evaluate(() => (cancelAnimationFrame(globalThis.frame_), globalThis.frames_));
  const gaps = frames.slice(1).map((t, i) => t - frames[i]).sort((a, b) => a - b);
  const took = frames.at(-1) - frames[0];
  // The thread of this page: there may be other renderers. dur is wall time, with what other processes took meanwhile; tdur is its own.
  const main = trace.find((e) => e.name === 'FireAnimationFrame') ?? {};
  const mine = (e) => e.ph === 'X' && e.pid === main.pid && e.tid === main.tid;
  const tasks = trace.filter((e) => e.name === 'RunTask' && mine(e)).map((e) => ({ wall: (e.dur ?? 0) / 1000, own: (e.tdur ?? 0) / 1000 }));
  const percent = (events, f) => (events.reduce((sum, e) => sum + f(e), 0) / took) * 100;
  const own = (e) => (e.tdur ?? 0) / 1000;
  const raster = trace.filter((e) => e.ph === 'X' && e.pid === main.pid && e.name === 'RasterTask');
  const long = (f) => `${tasks.filter((t) => f(t) > 100).length} (${Math.max(0, ...tasks.map(f)).toFixed(0)} ms)`;
  return {
    name,
    'frames a second': ((frames.length - 1) / took * 1000).toFixed(1),
    'frame p50 / p99 / longest, ms': [gaps[gaps.length >> 1], gaps[Math.floor(gaps.length * 0.99)], gaps.at(-1)].map((v) => v.toFixed(0)).join(' / '),
    'main thread, % of a core': percent(tasks, (t) => t.own).toFixed(1),
    'of it script / layout / paint': Object.values(PARTS).map((re) => percent(outermost(trace.filter((e) => mine(e) && re.test(e.name))), own).toFixed(1)).join(' / '),
    'raster threads, % of a core': percent(raster, own).toFixed(1),
    'tasks above 100 ms of the clock (longest)': long((t) => t.wall),
    'tasks above 100 ms of their own time (longest)': long((t) => t.own),
    'load of the machine': `${loadavg()[0].toFixed(1)} on ${cpus().length} cores`,
  };
}

// Events nest: what lies within another of its kind is counted with that.
function outermost(events) {
  let end = -1;
  return events.sort((a, b) => a.ts - b.ts).filter((e) => e.ts >= end && ((end = e.ts + (e.dur ?? 0)), true));
}

const row = (...cells) => console.log(`| ${cells.join(' | ')} |`);

if (minutes > 0) {
  const sending = sender();
  row('minute', 'lines that came', 'lines held', 'JS heap, MiB', 'DOM nodes');
  row('---', '---', '---', '---', '---');
  for (let i = 0; i <= minutes * 2; i++) {
    const h = await heap();
    row(i / 2, n, await held(), h.mib.toFixed(1), h.nodes);
    if (i < minutes * 2) await page.waitForTimeout(30_000);
  }
  running = false;
  await sending;
} else {
  const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
  const opened = [];
  for (let i = 0; i < OPENINGS; i++) opened.push(await opening());
  const before = await heap();
  const sending = sender();
  const phases = [];
  phases.push(await phase('following', (go) => (async () => { while (go()) await page.waitForTimeout(250); })()));
  await page.locator('.log').hover();
  phases.push(await phase('scrolling', (go) => (async () => { for (let i = 0; go(); i++) { await page.mouse.wheel(0, i % 60 < 30 ? -400 : 400); await page.waitForTimeout(16); } })()));
  const after = await heap();
  console.log(`\n${lines} lines loaded, ${rate} a second arriving, ${seconds} s each; ${await received()}\n`);
  row('', ...phases.map((p) => p.name));
  row('---', ...phases.map(() => '---'));
  for (const key of Object.keys(phases[0])) if (key !== 'name') row(key, ...phases.map((p) => p[key]));
  console.log();
  row(`opening the page, median of ${OPENINGS}`, '');
  row('---', '---');
  row('first contentful paint', `${median(opened.map((o) => o.paint)).toFixed(0)} ms`);
  row('first lines', `${median(opened.map((o) => o.lines)).toFixed(0)} ms`);
  row('over the wire', `${(opened[0].bytes / 1024).toFixed(0)} KiB`);
  row('JS heap before and after', `${before.mib.toFixed(0)} → ${after.mib.toFixed(0)} MiB, ${before.nodes} → ${after.nodes} nodes`);
  running = false;
  await sending;
}
if (problems.length > 0) console.log(problems);
await browser.close();
await stack.stop();
