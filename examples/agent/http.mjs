// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The app's own HTTP server: GET /health and POST /ask. It listens on loopback only.

import { createServer } from 'node:http';
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { log } from './output.mjs';

const MAX_BODY_BYTES = 64 * 1024;

/**
 * @param {number} port
 * @param {import('./agent.mjs').AgentApp} app
 * @returns {Promise<import('node:http').Server>} listening; rejects when the port is taken
 */
export function serve(port, app) {
  const server = createServer((request, response) => {
    handle(request, response, app).catch((error) => {
      log('error', 'request failed', { err: error.message });
      if (!response.headersSent) reply(response, 500, { error: 'internal error' });
    });
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

async function handle(request, response, app) {
  const route = `${request.method} ${request.url.split('?', 1)[0]}`;
  if (route === 'GET /health') return reply(response, 200, { status: 'ok', uptime: process.uptime(), active: app.active });
  if (route !== 'POST /ask') return reply(response, 404, { error: 'there are GET /health and POST /ask' });

  // A caller that is traced itself becomes the parent.
  const parent = propagation.extract(context.active(), request.headers);
  const tracer = trace.getTracer('example-agent', '0.1.0');
  const attributes = { 'http.request.method': 'POST', 'http.route': '/ask', 'url.path': '/ask', 'url.scheme': 'http' };
  await tracer.startActiveSpan('POST /ask', { kind: SpanKind.SERVER, attributes }, parent, async (span) => {
    const [status, answer] = await ask(request, app);
    span.setAttribute('http.response.status_code', status);
    if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
    reply(response, status, answer);
  });
}

async function ask(request, app) {
  let body = '';
  request.setEncoding('utf8');
  for await (const chunk of request) {
    body += chunk;
    if (body.length > MAX_BODY_BYTES) return [413, { error: 'the question is too long' }];
  }
  let question;
  try {
    ({ question } = JSON.parse(body));
  } catch {
    // answered below
  }
  if (typeof question !== 'string' || question === '') return [400, { error: 'send {"question": "…"}' }];
  const result = await app.run(question);
  return [result.error ? 502 : 200, result];
}

function reply(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(body)}\n`);
}
