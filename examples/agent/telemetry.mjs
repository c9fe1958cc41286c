// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The OpenTelemetry SDK, set up as any app would do it. Where to send, with which headers and under which identity comes
// from the environment (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_RESOURCE_ATTRIBUTES,
// OTEL_SERVICE_NAME) and is read by the SDK itself: nothing here knows of Tailrace.

import { DiagLogLevel, diag, metrics } from '@opentelemetry/api';
import { logs } from '@opentelemetry/api-logs';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { defaultResource, detectResources, envDetector, processDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

// Small delays, so that what happens is seen at once. A busy production app would choose longer ones.
const BATCH = { scheduledDelayMillis: 500, maxExportBatchSize: 256, maxQueueSize: 2048 };
const METRIC_INTERVAL_MS = 1000;
const REPORT_INTERVAL_MS = 60_000;

/**
 * Registers the global tracer, meter and logger providers.
 *
 * @param {{name: string, version: string}} app used for service.name and service.version when the environment names none
 * @param {(message: string) => void} report is told of failed exports, at most once a minute
 * @returns {{shutdown: (timeoutMillis: number) => Promise<boolean>}} shutdown flushes all signals; false: not all of it
 *   could be delivered within the time
 */
export function startTelemetry(app, report) {
  let failures = 0;
  diag.setLogger(quietLogger(report, () => failures++), { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });

  const resource = defaultResource()
    .merge(resourceFromAttributes({ 'service.name': app.name, 'service.version': app.version }))
    .merge(detectResources({ detectors: [processDetector, envDetector] }));

  const tracerProvider = new NodeTracerProvider({
    resource,
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter(), BATCH)],
  });
  tracerProvider.register();

  const loggerProvider = new LoggerProvider({
    resource,
    processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter(), ...BATCH })],
  });
  logs.setGlobalLoggerProvider(loggerProvider);

  const meterProvider = new MeterProvider({
    resource,
    readers: [
      new PeriodicExportingMetricReader({
        // No retry beyond the interval: the values are cumulative, so the next export says it all.
        exporter: new OTLPMetricExporter({ timeoutMillis: METRIC_INTERVAL_MS }),
        exportIntervalMillis: METRIC_INTERVAL_MS,
        exportTimeoutMillis: METRIC_INTERVAL_MS,
      }),
    ],
  });
  metrics.setGlobalMeterProvider(meterProvider);

  return {
    async shutdown(timeoutMillis) {
      const failuresBefore = failures;
      let timer;
      const timeout = new Promise((resolve) => {
        timer = setTimeout(resolve, timeoutMillis, 'timeout');
      });
      const all = Promise.allSettled([tracerProvider, loggerProvider, meterProvider].map((provider) => provider.shutdown()));
      const results = await Promise.race([all, timeout]);
      clearTimeout(timer);
      return results !== 'timeout' && results.every((r) => r.status === 'fulfilled') && failures === failuresBefore;
    },
  };
}

// The SDK's own complaints. While the collector is away there are several a second: the first is reported at once, the
// others are counted and summed up.
function quietLogger(report, count) {
  let suppressed = 0;
  let next = 0;
  const complain = (...args) => {
    count();
    const now = Date.now();
    if (now < next) {
      suppressed++;
      return;
    }
    const more = suppressed > 0 ? ` (and ${suppressed} more since the last report)` : '';
    report(`telemetry: ${explain(args)}${more}; next report in a minute at the earliest`);
    suppressed = 0;
    next = now + REPORT_INTERVAL_MS;
  };
  const ignore = () => {};
  return { error: complain, warn: complain, info: ignore, debug: ignore, verbose: ignore };
}

// The SDK hands over errors as JSON with a stack: one short line is enough here.
function explain(args) {
  const text = args.map(String).join(' ');
  try {
    const { message, code, name } = JSON.parse(text);
    return [name, code, message].filter(Boolean).join(' ') || text.slice(0, 200);
  } catch {
    return text.split('\n', 1)[0].slice(0, 200);
  }
}
