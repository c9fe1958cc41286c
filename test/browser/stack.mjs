// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The built product on free ports with a data folder of its own, as `make run` starts it, for the time of a test.

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Ports from below those that outgoing connections get, all of them free at the same time: what is let go is given to others at once. */
async function freePorts(n) {
  const held = [];
  while (held.length < n) {
    const server = createServer();
    const port = 10240 + Math.floor(Math.random() * (32768 - 10240));
    const free = await new Promise((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (free) held.push({ server, port });
  }
  await Promise.all(held.map(({ server }) => new Promise((resolve) => server.close(resolve))));
  return held.map(({ port }) => port);
}

/** The number behind `--name` on the command line. */
export const argument = (name, fallback) => {
  const i = process.argv.indexOf(`--${name}`);
  return i < 0 ? fallback : Number(process.argv[i + 1]);
};

/** Asks again until `f` gives something true; its last error is told when the time is over. */
export async function until(what, f, ms = 30_000) {
  const end = Date.now() + ms;
  let last;
  for (;;) {
    try {
      const v = await f();
      if (v) return v;
      last = undefined;
    } catch (e) {
      last = e;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms${last ? `: ${last.message}` : ''}`);
    await new Promise((r) => setTimeout(r, 100));
  }
}

/** Starts everything. `config` is relative to the repository; `prepare` may put files into the data folder before the first start. */
export async function start({ config = process.env.TAILRACE_BROWSER_CONFIG ?? 'config/local.yaml', prepare } = {}) {
  const data = await mkdtemp(join(tmpdir(), 'tailrace-browser-'));
  await prepare?.(data);
  const [grpc, http, ui, tcp, ch, health, metrics] = await freePorts(7);
  const env = {
    ...process.env,
    TAILRACE_DATA: data,
    TAILRACE_HTPASSWD: join(data, 'htpasswd'),
    TAILRACE_RULES: join(data, 'rules.yaml'),
    TAILRACE_OTLP_GRPC: `localhost:${grpc}`,
    TAILRACE_OTLP_HTTP: `localhost:${http}`,
    TAILRACE_CONSOLE: `localhost:${ui}`,
    TAILRACE_CLICKHOUSE_TCP: String(tcp),
    TAILRACE_CLICKHOUSE_HTTP: String(ch),
    TAILRACE_HEALTH: `localhost:${health}`,
    TAILRACE_METRICS_PORT: String(metrics),
  };
  const stack = { base: `http://localhost:${ui}`, otlp: `http://localhost:${http}`, data };
  let child;
  let output = '';

  stack.up = async () => {
    child = spawn(join(ROOT, '_build', 'tailrace-up'), ['--config', config], { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const took = (c) => (output = (output + c).slice(-20_000));
    child.stdout.on('data', took);
    child.stderr.on('data', took);
    await until('the console answers', async () => {
      if (child.exitCode !== null) throw new Error(`tailrace-up ended: ${output}`);
      const { ok, status } = await fetch(`${stack.base}/api/v1/projects`);
      return ok || status === 401;
    }, 90_000);
  };
  stack.down = async () => {
    if (!child || child.exitCode !== null) return;
    const gone = new Promise((r) => child.once('exit', r));
    child.kill('SIGINT');
    await gone;
  };
  stack.stop = async () => {
    await stack.down();
    await rm(data, { recursive: true, force: true });
  };
  stack.log = async () => (await readFile(join(data, 'tailrace.log'), 'utf8')).slice(-4000);
  /** Asks the REST interface; `token` where the configuration wants one. */
  stack.get = async (path, token) => (await fetch(`${stack.base}/api/v1${path}`, { headers: token ? { Authorization: `Bearer ${token}` } : {} })).json();
  try {
    await stack.up();
  } catch (e) {
    await stack.stop();
    throw e;
  }
  return stack;
}

const value = (v) => (typeof v === 'number' ? { intValue: String(v) } : { stringValue: v });
export const attributes = (o) => Object.entries(o).map(([key, v]) => ({ key, value: value(v) }));

async function post(otlp, path, body) {
  const r = await fetch(`${otlp}${path}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  if (!r.ok) throw new Error(`${path}: ${r.status} ${await r.text()}`);
}

const resource = (r) => ({ attributes: attributes({ 'project.id': 'browser', 'server.id': 'browser-1', 'service.name': 'browser-test', ...r }) });

/** Sends log records: {body, severity?, attributes?, traceId?, spanId?}. */
export const sendLogs = (otlp, records, r = {}) =>
  post(otlp, '/v1/logs', {
    resourceLogs: [{ resource: resource(r), scopeLogs: [{ scope: { name: 'test' }, logRecords: records.map((x) => ({ timeUnixNano: String(BigInt(x.ms ?? Date.now()) * 1000000n), severityNumber: x.severity ?? 9, body: { stringValue: x.body }, attributes: attributes(x.attributes ?? {}), traceId: x.traceId, spanId: x.spanId })) }] }],
  });

/** Sends spans: {traceId, spanId, parentSpanId?, name, ms?, attributes?, status?}. */
export const sendSpans = (otlp, spans, r = {}) =>
  post(otlp, '/v1/traces', {
    resourceSpans: [{ resource: resource(r), scopeSpans: [{ scope: { name: 'test' }, spans: spans.map((s) => ({ traceId: s.traceId, spanId: s.spanId, parentSpanId: s.parentSpanId ?? '', name: s.name, kind: 1, startTimeUnixNano: String(BigInt(s.start ?? Date.now() - 50) * 1000000n), endTimeUnixNano: String(BigInt(s.end ?? Date.now()) * 1000000n), attributes: attributes(s.attributes ?? {}), status: s.status ?? {}, events: s.events ?? [], links: s.links ?? [] })) }] }],
  });
