// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Says in plain JSON what was given to the exporters. Values are OTLP AnyValues in their JSON form, with integers as
// strings: {"stringValue": "x"}, {"intValue": "5"}, {"doubleValue": 0.5}, {"boolValue": true}, {"bytesValue": "<base64>"},
// {"arrayValue": {"values": […]}}, {"kvlistValue": {"values": [{"key": …, "value": …}]}}, {} for nothing.

import { SpanKind, SpanStatusCode, ValueType } from '@opentelemetry/api';
import { AggregationTemporality, DataPointType } from '@opentelemetry/sdk-metrics';

const KINDS = { [SpanKind.INTERNAL]: 'Internal', [SpanKind.SERVER]: 'Server', [SpanKind.CLIENT]: 'Client', [SpanKind.PRODUCER]: 'Producer', [SpanKind.CONSUMER]: 'Consumer' };
const STATUS = { [SpanStatusCode.UNSET]: 'Unset', [SpanStatusCode.OK]: 'Ok', [SpanStatusCode.ERROR]: 'Error' };

const nanos = ([seconds, rest]) => (BigInt(seconds) * 1_000_000_000n + BigInt(rest)).toString();

// As the SDK sees it: a number without a fraction is an integer.
export function anyValue(value) {
  if (value === null || value === undefined) return {};
  if (value instanceof Uint8Array) return { bytesValue: Buffer.from(value).toString('base64') };
  if (Array.isArray(value)) return { arrayValue: { values: value.map(anyValue) } };
  switch (typeof value) {
    case 'string':
      return { stringValue: value };
    case 'boolean':
      return { boolValue: value };
    case 'number':
      return Number.isInteger(value) ? { intValue: value.toString() } : { doubleValue: value };
    case 'object':
      return { kvlistValue: { values: Object.entries(value).map(([key, inner]) => ({ key, value: anyValue(inner) })) } };
    default:
      throw new TypeError(`no OTLP form of a ${typeof value}`);
  }
}

const attributes = (map) => Object.fromEntries(Object.entries(map ?? {}).map(([key, value]) => [key, anyValue(value)]));
const scope = ({ name, version, attributes: own }) => ({ name, version: version ?? '', attributes: attributes(own) });

export const describeResource = (resource) => attributes(resource.attributes);

export function describeSpan(span) {
  const { traceId, spanId, traceState } = span.spanContext();
  return {
    trace_id: traceId,
    span_id: spanId,
    parent_span_id: span.parentSpanContext?.spanId ?? '',
    trace_state: traceState?.serialize() ?? '',
    name: span.name,
    kind: KINDS[span.kind],
    start_unix_nano: nanos(span.startTime),
    end_unix_nano: nanos(span.endTime),
    status: { code: STATUS[span.status.code], message: span.status.message ?? '' },
    attributes: attributes(span.attributes),
    events: span.events.map((event) => ({ name: event.name, time_unix_nano: nanos(event.time), attributes: attributes(event.attributes) })),
    links: span.links.map((link) => ({
      trace_id: link.context.traceId,
      span_id: link.context.spanId,
      trace_state: link.context.traceState?.serialize() ?? '',
      attributes: attributes(link.attributes),
    })),
    scope: scope(span.instrumentationScope),
  };
}

export function describeLog(record) {
  return {
    time_unix_nano: nanos(record.hrTime),
    observed_unix_nano: nanos(record.hrTimeObserved),
    severity_number: record.severityNumber ?? 0,
    severity_text: record.severityText ?? '',
    event_name: record.eventName ?? '',
    body: anyValue(record.body),
    attributes: attributes(record.attributes),
    trace_id: record.spanContext?.traceId ?? '',
    span_id: record.spanContext?.spanId ?? '',
    scope: scope(record.instrumentationScope),
  };
}

/** One entry for each point of a collection. */
export function describeMetrics(resourceMetrics) {
  return resourceMetrics.scopeMetrics.flatMap((scoped) =>
    scoped.metrics.flatMap((metric) => metric.dataPoints.map((point) => describePoint(metric, point, scope(scoped.scope)))),
  );
}

function describePoint(metric, point, of) {
  const common = {
    name: metric.descriptor.name,
    description: metric.descriptor.description,
    unit: metric.descriptor.unit,
    start_unix_nano: nanos(point.startTime),
    time_unix_nano: nanos(point.endTime),
    attributes: attributes(point.attributes),
    scope: of,
  };
  const temporality = metric.aggregationTemporality === AggregationTemporality.CUMULATIVE ? 'Cumulative' : 'Delta';
  const value = () => (metric.descriptor.valueType === ValueType.INT ? { asInt: point.value.toString() } : { asDouble: point.value });
  const { value: v } = point;
  switch (metric.dataPointType) {
    case DataPointType.GAUGE:
      return { type: 'gauge', ...common, value: value() };
    case DataPointType.SUM:
      return { type: 'sum', ...common, temporality, monotonic: metric.isMonotonic, value: value() };
    case DataPointType.HISTOGRAM:
      return {
        type: 'histogram',
        ...common,
        temporality,
        count: v.count,
        sum: v.sum,
        min: v.min,
        max: v.max,
        explicit_bounds: v.buckets.boundaries,
        bucket_counts: v.buckets.counts,
      };
    case DataPointType.EXPONENTIAL_HISTOGRAM:
      return {
        type: 'exponential_histogram',
        ...common,
        temporality,
        count: v.count,
        sum: v.sum,
        min: v.min,
        max: v.max,
        scale: v.scale,
        zero_count: v.zeroCount,
        positive: { offset: v.positive.offset, bucket_counts: v.positive.bucketCounts },
        negative: { offset: v.negative.offset, bucket_counts: v.negative.bucketCounts },
      };
    default:
      throw new TypeError(`unknown kind of metric ${metric.dataPointType}`);
  }
}
