// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Starts the example: reads the environment, begins AGENT_RATE agent runs a second, and ends in order on SIGTERM.

import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentApp } from './agent.mjs';
import { serve } from './http.mjs';
import { complain, print, printed } from './output.mjs';
import { startTelemetry } from './telemetry.mjs';

const APP = { name: 'example-agent', version: '0.1.0' };
// More runs than this at a time are put off, so that a high rate can't eat the memory.
const MAX_ACTIVE = 200;
const FLUSH_TIMEOUT_MS = 2000;

function numberFromEnv(name, fallback, min, max) {
  const text = process.env[name];
  if (text === undefined || text === '') return fallback;
  const value = Number(text);
  if (Number.isFinite(value) && value >= min && value <= max) return value;
  console.error(`${name}: "${text}" is not allowed: a number from ${min} to ${max}`);
  process.exit(2);
}

const rate = numberFromEnv('AGENT_RATE', 1, 0, 1000);
const seed = numberFromEnv('AGENT_SEED', Math.floor(Math.random() * 2 ** 31), 0, 2 ** 31);
const port = numberFromEnv('PORT', 0, 1, 65535);

const telemetry = startTelemetry(APP, complain);

// The simulated model and tools take their time, but not when the app is about to stop: then the runs that are going on
// finish at once, and their traces are whole.
const hurry = new AbortController();
setMaxListeners(0, hurry.signal);
const pause = (millis) => sleep(millis, undefined, { signal: hurry.signal }).catch(() => {});
const app = new AgentApp(seed, pause);

let server;
let ticker;
let stopping = false;

async function stop(reason) {
  if (stopping) return;
  stopping = true;
  clearInterval(ticker);
  print(`${reason}: stopping, ${app.active} runs are going on`);
  server?.close();
  hurry.abort();
  for (let i = 0; i < 50 && app.active > 0; i++) await sleep(10);
  const delivered = await telemetry.shutdown(FLUSH_TIMEOUT_MS);
  if (!delivered) complain('last telemetry could not be delivered');
  const lines = printed();
  complain(`last words on stderr after ${app.runs} runs, ${lines.stderr} lines before this one`);
  print(`last words on stdout after ${app.runs} runs, ${lines.stdout} lines before this one`);
  process.exit(0);
}

process.on('SIGTERM', () => stop('SIGTERM'));
process.on('SIGINT', () => stop('SIGINT'));
// Nobody reads the output any more: whoever started this is gone, and so it ends too.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => stop('output closed'));

if (port > 0) {
  try {
    server = await serve(port, app);
  } catch (error) {
    console.error(`PORT: can't listen on 127.0.0.1:${port}: ${error.message}`);
    process.exit(1);
  }
}

if (rate > 0) {
  // One timer, at most 20 times a second: at higher rates a tick starts several runs.
  const interval = Math.max(1000 / rate, 50);
  let due = 0;
  ticker = setInterval(() => {
    due = Math.min(due + (interval / 1000) * rate, MAX_ACTIVE);
    for (; due >= 0.999 && app.active < MAX_ACTIVE; due--) app.run();
  }, interval);
}

print(`example agent started: pid ${process.pid}, ${rate} runs a second, seed ${seed}${port > 0 ? `, http://127.0.0.1:${port}` : ''}`);
complain('this is stderr of the example agent');
