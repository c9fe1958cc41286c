// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// One agent: asks the model, runs the tools that it wants, answers, and is judged. All of it is traced and measured by the
// semantic conventions of OpenTelemetry for generative AI.

import { context, metrics, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { logs, SeverityNumber } from '@opentelemetry/api-logs';
import { answer, PROVIDER, prose, question, RateLimitError, random, TOOLS, ToolTimeoutError } from './model.mjs';
import { complain, log, print, printStack } from './output.mjs';

const AGENTS = ['support', 'analyst', 'researcher'];
const MODELS = ['sim-large-1', 'sim-small-1'];
const SYSTEM_PROMPT = 'You are a helpful agent of a company that does not exist. Use the tools.';

// Bucket bounds as the conventions give them.
const TOKEN_BUCKETS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864];
const SECOND_BUCKETS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/** Runs agents. Create it after the telemetry is started. */
export class AgentApp {
  #seed;
  #pause;
  #runs = 0;
  #active = 0;
  #tracer = trace.getTracer('example-agent', '0.1.0');
  #evaluations = logs.getLogger('example-agent.evaluation', '0.1.0');
  #tokens;
  #duration;
  #finished;

  /**
   * @param {number} seed decides what every run does
   * @param {(millis: number) => Promise<void>} pause waits for the simulated work; may return early
   */
  constructor(seed, pause) {
    this.#seed = seed;
    this.#pause = pause;
    const meter = metrics.getMeter('example-agent', '0.1.0');
    this.#tokens = meter.createHistogram('gen_ai.client.token.usage', {
      description: 'Number of input and output tokens used',
      unit: '{token}',
      advice: { explicitBucketBoundaries: TOKEN_BUCKETS },
    });
    this.#duration = meter.createHistogram('gen_ai.client.operation.duration', {
      description: 'GenAI operation duration',
      unit: 's',
      advice: { explicitBucketBoundaries: SECOND_BUCKETS },
    });
    this.#finished = meter.createCounter('agent.runs', { description: 'Finished agent runs', unit: '{run}' });
    meter
      .createObservableGauge('agent.runs.active', { description: 'Agent runs that are going on', unit: '{run}' })
      .addCallback((result) => result.observe(this.#active));
  }

  /** How many runs are going on. */
  get active() {
    return this.#active;
  }

  /** How many runs were started. */
  get runs() {
    return this.#runs;
  }

  /**
   * One run: a trace `invoke_agent` → (`chat` → `execute_tool`)* → `chat`. Never rejects.
   *
   * @param {string} [userQuestion] made up when left out
   * @returns {Promise<{traceId: string, answer?: string, error?: string}>}
   */
  async run(userQuestion) {
    const number = ++this.#runs;
    // Each run has a generator of its own, so that what it does is independent of what runs beside it.
    const rng = random(this.#seed * 1_000_003 + number);
    const asked = question(rng);
    if (userQuestion !== undefined) Object.assign(asked, { topic: 'your question', text: userQuestion });
    const agent = rng.pick(AGENTS);
    const job = { number, rng, asked, agent, model: rng.pick(MODELS), conversation: `conv_${rng.hex(10)}` };

    this.#active++;
    const attributes = {
      'gen_ai.operation.name': 'invoke_agent',
      'gen_ai.agent.name': agent,
      'gen_ai.agent.id': `agent_${agent}`,
      ...this.#common(job),
    };
    try {
      return await this.#span(`invoke_agent ${agent}`, { kind: SpanKind.INTERNAL, attributes }, (span) => this.#invoke(span, job));
    } catch (error) {
      complain(`run ${number} failed: ${error.name}: ${error.message}`);
      printStack(error);
      this.#finished.add(1, { 'gen_ai.agent.name': agent, outcome: 'error' });
      return { traceId: error.traceId, error: error.message };
    } finally {
      this.#active--;
    }
  }

  async #invoke(span, job) {
    const { number, rng, asked, agent } = job;
    const messages = [{ role: 'user', parts: [{ type: 'text', content: asked.text }] }];
    const total = { input: 0, output: 0 };
    span.setAttribute('gen_ai.system_instructions', JSON.stringify([{ type: 'text', content: SYSTEM_PROMPT }]));
    span.setAttribute('gen_ai.input.messages', JSON.stringify(messages));
    print(`run ${number} agent ${agent} starts: ${asked.topic}`);
    log('info', 'agent run started', { run: number, agent, conversation: job.conversation });

    let reply;
    for (let steps = rng.int(0, 3); ; steps--) {
      reply = await this.#chat(job, messages, steps);
      total.input += reply.usage.input;
      total.output += reply.usage.output;
      messages.push(reply.message);
      if (!reply.toolCall) break;
      const response = await this.#tool(job, reply.toolCall);
      messages.push({ role: 'tool', parts: [{ type: 'tool_call_response', id: reply.toolCall.id, response }] });
    }

    span.setAttribute('gen_ai.output.messages', JSON.stringify([reply.message]));
    span.setAttribute('gen_ai.usage.input_tokens', total.input);
    span.setAttribute('gen_ai.usage.output_tokens', total.output);
    this.#finished.add(1, { 'gen_ai.agent.name': agent, outcome: 'success' });
    if (rng.chance(0.5)) this.#evaluate(job, reply);
    log('info', 'agent run finished', { run: number, agent, ...total });
    print(`run ${number} agent ${agent} done: ${total.input} tokens in, ${total.output} out`);
    return { traceId: span.spanContext().traceId, answer: reply.text };
  }

  async #chat(job, messages, steps) {
    const { rng, model } = job;
    const attributes = {
      'gen_ai.operation.name': 'chat',
      'gen_ai.request.temperature': 0.7,
      'gen_ai.request.max_tokens': 4096,
      'gen_ai.request.stop_sequences': ['\n\nHuman:', 'END'],
      'gen_ai.input.messages': JSON.stringify(messages),
      ...this.#common(job),
    };
    const measured = { 'gen_ai.operation.name': 'chat', 'gen_ai.provider.name': PROVIDER, 'gen_ai.request.model': model };
    const started = performance.now();
    try {
      return await this.#span(`chat ${model}`, { kind: SpanKind.CLIENT, attributes }, async (span) => {
        const reply = answer(rng, job.asked.topic, messages, steps);
        await this.#pause(reply.latencyMs);
        if (rng.chance(0.02)) throw new RateLimitError('too many requests (simulated), try again later');
        span.addEvent('gen_ai.first_token', { 'gen_ai.response.id': reply.id });
        span.setAttributes({
          'gen_ai.response.id': reply.id,
          'gen_ai.response.model': `${model}-0125`,
          'gen_ai.response.finish_reasons': [reply.finishReason],
          'gen_ai.output.messages': JSON.stringify([reply.message]),
          'gen_ai.usage.input_tokens': reply.usage.input,
          'gen_ai.usage.output_tokens': reply.usage.output,
          'gen_ai.usage.cache_read.input_tokens': reply.usage.cached,
        });
        this.#tokens.record(reply.usage.input, { ...measured, 'gen_ai.token.type': 'input' });
        this.#tokens.record(reply.usage.output, { ...measured, 'gen_ai.token.type': 'output' });
        log('debug', 'model answered', { model, finish_reason: reply.finishReason, tokens: reply.usage.output });
        return reply;
      });
    } catch (error) {
      measured['error.type'] = error.name;
      throw error;
    } finally {
      this.#duration.record((performance.now() - started) / 1000, measured);
    }
  }

  // A tool that fails does not end the run: the model is told.
  async #tool(job, call) {
    const { rng, number } = job;
    const attributes = {
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.tool.name': call.name,
      'gen_ai.tool.type': 'function',
      'gen_ai.tool.description': TOOLS[call.name].description,
      'gen_ai.tool.call.id': call.id,
      'gen_ai.tool.call.arguments': JSON.stringify(call.arguments),
      'gen_ai.conversation.id': job.conversation,
    };
    try {
      return await this.#span(`execute_tool ${call.name}`, { kind: SpanKind.INTERNAL, attributes }, async (span) => {
        print(`run ${number} tool ${call.name} ${JSON.stringify(call.arguments)}`);
        await this.#pause(rng.int(5, 150));
        if (rng.chance(0.06)) throw new ToolTimeoutError(`${call.name} did not answer in time (simulated)`);
        const result = TOOLS[call.name].result(rng, call.arguments);
        span.setAttribute('gen_ai.tool.call.result', JSON.stringify(result));
        return result;
      });
    } catch (error) {
      complain(`run ${number} tool ${call.name} failed: ${error.message}`);
      log('warn', 'tool failed, telling the model', { run: number, tool: call.name, err: error.message });
      return { error: error.message };
    }
  }

  // A score is a log record with an event name, linked to the span that it judges.
  #evaluate(job, reply) {
    const { rng } = job;
    const name = rng.pick(['relevance', 'faithfulness', 'toxicity']);
    // Zero is a score too, and must stay one all the way.
    const value = rng.chance(0.1) ? 0 : rng.round(0, 1);
    this.#evaluations.emit({
      eventName: 'gen_ai.evaluation.result',
      severityNumber: SeverityNumber.INFO,
      severityText: 'INFO',
      context: context.active(),
      attributes: {
        'gen_ai.evaluation.name': name,
        'gen_ai.evaluation.score.value': value,
        'gen_ai.evaluation.score.label': value >= 0.5 ? 'pass' : 'fail',
        'gen_ai.evaluation.explanation': prose(rng, name, 12),
        'gen_ai.response.id': reply.id,
        'gen_ai.agent.name': job.agent,
      },
    });
  }

  // gen_ai.system is the old name of gen_ai.provider.name; real apps send either, so this one sends both.
  #common({ model, conversation }) {
    return {
      'gen_ai.provider.name': PROVIDER,
      'gen_ai.system': PROVIDER,
      'gen_ai.request.model': model,
      'gen_ai.conversation.id': conversation,
    };
  }

  // Runs work in an active span; an error becomes an exception event and the span's status, and goes on up.
  #span(name, options, work) {
    return this.#tracer.startActiveSpan(name, options, async (span) => {
      try {
        return await work(span);
      } catch (error) {
        error.traceId = span.spanContext().traceId;
        span.setAttribute('error.type', error.name);
        span.recordException(error);
        span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
        throw error;
      } finally {
        span.end();
      }
    });
  }
}
