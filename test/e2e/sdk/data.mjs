// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The records that are sent: traces, logs and metrics of every shape that the SDK can make. The seed and the point in time
// decide everything about spans and logs, ids included, so a run can be repeated exactly.

import { createTraceState, ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace, ValueType } from '@opentelemetry/api';

const KINDS = [SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER];
const UNICODE = 'Zoë 東京 🚄 עברית é‍👩‍👩‍👧 \u0000 \u001f \u2028 "quoted" back\\slash <b>&amp; tab\tnew\nline\r\n';
const WORDS = ['order', 'über', 'agent', 'ticket', 'été', '列車', 'tool', 'reply', 'cache', 'queue'];

/** A small seeded random number generator (mulberry32). */
export function random(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (from, to) => from + Math.floor(next() * (to - from + 1));
  return {
    next,
    int,
    chance: (p) => next() < p,
    pick: (list) => list[int(0, list.length - 1)],
    words: (count) => Array.from({ length: count }, () => WORDS[int(0, WORDS.length - 1)]).join(' '),
    hex: (length) => {
      let out = '';
      while (out.length < length) out += int(0, 0xffff).toString(16).padStart(4, '0');
      return out.slice(0, length);
    },
  };
}

/** An id generator for the SDK whose ids follow from the seed. */
export function seededIds(seed) {
  const rng = random(seed ^ 0x5eed1d5);
  const id = (length) => () => {
    // All zeros would be no valid id.
    for (;;) {
      const hex = rng.hex(length);
      if (/[^0]/.test(hex)) return hex;
    }
  };
  return { generateTraceId: id(32), generateSpanId: id(16) };
}

/** @param {bigint} nanos since 1970 @returns {[number, number]} the SDK's form of a point in time, without loss */
const hr = (nanos) => [Number(nanos / 1_000_000_000n), Number(nanos % 1_000_000_000n)];

// Every shape that an attribute of a span can have.
function everyShape(rng) {
  return {
    'shape.string': rng.words(3),
    'shape.string.empty': '',
    'shape.string.unicode': UNICODE,
    'shape.string.json': JSON.stringify({ role: 'user', parts: [{ type: 'text', content: 'say "hi"\n' }] }),
    'shape.string.looks_like_number': '007',
    'shape.int': rng.int(1, 1_000_000),
    'shape.int.zero': 0,
    'shape.int.negative': -42,
    'shape.int.max': Number.MAX_SAFE_INTEGER,
    'shape.int.min': Number.MIN_SAFE_INTEGER,
    'shape.double': rng.next() + 0.1,
    'shape.double.tenth': 0.1,
    'shape.double.small': -1.5e-7,
    'shape.double.tiny': Number.MIN_VALUE,
    'shape.double.negative': -273.15,
    'shape.bool.true': true,
    'shape.bool.false': false,
    'shape.array.string': ['a', '', 'ü', 'with "quotes"', '<&>'],
    'shape.array.int': [1, 0, -3],
    'shape.array.double': [0.5, -0.25],
    'shape.array.bool': [true, false],
    'shape.array.empty': [],
    'shape.array.with_null': ['x', null, 'y'],
    'schlüssel mit leerzeichen/ключ': 'unicode key',
  };
}

// What only log records can carry: nested maps, bytes, mixed arrays, nothing at all.
function everyLogShape(rng) {
  return {
    ...everyShape(rng),
    'shape.map': { inner: { deep: [1, 'two', false, { three: 3.5 }] }, empty: {}, nothing: null },
    'shape.array.mixed': [1, 'two', 3.5, true, null, ['nested'], { k: 'v' }],
    'shape.bytes': new Uint8Array([0, 1, 2, 250, 255]),
    'shape.null': null,
  };
}

// The SDK sends all batches of a flush at once, and refuses more than 30 requests at a time: so `flush` is
// called often enough.
const FLUSH_EVERY = 1000;

/**
 * Makes `count` spans in traces of one to twelve spans; children end before their parents, as in a real app.
 *
 * @returns {Promise<import('@opentelemetry/api').SpanContext[]>} the context of every span
 */
export async function makeSpans({ tracerProvider, rng, count, now, flush }) {
  const contexts = [];
  for (let number = 0, flushed = 0; contexts.length < count; number++) {
    if (contexts.length - flushed >= FLUSH_EVERY) {
      await flush();
      flushed = contexts.length;
    }
    const tracer = number % 2 === 0 ? tracerProvider.getTracer('e2e.agent', '1.2.3') : tracerProvider.getTracer('e2e.http');
    const size = Math.min(rng.int(1, 12), count - contexts.length);
    makeTrace({ tracer, rng, size, number, now, contexts });
  }
  return contexts;
}

function makeTrace({ tracer, rng, size, number, now, contexts }) {
  // The last of them ends before now; nanoseconds that no float could hold.
  let time = now - BigInt(rng.int(2000, 60_000)) * 1_000_000n + BigInt(rng.int(1, 999_999));
  const later = () => (time += BigInt(rng.int(1, 40_000_000)));

  let parent = ROOT_CONTEXT;
  if (number % 5 === 1) {
    // A trace that began elsewhere: its root has a parent that nobody here sends.
    parent = trace.setSpanContext(ROOT_CONTEXT, {
      traceId: rng.hex(31) + '1',
      spanId: rng.hex(15) + '1',
      traceFlags: TraceFlags.SAMPLED,
      traceState: createTraceState('vendor=abc,other=x:y'),
      isRemote: true,
    });
  }
  const open = [];
  for (let i = 0; i < size; i++) {
    const index = contexts.length;
    const span = tracer.startSpan(
      index % 7 === 3 ? `операция ${rng.words(2)} 🚄` : `${rng.pick(['chat', 'execute_tool', 'GET'])} ${rng.words(1)}`,
      { kind: KINDS[index % KINDS.length], startTime: hr(later()), attributes: spanAttributes(rng, index), links: links(rng, contexts, index) },
      open.length > 0 ? trace.setSpan(parent, rng.pick(open)) : parent,
    );
    decorate(span, rng, index, () => hr(later()));
    contexts.push(span.spanContext());
    open.push(span);
  }
  for (const span of open.reverse()) {
    // Some last no time at all: a duration of zero is a duration.
    span.end(span.attributes['test.index'] % 50 === 0 ? span.startTime : hr(later()));
  }
}

function spanAttributes(rng, index) {
  const attributes = { 'test.index': index, 'gen_ai.operation.name': 'chat', 'gen_ai.usage.input_tokens': rng.int(0, 5000) };
  if (index % 10 === 0) Object.assign(attributes, everyShape(rng));
  // The size of a tool result that holds whole documents.
  if (index % 100 === 5) attributes['gen_ai.tool.call.result'] = JSON.stringify({ text: rng.words(15_000) });
  return attributes;
}

function links(rng, contexts, index) {
  if (index % 6 !== 4) return [];
  const elsewhere = { traceId: rng.hex(31) + '2', spanId: rng.hex(15) + '2', traceFlags: TraceFlags.NONE, traceState: createTraceState('k=v'), isRemote: true };
  return [
    { context: rng.pick(contexts), attributes: { 'link.reason': 'follows', 'link.weight': 0.5, 'link.index': index } },
    { context: elsewhere },
  ];
}

function decorate(span, rng, index, time) {
  if (index % 4 === 1) span.setStatus({ code: SpanStatusCode.OK });
  if (index % 4 === 2) {
    const error = new TypeError(`can't read ${rng.words(2)} "x"`);
    error.stack = `TypeError: ${error.message}\n    at read (/app/agent.js:10:5)\n    at /app/main.js:3:1`;
    span.recordException(error, time());
    span.setStatus({ code: SpanStatusCode.ERROR, message: index % 8 === 2 ? error.message : undefined });
  }
  if (index % 3 === 0) {
    span.addEvent('first_token', { 'gen_ai.response.id': rng.hex(12), n: index, ratio: 0.75, ok: true, list: ['a', 'b'], empty: '' }, time());
    span.addEvent('бег 🏃', time());
  }
}

/** Makes `count` log records; a third of them belongs to a span, a fifth is an evaluation score. */
export async function makeLogs({ loggerProvider, rng, count, now, spans, flush }) {
  const plain = loggerProvider.getLogger('e2e.log', '0.9.0', { scopeAttributes: { 'scope.kind': 'test', 'scope.n': 7 } });
  const scores = loggerProvider.getLogger('e2e.evaluation');
  for (let index = 0; index < count; index++) {
    if (index % FLUSH_EVERY === FLUSH_EVERY - 1) await flush();
    const time = now - BigInt(rng.int(0, 60_000)) * 1_000_000n - BigInt(rng.int(1, 999_999));
    const record = {
      timestamp: hr(time),
      observedTimestamp: hr(time + BigInt(rng.int(0, 5_000_000))),
      severityNumber: (index % 24) + 1,
      severityText: rng.pick(['INFO', 'warn', 'Fehler', '']),
      attributes: { 'test.index': index },
    };
    if (spans.length > 0 && index % 3 === 0) record.context = trace.setSpanContext(ROOT_CONTEXT, rng.pick(spans));
    if (index % 2 === 0) record.attributes['log.record.uid'] = `01J${rng.hex(23).toUpperCase()}`;
    if (index % 10 === 1) Object.assign(record.attributes, everyLogShape(rng));
    if (index % 5 === 2) {
      scores.emit({ ...record, ...score(rng, index, record.attributes) });
    } else {
      if (index % 5 === 4) record.eventName = 'e2e.event';
      plain.emit({ ...record, body: body(rng, index) });
    }
  }
}

function score(rng, index, attributes) {
  // Zero and one are the scores that get lost most easily.
  const value = index % 15 === 2 ? 0 : index % 15 === 7 ? 1 : rng.next();
  return {
    eventName: 'gen_ai.evaluation.result',
    attributes: {
      ...attributes,
      'gen_ai.evaluation.name': rng.pick(['relevance', 'toxicity']),
      'gen_ai.evaluation.score.value': value,
      'gen_ai.evaluation.score.label': value >= 0.5 ? 'pass' : 'fail',
    },
  };
}

function body(rng, index) {
  switch (index % 20) {
    case 1:
      return '';
    case 3:
      return UNICODE;
    case 5:
      return { message: 'structured', list: [1, 'two'], inner: { ok: true } };
    case 6:
      return ['array', 1, false];
    case 8:
      return index;
    case 9:
      return index + 0.5;
    case 10:
      return true;
    case 11:
      return new Uint8Array([1, 2, 3]);
    case 13:
      return undefined;
    default:
      return `log ${index} ${rng.words(rng.int(2, 12))}`;
  }
}

/** Records into every kind of instrument. Call it before each collection. */
export function recordMetrics(instruments, rng) {
  for (const route of ['/ask', '/ключ', '']) {
    const attributes = { route, code: 200, cached: route === '', ratio: 0.5, tags: ['a', 'b'] };
    instruments.requests.add(rng.int(1, 50), attributes);
    instruments.cost.add(rng.next(), attributes);
    instruments.queue.add(rng.int(-5, 5), attributes);
    instruments.temperature.record(rng.next() * 40 - 20, attributes);
    for (let i = 0; i < 20; i++) {
      instruments.duration.record(rng.next() * 10, attributes);
      instruments.size.record(rng.int(0, 5000), attributes);
      instruments.spread.record(rng.next() ** 8 * 1000, attributes);
    }
    instruments.spread.record(0, attributes);
  }
  instruments.requests.add(0); // a point without attributes, and without a value worth mentioning
}

/** One instrument of each kind; `spread` is an exponential histogram by the provider's view. */
export function makeInstruments(meterProvider) {
  const meter = meterProvider.getMeter('e2e.meter', '3.0.0');
  meter.createObservableGauge('e2e.level', { unit: '1', valueType: ValueType.INT }).addCallback((result) => {
    result.observe(0, { tank: 'left' });
    result.observe(12, { tank: 'right' });
  });
  return {
    requests: meter.createCounter('e2e.requests', { description: 'Requests “seen”', unit: '{request}', valueType: ValueType.INT }),
    cost: meter.createCounter('e2e.cost', { unit: 'USD', valueType: ValueType.DOUBLE }),
    queue: meter.createUpDownCounter('e2e.queue', { valueType: ValueType.INT }),
    temperature: meter.createGauge('e2e.temperature', { unit: 'Cel' }),
    duration: meter.createHistogram('e2e.duration', { description: 'How long it took', unit: 's' }),
    size: meter.createHistogram('e2e.size', { unit: 'By', valueType: ValueType.INT, advice: { explicitBucketBoundaries: [0, 10, 100, 1000] } }),
    spread: meter.createHistogram('e2e.spread', { unit: 'ms' }),
  };
}
