// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Sends a known set of spans, log records and metrics through the real OpenTelemetry SDK, and prints what it sent.
// See README.md for the options and the form of the output.

import { parseArgs } from 'node:util';
import { DiagLogLevel, diag } from '@opentelemetry/api';
import { OTLPLogExporter as JSONLogExporter } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPLogExporter as ProtoLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPMetricExporter as JSONMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtoMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter as JSONTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { AggregationType, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { makeInstruments, makeLogs, makeSpans, random, recordMetrics, seededIds } from './data.mjs';
import { describeLog, describeMetrics, describeResource, describeSpan } from './describe.mjs';

const EXPORTERS = {
  'http/json': { traces: JSONTraceExporter, logs: JSONLogExporter, metrics: JSONMetricExporter },
  'http/protobuf': { traces: ProtoTraceExporter, logs: ProtoLogExporter, metrics: ProtoMetricExporter },
};

// Small, so that a run makes several requests; the queue holds what is made between two flushes.
const BATCH = { maxExportBatchSize: 64, maxQueueSize: 2048 };

class UsageError extends Error {}

function options() {
  const { values } = parseArgs({
    options: {
      endpoint: { type: 'string' },
      protocol: { type: 'string', default: 'http/protobuf' },
      compression: { type: 'string', default: 'none' },
      spans: { type: 'string', default: '100' },
      logs: { type: 'string' },
      collections: { type: 'string', default: '2' },
      seed: { type: 'string', default: '1' },
      now: { type: 'string' },
      project: { type: 'string' },
      resource: { type: 'string', multiple: true, default: [] },
      header: { type: 'string', multiple: true, default: [] },
      timeout: { type: 'string', default: '10000' },
    },
  });
  if (!URL.canParse(values.endpoint ?? '')) throw new UsageError('--endpoint: a URL such as http://127.0.0.1:4318 is needed');
  if (!EXPORTERS[values.protocol]) throw new UsageError(`--protocol: ${Object.keys(EXPORTERS).join(' or ')}`);
  if (!['none', 'gzip'].includes(values.compression)) throw new UsageError('--compression: none or gzip');
  const integer = (name, text) => {
    if (!/^\d{1,9}$/.test(text)) throw new UsageError(`--${name}: a whole number is needed, not "${text}"`);
    return Number(text);
  };
  const pairs = (name) => Object.fromEntries(values[name].map((pair) => {
    const at = pair.indexOf('=');
    if (at < 1) throw new UsageError(`--${name}: key=value is needed, not "${pair}"`);
    return [pair.slice(0, at), pair.slice(at + 1)];
  }));
  const millis = values.now === undefined ? Date.now() : Date.parse(values.now);
  if (!Number.isFinite(millis)) throw new UsageError(`--now: a time such as 2026-01-31T12:00:00Z is needed, not "${values.now}"`);
  return {
    endpoint: values.endpoint.replace(/\/+$/, ''),
    protocol: values.protocol,
    compression: values.compression,
    spans: integer('spans', values.spans),
    logs: integer('logs', values.logs ?? values.spans),
    collections: integer('collections', values.collections),
    seed: integer('seed', values.seed),
    now: BigInt(millis) * 1_000_000n,
    resource: { ...(values.project !== undefined && { 'project.id': values.project }), ...pairs('resource') },
    headers: pairs('header'),
    timeoutMillis: integer('timeout', values.timeout),
  };
}

/** Stands between a processor and the real exporter, and notes what passes and what the answer is. */
class Recorder {
  constructor(signal, exporter, describe, errors) {
    Object.assign(this, { signal, exporter, describe, errors, sent: [], requests: 0 });
  }
  export(items, callback) {
    this.sent.push(...this.describe(items));
    this.requests++;
    this.exporter.export(items, (result) => {
      if (result.code !== 0) this.errors.push(`${this.signal}: ${explain(result.error)}`);
      callback(result);
    });
  }
  forceFlush() {
    return this.exporter.forceFlush?.();
  }
  shutdown() {
    return this.exporter.shutdown();
  }
}

function explain(error) {
  if (!error) return 'export failed';
  return [error.code, error.message, error.data].filter(Boolean).join(' ');
}

// The SDK's own error handler writes an error as JSON, with its stack.
function shorten(text) {
  try {
    return explain(JSON.parse(text));
  } catch {
    return text;
  }
}

/** Collects only when told to. */
class ManualReader extends MetricReader {
  async onForceFlush() {}
  async onShutdown() {}
}

async function send(opts) {
  const errors = [];
  // A partial success and an attribute that the SDK refuses are only told of as a warning: here they are failures.
  const complain = (...args) => errors.push(shorten(args.map(String).join(' ')));
  const ignore = () => {};
  diag.setLogger({ error: complain, warn: complain, info: ignore, debug: ignore, verbose: ignore }, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });

  const exporter = (signal) =>
    new EXPORTERS[opts.protocol][signal]({
      url: `${opts.endpoint}/v1/${signal}`,
      headers: opts.headers,
      compression: opts.compression,
      timeoutMillis: opts.timeoutMillis,
    });
  const spans = new Recorder('traces', exporter('traces'), (items) => items.map(describeSpan), errors);
  const logs = new Recorder('logs', exporter('logs'), (items) => items.map(describeLog), errors);
  const points = new Recorder('metrics', exporter('metrics'), describeMetrics, errors);

  const resource = defaultResource().merge(
    resourceFromAttributes({
      'service.name': 'e2e-third-party-app',
      'service.version': '4.5.6',
      'e2e.seed': opts.seed,
      'e2e.ratio': 0.25,
      'e2e.flag': false,
      'e2e.empty': '',
      'e2e.list': ['ein', 'zwölf'],
      'e2e.ключ': 'значение 🚄',
      ...opts.resource,
    }),
  );
  const tracerProvider = new BasicTracerProvider({
    resource,
    idGenerator: seededIds(opts.seed),
    spanProcessors: [new BatchSpanProcessor(spans, BATCH)],
  });
  const loggerProvider = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter: logs, ...BATCH })] });
  const reader = new ManualReader();
  const meterProvider = new MeterProvider({
    resource,
    readers: [reader],
    views: [{ instrumentName: 'e2e.spread', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
  });

  const rng = random(opts.seed);
  // What a flush can't deliver is noted by the recorder.
  const flush = (provider) => () => provider.forceFlush().catch(ignore);
  const contexts = await makeSpans({ tracerProvider, rng, count: opts.spans, now: opts.now, flush: flush(tracerProvider) });
  await makeLogs({ loggerProvider, rng, count: opts.logs, now: opts.now, spans: contexts, flush: flush(loggerProvider) });
  const instruments = makeInstruments(meterProvider);
  for (let i = 0; i < opts.collections; i++) {
    recordMetrics(instruments, rng);
    const { resourceMetrics, errors: failed } = await reader.collect();
    errors.push(...failed.map(String));
    await new Promise((resolve) => points.export(resourceMetrics, resolve));
  }

  for (const provider of [tracerProvider, loggerProvider, meterProvider]) {
    await provider.shutdown().catch((error) => errors.push(shorten(String(error))));
  }
  await points.shutdown();
  if (spans.sent.length !== opts.spans) errors.push(`the SDK exported ${spans.sent.length} of ${opts.spans} spans`);
  if (logs.sent.length !== opts.logs) errors.push(`the SDK exported ${logs.sent.length} of ${opts.logs} log records`);

  return {
    ok: errors.length === 0,
    errors,
    protocol: opts.protocol,
    compression: opts.compression,
    seed: opts.seed,
    requests: { traces: spans.requests, logs: logs.requests, metrics: points.requests },
    resource: describeResource(resource),
    spans: spans.sent,
    logs: logs.sent,
    metrics: points.sent,
  };
}

try {
  const sent = await send(options());
  process.stdout.write(`${JSON.stringify(sent)}\n`);
  if (!sent.ok) {
    for (const error of new Set(sent.errors)) console.error(error);
    process.exitCode = 1;
  }
} catch (error) {
  if (!(error instanceof UsageError) && !error.code?.startsWith('ERR_PARSE_ARGS')) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
