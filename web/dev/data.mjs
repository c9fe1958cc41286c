// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Seeded telemetry for work on the UI without a collector: the same seed gives the same servers, runs, lines and failures.

export function random(seed) {
  let a = seed >>> 0;
  const next = () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    next,
    int: (lo, hi) => lo + Math.floor(next() * (hi - lo + 1)),
    pick: (list) => list[Math.floor(next() * list.length)],
    chance: (p) => next() < p,
    hex: (n) => Array.from({ length: n }, () => Math.floor(next() * 16).toString(16)).join(''),
  };
}

export const SERVERS = [
  { id: 'shop-agent-1', project: 'shop', deployment: 'shop-agent', service: 'shop-agent' },
  { id: 'shop-agent-2', project: 'shop', deployment: 'shop-agent', service: 'shop-agent' },
  { id: 'web-1', project: 'shop', deployment: 'shop-web', service: 'storefront' },
  { id: 'support-agent-1', project: 'support', deployment: 'support-agent', service: 'support-agent' },
];

const QUESTIONS = ['Where is order 4711?', 'Which of our customers came back last month?', 'Cancel the subscription of Ada, please', 'Summarise the three latest tickets about billing'];
const TOOLS = {
  search_orders: { query: 'order 4711' },
  lookup_customer: { id: 'cus_88', fields: ['name', 'plan'] },
  read_tickets: { topic: 'billing', limit: 3 },
};
const STACK = `TypeError: Cannot read properties of undefined (reading 'total')
    at sum (/srv/shop/orders.mjs:88:21)
    at Array.map (<anonymous>)
    at checkout (/srv/shop/checkout.mjs:31:14)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)
    at async Router.handle (/srv/shop/node_modules/router/index.js:120:7)`;

const iso = (ms) => new Date(ms).toISOString();
let uid = 0;

export function logRecord(r, server, ms, extra = {}) {
  const kind = r.next();
  const base = { signal: 'log', project: server.project, deployment: server.deployment, server: server.id, service: server.service, time: iso(ms), uid: `u${++uid}`, attributes: { 'log.iostream': 'stdout' }, ...extra };
  const run = r.int(1, 400);
  if (kind < 0.02) return { ...base, severity: 'error', severityNumber: 17, body: STACK, attributes: { 'log.iostream': 'stderr', 'exception.type': 'TypeError' } };
  if (kind < 0.06) return { ...base, severity: 'warn', severityNumber: 13, body: `run ${run} tool search_orders failed: did not answer in time (simulated)`, attributes: { 'log.iostream': 'stderr', run, tool: 'search_orders' } };
  if (kind < 0.16) return { ...base, severity: 'debug', severityNumber: 5, body: 'model answered', attributes: { model: r.pick(['sim-large-1', 'sim-small-1']), finish_reason: r.pick(['stop', 'tool_calls']), tokens: r.int(20, 900) } };
  if (kind < 0.22) return { ...base, severity: 'info', severityNumber: 9, body: { event: 'order.placed', order: { id: r.int(1000, 9999), items: [{ sku: 'A-1', n: 2 }, { sku: 'B-7', n: 1 }], total: 42.5 }, customer: 'ada', paid: true, note: null } };
  if (kind < 0.3) return { ...base, severity: 'info', severityNumber: 9, body: `\u001b[32m✔\u001b[39m \u001b[1mbuilt\u001b[22m in ${r.int(80, 900)}ms \u001b[2m(${r.int(3, 80)} modules)\u001b[22m` };
  if (kind < 0.5) return { ...base, severity: 'info', severityNumber: 9, body: `GET /products/${r.int(1, 500)} ${r.pick([200, 200, 200, 304, 404])} ${r.int(1, 190)}ms`, attributes: { 'http.route': '/products/:id', 'http.response.status_code': 200 } };
  return { ...base, severity: 'info', severityNumber: 9, body: `run ${run} agent ${r.pick(['support', 'analyst', 'researcher'])} ${r.pick(['starts: order status', 'done: 812 tokens in, 96 out', 'tool lookup_customer {"id":"cus_88"}'])}` };
}

/** One agent run as spans, in the form of GET /traces/{id}. */
export function agentTrace(r, server, startMs) {
  const traceId = r.hex(32);
  const spans = [];
  const conversation = `conv_${r.hex(8)}`;
  const agent = r.pick(['support', 'analyst', 'researcher']);
  const model = r.pick(['sim-large-1', 'sim-small-1']);
  const asked = r.pick(QUESTIONS);
  const common = { 'gen_ai.provider.name': 'sim', 'gen_ai.request.model': model, 'gen_ai.conversation.id': conversation };
  const make = (name, parent, from, ms, attributes, more = {}) => {
    const s = { traceId, spanId: r.hex(16), parentSpanId: parent?.spanId ?? null, name, kind: 'internal', status: 'unset', statusMessage: '', service: server.service, project: server.project, deployment: server.deployment, server: server.id, start: iso(from), end: iso(from + ms), durationMs: ms, attributes, events: [], links: [], ...more };
    spans.push(s);
    return s;
  };
  const root = make(`invoke_agent ${agent}`, null, startMs, 0, { 'gen_ai.operation.name': 'invoke_agent', 'gen_ai.agent.name': agent, 'gen_ai.system_instructions': JSON.stringify([{ type: 'text', content: 'You are a helpful agent of a company that does not exist. Use the tools.' }]), ...common });
  const messages = [{ role: 'user', parts: [{ type: 'text', content: asked }] }];
  root.attributes['gen_ai.input.messages'] = JSON.stringify(messages);
  let t = startMs + r.int(1, 6);
  let input = 0;
  let output = 0;
  const steps = r.int(0, 3);
  let failed = false;
  for (let i = 0; i <= steps && !failed; i++) {
    const took = r.int(120, 1400);
    const usage = { in: r.int(120, 2400), out: r.int(20, 420) };
    input += usage.in;
    output += usage.out;
    const last = i === steps;
    const tool = r.pick(Object.keys(TOOLS));
    const call = { type: 'tool_call', id: `call_${r.hex(6)}`, name: tool, arguments: TOOLS[tool] };
    const reply = { role: 'assistant', parts: last ? [{ type: 'text', content: `Order 4711 left our warehouse this morning and should arrive tomorrow. Anything else about “${asked}”?` }] : [call], finish_reason: last ? 'stop' : 'tool_call' };
    const chat = make(`chat ${model}`, root, t, took, { 'gen_ai.operation.name': 'chat', 'gen_ai.request.temperature': 0.7, 'gen_ai.input.messages': JSON.stringify(messages), 'gen_ai.output.messages': JSON.stringify([reply]), 'gen_ai.usage.input_tokens': usage.in, 'gen_ai.usage.output_tokens': usage.out, 'gen_ai.response.finish_reasons': [reply.finish_reason], ...common }, { kind: 'client' });
    chat.events.push({ name: 'gen_ai.first_token', time: iso(t + took * 0.3), attributes: { 'gen_ai.response.id': `resp_${r.hex(6)}` } });
    if (r.chance(0.08)) {
      failed = true;
      Object.assign(chat, { status: 'error', statusMessage: 'too many requests (simulated), try again later' });
      chat.events.push({ name: 'exception', time: iso(t + took), attributes: { 'exception.type': 'RateLimitError', 'exception.message': 'too many requests (simulated), try again later', 'exception.stacktrace': STACK } });
    }
    t += took + r.int(1, 5);
    messages.push(reply);
    if (!last && !failed) {
      const ms = r.int(5, 180);
      const bad = r.chance(0.1);
      make(`execute_tool ${tool}`, root, t, ms, { 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.name': tool, 'gen_ai.tool.type': 'function', 'gen_ai.tool.call.id': call.id, 'gen_ai.tool.call.arguments': JSON.stringify(call.arguments), ...(bad ? {} : { 'gen_ai.tool.call.result': JSON.stringify({ rows: [{ id: 4711, state: 'shipped', eta: '2026-11-26' }], took_ms: ms }) }), 'gen_ai.conversation.id': conversation }, bad ? { status: 'error', statusMessage: `${tool} did not answer in time (simulated)` } : {});
      messages.push({ role: 'tool', parts: [{ type: 'tool_call_response', id: call.id, response: { rows: [{ id: 4711, state: 'shipped' }] } }] });
      t += ms + 2;
    }
  }
  root.durationMs = t - startMs + 3;
  root.end = iso(startMs + root.durationMs);
  if (failed) Object.assign(root, { status: 'error', statusMessage: 'too many requests (simulated), try again later' });
  else root.attributes['gen_ai.output.messages'] = JSON.stringify([messages.at(-1)]);
  root.attributes['gen_ai.usage.input_tokens'] = input;
  root.attributes['gen_ai.usage.output_tokens'] = output;
  return { traceId, spans, summary: { traceId, name: root.name, service: server.service, services: [server.service], project: server.project, deployments: [server.deployment], deployment: server.deployment, server: server.id, servers: [server.id], start: root.start, end: root.end, durationMs: root.durationMs, spanCount: spans.length, errors: spans.filter((s) => s.status === 'error').length, errorCount: spans.filter((s) => s.status === 'error').length, inputTokens: input, outputTokens: output, cost: (input * 2.5 + output * 10) / 1e6 } };
}
