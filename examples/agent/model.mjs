// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// A language model and its tools, simulated: no network, no cost, and the same answers for the same seed.

export const PROVIDER = 'simulated';

export const TOOLS = {
  search_documents: {
    description: 'Full text search in the knowledge base',
    arguments: (rng, topic) => ({ query: topic, limit: rng.int(1, 8) }),
    // Now and then a whole document of 50 KB, as retrieval tools like to return them.
    result: (rng, { query, limit }) => ({
      hits: Array.from({ length: limit }, (_, i) => ({
        id: `doc-${rng.int(1000, 9999)}`,
        rank: i + 1,
        score: rng.round(0.3, 0.99),
        text: prose(rng, query, rng.chance(0.02) ? 10_000 : rng.int(10, 40)),
      })),
    }),
  },
  get_weather: {
    description: 'Current weather of a city',
    arguments: (rng) => ({ city: rng.pick(['Reykjavík', 'São Paulo', '東京', 'Zürich', 'Nairobi']), unit: 'celsius' }),
    result: (rng, { city }) => ({ city, temperature: rng.round(-8, 34), conditions: rng.pick(['sunny ☀️', 'rain 🌧️', 'fog']) }),
  },
  run_sql: {
    description: 'Read-only SQL on the sales database',
    arguments: (rng) => ({ sql: `SELECT region, sum(amount)\nFROM sales\nWHERE year = ${rng.int(2019, 2025)}\nGROUP BY region` }),
    result: (rng) => ({ columns: ['region', 'sum(amount)'], rows: ['north', 'south', 'west'].map((r) => [r, rng.int(0, 900_000)]) }),
  },
};

const TOPICS = ['refund policy', 'quarterly sales', 'weather at the office', 'onboarding of a new tenant', 'overdue invoices', 'the incident of last night'];
const WORDS = 'the agent reads a long report and finds that every order of the north region was late because one machine stood still for hours while nobody looked at its log'.split(' ');

/** A sentence or more about a topic: `words` words. */
export function prose(rng, topic, words) {
  const out = [`About ${topic}:`];
  for (let i = 0; i < words; i++) out.push(rng.pick(WORDS));
  return `${out.join(' ')}.`;
}

/** A question as a user would ask it. */
export function question(rng) {
  const topic = rng.pick(TOPICS);
  return { topic, text: `What do we know about ${topic}? ${rng.chance(0.1) ? prose(rng, topic, 600) : 'Please be brief.'}` };
}

/** The error of a model provider that is overloaded. */
export class RateLimitError extends Error {
  name = 'RateLimitError';
}

/** The error of a tool that did not answer in time. */
export class ToolTimeoutError extends Error {
  name = 'ToolTimeoutError';
}

/**
 * The model's answer to a conversation: a tool call while `steps` are left, then the final text.
 *
 * @returns {{id: string, latencyMs: number, message: object, finishReason: string, toolCall?: object, usage: {input: number, output: number, cached: number}}}
 */
export function answer(rng, topic, messages, steps) {
  const input = Math.ceil(JSON.stringify(messages).length / 4);
  const reply = { id: `resp_${rng.hex(12)}`, latencyMs: rng.int(40, 400), usage: { input, output: 0, cached: rng.chance(0.4) ? Math.floor(input / 2) : 0 } };
  let part;
  if (steps > 0) {
    const name = rng.pick(Object.keys(TOOLS));
    reply.toolCall = { id: `call_${rng.hex(8)}`, name, arguments: TOOLS[name].arguments(rng, topic) };
    reply.finishReason = 'tool_call';
    part = { type: 'tool_call', ...reply.toolCall };
  } else {
    reply.finishReason = 'stop';
    reply.text = prose(rng, topic, rng.int(10, 120));
    part = { type: 'text', content: reply.text };
  }
  reply.message = { role: 'assistant', parts: [part], finish_reason: reply.finishReason };
  reply.usage.output = Math.ceil(JSON.stringify(part).length / 4);
  return reply;
}

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
  return {
    int: (from, to) => from + Math.floor(next() * (to - from + 1)),
    round: (from, to) => Math.round((from + next() * (to - from)) * 1000) / 1000,
    chance: (p) => next() < p,
    pick: (list) => list[Math.floor(next() * list.length)],
    hex: (length) => Array.from({ length }, () => Math.floor(next() * 16).toString(16)).join(''),
  };
}
