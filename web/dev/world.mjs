// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// What the mock knows: records that arrive, and the answers of the REST interface over them.

import { agentTrace, logRecord, random, SERVERS } from './data.mjs';

const MAX = 20_000;

export class World {
  constructor({ seed, history, rate }) {
    this.r = random(seed);
    this.rate = rate;
    this.seq = 0;
    this.epoch = `e${Date.now().toString(36)}`;
    this.records = [];
    this.traces = new Map();
    this.listeners = new Set();
    const now = Date.now();
    const reason = (cls, text, more = {}) => ({ line: 1, from: 0, to: 120, class: cls, reason: text, ...more });
    const failed = (project, name, more) => ({ id: 'clickhouse_ingest', file: `logs/${project}/${name}.jsonl`, kind: 'lines', signal: 'logs', type: 'logs', project, segment: name.replace(/\+.*/, ''), bytes: 900, time: new Date(now - 7_200_000).toISOString(), mayPutBack: true, reasonCount: 1, ...more });
    this.failed = [
      failed('shop', '20261125T080000.000Z_a+0', { reasons: [reason('refused', 'code: 469, Constraint `c` is violated', { token: 'ab12-logs-7-0' }), reason('unreadable', 'not one JSON object', { line: 2 })], reasonCount: 2 }),
      failed('shop', '20261125T070000.000Z_b', { kind: 'file', reasons: [reason('file', 'it was loaded already: processed/ holds a file of this name', { line: 0, from: 900 })] }),
      failed('support', '20261125T060000.000Z_c+0', { reasons: [reason('too_long', 'above max_line_bytes')], mayPutBack: false }),
    ];
    for (let i = 0; i < history; i++) {
      const ms = now - (history - i) * 9000;
      const trace = agentTrace(this.r, this.r.pick(SERVERS), ms);
      this.traces.set(trace.traceId, trace);
    }
    for (let i = 0; i < history * 5; i++) this.push(this.line(now - (history * 5 - i) * 700));
    this.archive = Array.from({ length: 3000 }, (_, i) => ({ ...logRecord(this.r, this.r.pick(SERVERS), now - history * 5 * 700 - (i + 1) * 1100), seq: 0 }));
  }

  line(ms) {
    const server = this.r.pick(SERVERS);
    const traced = this.r.chance(0.3) && this.traces.size > 0 ? this.r.pick([...this.traces.values()].slice(-20)) : undefined;
    return logRecord(this.r, server, ms, traced ? { traceId: traced.traceId, spanId: traced.spans[0].spanId } : {});
  }

  push(record) {
    record.seq = ++this.seq;
    this.records.push(record);
    if (this.records.length > MAX) this.records.splice(0, MAX / 10);
    return record;
  }

  start() {
    let last = Date.now();
    let owed = 0;
    this.timer = setInterval(() => {
      const now = Date.now();
      owed += ((now - last) / 1000) * this.rate;
      last = now;
      const batch = [];
      for (; owed >= 1; owed--) {
        if (this.r.chance(0.06)) {
          const t = agentTrace(this.r, this.r.pick(SERVERS), now - 2000);
          this.traces.set(t.traceId, t);
          for (const s of t.spans) batch.push(this.push({ ...s, signal: 'span', time: s.start }));
          if (this.r.chance(0.5)) batch.push(this.push({ signal: 'score', project: t.summary.project, server: t.summary.server, service: t.summary.service, time: new Date(now).toISOString(), name: this.r.pick(['relevance', 'faithfulness']), value: Math.round(this.r.next() * 100) / 100, label: 'pass', traceId: t.traceId, spanId: t.spans[0].spanId, attributes: {}, uid: `s${this.seq}` }));
          if (this.traces.size > 2000) this.traces.delete(this.traces.keys().next().value);
        } else batch.push(this.push(this.line(now)));
      }
      if (batch.length > 0) for (const l of this.listeners) l(batch);
    }, 50);
  }

  stop() {
    clearInterval(this.timer);
  }

  rest(path, q) {
    const limit = Math.min(1000, Number(q.get('limit') ?? 50));
    const data = (list, more = false) => ({ body: { data: list, has_more: more, ...(more ? { next_cursor: 'more' } : {}) } });
    const scoped = (x) => (!q.get('project') || x.project === q.get('project')) && (!q.get('server') || x.server === q.get('server')) && (!q.get('deployment') || x.deployment === q.get('deployment')) && (!q.get('service') || x.service === q.get('service'));
    const [start, end] = [instant(q.get('start'), 0), instant(q.get('end'), Date.now() + 1000)];
    const within = (iso) => Date.parse(iso) >= start && Date.parse(iso) < end;
    const now = Date.now();
    const trace = /^\/traces\/([0-9a-f]{32})$/.exec(path);
    if (trace) {
      const t = this.traces.get(trace[1]);
      return t ? { body: { data: { traceId: t.traceId, complete: true, spans: t.spans } } } : { status: 404, body: { title: 'Trace not found', detail: `no trace ${trace[1]}` } };
    }
    switch (path) {
      case '/projects':
        return data(['shop', 'support'].map((id) => ({ id, lastSeen: new Date(now).toISOString(), logs: 9000, spans: 800, errors: 3, logsPerSecond: this.rate / 2, spansPerSecond: 0.7 })));
      case '/deployments':
        return data([...new Set(SERVERS.map((s) => s.deployment))].map((id) => ({ id })));
      case '/servers':
        return data(SERVERS.filter((s) => scoped({ ...s, server: s.id })).map((s, i) => ({ ...s, state: i === 1 ? 'backoff' : 'running', health: i === 1 ? 'unhealthy' : 'healthy', lastSeen: new Date(now - i * 4000).toISOString(), uptimeS: 5400 - i * 1000, cpuPercent: 3 + i * 7, memoryUsageMb: 90 + i * 31, logs: 4000 * (i + 1), spans: i === 2 ? 0 : 900, errors: i * 3, logsPerSecond: this.rate / 4, spansPerSecond: i === 2 ? 0 : 0.3 })));
      case '/traces': {
        let list = [...this.traces.values()].map((t) => t.summary).filter((s) => scoped(s) && within(s.start)).sort((a, b) => (a.start < b.start ? 1 : -1));
        if (q.get('has_error') === 'true') list = list.filter((s) => s.errors > 0);
        if (q.get('min_duration')) list = list.filter((s) => s.durationMs >= parseFloat(q.get('min_duration')));
        if (q.get('name')) list = list.filter((s) => s.name === q.get('name'));
        for (const t of q.getAll('text')) list = list.filter((s) => s.name.includes(t));
        const from = q.get('cursor') ? Number(q.get('cursor')) : 0;
        return { body: { data: list.slice(from, from + limit), has_more: list.length > from + limit, next_cursor: list.length > from + limit ? String(from + limit) : undefined } };
      }
      case '/spans': {
        const list = [...this.traces.values()].flatMap((t) => t.spans).filter((s) => scoped(s) && within(s.start) && (!q.get('trace_id') || s.traceId === q.get('trace_id')));
        return data(list.slice(-limit).reverse());
      }
      case '/builds/web-42/logs':
        return data([{ project: 'shop', build: 'web-42', time: new Date(now - 320_000).toISOString(), severity: 'info', body: '\u001b[32mvite\u001b[39m building for production…', uid: 'bl1', attributes: {} }, { project: 'shop', build: 'web-42', time: new Date(now - 310_000).toISOString(), severity: 'info', eventName: 'build.status', body: 'deploying', uid: 'bl2', attributes: { 'build.status': 'deploying' } }]);
      case '/logs': {
        const all = [...this.archive].reverse().concat(this.records.filter((x) => x.signal === 'log'));
        const form = (x) => ({ ...x, trace_id: x.traceId, span_id: x.spanId, event_name: x.eventName });
        if (q.get('around')) {
          const i = all.findIndex((x) => x.uid === q.get('around'));
          return data(i < 0 ? [] : all.slice(Math.max(0, i - 100), i + 100).map(form));
        }
        const event = q.get('event_name');
        if (event) return data(this.events(event, now).filter(scoped).slice(0, limit));
        const text = q.get('text')?.toLowerCase();
        const list = all.filter((x) => scoped(x) && within(x.time) && (!q.get('trace_id') || x.traceId === q.get('trace_id')) && (q.getAll('level').length === 0 || q.getAll('level').includes(x.severity)) && (!text || JSON.stringify(x.body).toLowerCase().includes(text)));
        return data(list.slice(-limit).reverse().map(form), list.length > limit);
      }
      case '/metrics':
        return data([{ name: 'gen_ai.client.operation.duration', type: 'histogram', unit: 's', description: 'GenAI operation duration', attributes: ['gen_ai.request.model'] }, { name: 'process.memory.usage', type: 'sum', unit: 'By', description: 'Memory of the process tree', attributes: [] }, { name: 'agent.runs', type: 'sum', unit: '{run}', description: 'Finished agent runs', attributes: ['outcome'] }]);
      case '/metrics/series':
        return this.seriesOf(q, start, end, q.get('group_by') ? ['sim-large-1', 'sim-small-1'] : [''], 40);
      case '/scores':
        return data(this.records.filter((x) => x.signal === 'score' && scoped(x)).slice(-limit).reverse().map((x) => ({ ...x, trace_id: x.traceId })));
      case '/scores/series':
        return this.seriesOf(q, start, end, ['relevance', 'faithfulness'], 1);
      case '/stats/traces':
      case '/stats/errors':
      case '/stats/usage':
      case '/stats/logs':
        return this.stats(path, q, start, end);
      case '/builds':
        return data([{ id: 'web-42', project: 'shop', deployment: 'prod', service: 'web', status: 'succeeded', run: 1, started: new Date(now - 360_000).toISOString(), changed: new Date(now - 300_000).toISOString(), durationS: 58.5, message: 'npm run build: succeeded', reason: '' }]);
      case '/pipeline/failed':
        return data(this.failed);
      case '/pipeline':
        return { body: { data: { files: ['spans', 'logs', 'metrics', 'scores'].map((signal, n) => ({ id: 'jsonl', signal, pendingFiles: n === 1 ? 3 : 0, pendingBytes: n === 1 ? 4_200_000 : 0, oldestPendingSeconds: n === 1 ? 4 : 0, failedFiles: n === 1 ? 1 : 0, failedBytes: 900 })), ingest: [{ id: 'clickhouse_ingest', lagSeconds: 0.4, leader: true, error: '' }], liveTail: [{ id: 'live_tail', clients: this.listeners.size, subscriptions: this.listeners.size, delivered: this.seq, dropped: 0 }], clickHouse: { ready: true, error: '' } } } };
      default:
        return undefined;
    }
  }

  events(name, now) {
    const out = [];
    for (const [i, s] of SERVERS.entries()) {
      const base = { project: s.project, deployment: s.deployment, server: s.id, service: s.service, severity: 'info', eventName: name };
      if (name === 'server.health')
        for (let n = 0; n < 90; n++) {
          const status = i === 1 && n < 9 ? 'unhealthy' : 'healthy';
          out.push({ ...base, uid: `h${i}-${n}`, time: new Date(now - n * 5000).toISOString(), body: status, attributes: { 'server.health.status': status, 'server.memory_usage_mb': String(90 + 10 * Math.sin(n / 9) + i * 20), 'server.cpu_percent': String(4 + 3 * Math.sin(n / 4) ** 2 + i) } });
        }
      if (name === 'server.lifecycle')
        for (const [n, [state, text]] of Object.entries([['running', 'running, pid 4711'], ['starting', 'starting: node server.mjs'], ['exited', 'exited with code 1'], ['running', 'running, pid 4606']]).slice(i === 1 ? 0 : 3)) out.push({ ...base, uid: `c${i}-${n}`, time: new Date(now - (Number(n) + 1) * 60_000).toISOString(), body: text, attributes: { 'server.lifecycle.state': state } });
      if (name === 'build.status' && i === 2) for (const [n, st] of ['succeeded', 'deploying', 'building', 'queued'].entries()) out.push({ ...base, uid: `b${n}`, build: 'web-42', time: new Date(now - 300_000 - n * 20_000).toISOString(), body: `npm run build: ${st}`, attributes: { 'build.status': st } });
    }
    return out;
  }

  seriesOf(q, start, end, groups, scale) {
    const step = parseFloat(q.get('step') ?? '60') * 1000;
    const list = groups.map((g, i) => ({ group: g ? { key: g } : {}, points: [] , i }));
    for (let t = Math.ceil(start / step) * step; t < end; t += step) for (const s of list) s.points.push([new Date(t).toISOString(), scale * (0.5 + 0.3 * Math.sin(t / 600_000 + s.i) + 0.1 * Math.sin(t / 77_000))]);
    return { body: { data: list.map(({ i, ...s }) => s) } };
  }

  stats(path, q, start, end) {
    const step = parseFloat(q.get('step') ?? '60') * 1000;
    const rows = [];
    const by = q.get('group_by');
    for (let t = Math.floor(start / step) * step; t < end; t += step) {
      const time = new Date(t).toISOString();
      const list = [...this.traces.values()].map((x) => x.summary).filter((s) => Date.parse(s.start) >= t && Date.parse(s.start) < t + step);
      if (path === '/stats/traces') rows.push({ time, traces: list.length, spans: list.length * 5, errors: list.reduce((n, s) => n + s.errors, 0) });
      if (path === '/stats/errors') rows.push({ time, rate: list.length ? list.filter((s) => s.errors > 0).length / list.length : 0 });
      if (path === '/stats/logs') for (const level of ['info', 'warn', 'error']) rows.push({ time, level, count: Math.round({ info: 300, warn: 14, error: 5 }[level] * (1 + Math.sin(t / 4e5) / 2)) });
      if (path === '/stats/usage') for (const g of by === 'server' ? SERVERS.map((s) => s.id) : by === 'project' ? ['shop', 'support'] : by === 'tool' ? ['search_orders', 'refund'] : ['sim-large-1', 'sim-small-1']) rows.push({ time, group: { [by ?? 'model']: g }, inputTokens: list.length * 900, outputTokens: list.length * 140, cost: list.length * 0.0031, calls: list.length, ...(by === 'tool' ? { errors: 1, durationMs: list.length * 42 } : {}) });
    }
    const lines = new Map();
    for (const { group = {}, level, ...point } of rows) {
      const key = JSON.stringify(level ? { level } : group);
      lines.set(key, [...(lines.get(key) ?? []), point]);
    }
    return { body: { data: [...lines].map(([group, points]) => ({ group: JSON.parse(group), points })) } };
  }
}

function instant(text, fallback) {
  if (!text) return fallback;
  const m = /^-(\d+)([smhd])$/.exec(text);
  return m ? Date.now() - Number(m[1]) * { s: 1e3, m: 6e4, h: 36e5, d: 864e5 }[m[2]] : Date.parse(text);
}
