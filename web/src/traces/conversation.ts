// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// A conversation out of the spans of an agent run: by OpenTelemetry's conventions for generative AI (messages as attributes, as
// events, or indexed by older instrumentations) and by what Mastra sends. Messages repeat in every call; each is shown once.

import type { Span } from '../api/types';
import { parseJson } from '../lib/json';
import type { Attributes, Json } from '../live/protocol';

export type Role = 'system' | 'user' | 'assistant' | 'tool';

export interface ToolCall {
  id: string;
  name: string;
  args: Json | undefined;
  result?: Json;
}

export interface Message {
  role: Role;
  text: string;
  reasoning: string;
  calls: ToolCall[];
  /** Answers to calls, by their id. */
  results: { id: string; result: Json | undefined }[];
  /** Anything that is no text: images, files. */
  other: string[];
}

export type Entry =
  | { kind: 'message'; message: Message; span: Span; usage?: Usage }
  | { kind: 'tool'; call: ToolCall; span?: Span; error: string }
  | { kind: 'step'; span: Span; input?: Json; output?: Json }
  | { kind: 'error'; text: string; span: Span };

export interface Usage {
  input: number;
  output: number;
  cached: number;
  reasoning: number;
  cost: number;
  model: string;
}

const operation = (s: Span) => String(s.attributes['gen_ai.operation.name'] ?? '');
const mastra = (s: Span) => String(s.attributes['mastra.span.type'] ?? '');
const n = (v: Json | undefined) => (Number.isFinite(Number(v)) ? Number(v ?? 0) : 0);

const CHAT = new Set(['chat', 'text_completion', 'generate_content']);
const isChat = (s: Span) => CHAT.has(operation(s)) || mastra(s) === 'model_generation' || ('gen_ai.prompt.0.content' in s.attributes && operation(s) === '');
const isTool = (s: Span) => operation(s) === 'execute_tool' || /tool_call/.test(mastra(s)) || 'gen_ai.tool.name' in s.attributes;
const isAgent = (s: Span) => operation(s) === 'invoke_agent' || mastra(s) === 'agent_run';
const isWorkflow = (s: Span) => /workflow_(run|step)/.test(mastra(s)) || /^(invoke_workflow|workflow_step)/.test(s.name);

export const hasConversation = (spans: Span[]): boolean => spans.some((s) => isChat(s) || isTool(s) || isAgent(s) || isWorkflow(s));

export function usage(a: Attributes): Usage {
  return {
    input: n(a['gen_ai.usage.input_tokens'] ?? a['gen_ai.usage.prompt_tokens']),
    output: n(a['gen_ai.usage.output_tokens'] ?? a['gen_ai.usage.completion_tokens']),
    cached: n(a['gen_ai.usage.cache_read.input_tokens'] ?? a['gen_ai.usage.cache_read_input_tokens']),
    reasoning: n(a['gen_ai.usage.reasoning_tokens']),
    cost: n(a['gen_ai.usage.cost'] ?? a['gen_ai.usage.cost_usd']),
    model: String(a['gen_ai.response.model'] ?? a['gen_ai.request.model'] ?? ''),
  };
}

/** The sum over the calls of models. An agent's own span repeats the sum of its calls, so it counts only when there are none. */
export function usageOf(spans: Span[]): Usage {
  const calls = outermost(spans, isChat);
  const counted = calls.length > 0 ? calls : outermost(spans, (s) => 'gen_ai.usage.input_tokens' in s.attributes);
  const total: Usage = { input: 0, output: 0, cached: 0, reasoning: 0, cost: 0, model: '' };
  for (const s of counted) {
    const u = usage(s.attributes);
    for (const k of ['input', 'output', 'cached', 'reasoning', 'cost'] as const) total[k] += u[k];
  }
  return total;
}

// Mastra nests a call into generation, step and chunk, all with the same messages: the outermost one of a kind has the whole.
function outermost(spans: Span[], is: (s: Span) => boolean): Span[] {
  const by = new Map(spans.map((s) => [s.spanId, s]));
  return spans.filter((s) => {
    if (!is(s)) return false;
    const seen = new Set<string>();
    for (let p = by.get(s.parentId); p && !seen.has(p.spanId); p = by.get(p.parentId)) {
      if (is(p)) return false;
      seen.add(p.spanId);
    }
    return true;
  });
}

function depths(spans: Span[]): (s: Span) => number {
  const by = new Map(spans.map((s) => [s.spanId, s]));
  return (s) => {
    let n = 0;
    // Parents of hostile senders may go in a circle.
    for (let p = by.get(s.parentId); p && n < spans.length; p = by.get(p.parentId)) n++;
    return n;
  };
}

/** All that was said and done, in order. */
export function conversation(spans: Span[]): Entry[] {
  const out: Entry[] = [];
  const shown = new Set<string>();
  // A call often starts in the same millisecond as its agent: what contains the other comes first.
  const depth = depths(spans);
  const order = [...spans].sort((a, b) => a.start - b.start || depth(a) - depth(b) || a.name.localeCompare(b.name));
  const chats = new Set(outermost(spans, isChat));
  const tools = new Set(order.filter((s) => isTool(s)));
  const toolIds = new Set([...tools].map((s) => String(s.attributes['gen_ai.tool.call.id'] ?? '')).filter(Boolean));
  const say = (messages: Message[], span: Span, u?: Usage) => {
    for (const m of messages) {
      // A tool's own span says more than the message that repeats its answer.
      const orphans = m.results.filter((r) => !toolIds.has(r.id));
      const key = JSON.stringify([m.role, m.text, m.calls.map((c) => [c.name, c.args]), m.results]);
      if (shown.has(key)) continue;
      shown.add(key);
      if (m.text || m.reasoning || m.calls.length > 0 || m.other.length > 0) {
        // Mastra's agent has the question, and only its first call the instructions that stood above it.
        const first = m.role === 'system' && out.every((e) => e.kind === 'message' && e.message.role === 'user');
        out.splice(first ? 0 : out.length, 0, { kind: 'message', message: m, span, usage: u });
      }
      for (const r of orphans) out.push({ kind: 'tool', call: { id: r.id, name: callName(out, r.id), args: undefined, result: r.result }, span, error: '' });
    }
  };
  for (const s of order) {
    const a = s.attributes;
    if (chats.has(s) || isAgent(s)) {
      const hasChats = chats.size > 0 && isAgent(s);
      say([...system(a), ...inputs(s)], s);
      if (hasChats) continue;
      say(outputs(s), s, usage(a));
    } else if (tools.has(s)) out.push({ kind: 'tool', call: toolCall(s), span: s, error: s.status === 'error' ? s.statusMessage || 'failed' : '' });
    else if (isWorkflow(s)) {
      const t = mastra(s) === 'workflow_run' || s.name.startsWith('invoke_workflow') ? 'workflow_run' : 'workflow_step';
      out.push({ kind: 'step', span: s, input: json(a[`mastra.${t}.input`]), output: json(a[`mastra.${t}.output`]) });
    }
    if (chats.has(s)) {
      if (s.status !== 'error') say(outputs(s), s, usage(a));
      else out.push({ kind: 'error', text: s.statusMessage || 'The model call failed', span: s });
    }
  }
  // The last word of an agent, when no call of a model brought it.
  for (const s of order) if (isAgent(s)) say(outputs(s), s);
  return out;
}

function callName(out: Entry[], id: string): string {
  for (const e of out) if (e.kind === 'message') for (const c of e.message.calls) if (c.id === id) return c.name;
  return 'tool';
}

function toolCall(s: Span): ToolCall {
  const a = s.attributes;
  return {
    id: String(a['gen_ai.tool.call.id'] ?? ''),
    name: String(a['gen_ai.tool.name'] ?? s.name.replace(/^(execute_tool|tool):? ?/, '')),
    args: json(a['gen_ai.tool.call.arguments'] ?? a['mastra.tool_call.input'] ?? a['mastra.mcp_tool_call.input']),
    result: json(a['gen_ai.tool.call.result'] ?? a['mastra.tool_call.output'] ?? a['mastra.mcp_tool_call.output']),
  };
}

export const json = (v: Json | undefined): Json | undefined => (typeof v !== 'string' ? v : /^\s*"/.test(v) ? quoted(v) : (parseJson(v) ?? v));

function quoted(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

function system(a: Attributes): Message[] {
  const v = json(a['gen_ai.system_instructions']);
  return v === undefined ? [] : [{ ...message({ role: 'system', parts: Array.isArray(v) ? v : [v] }), role: 'system' }];
}

function inputs(s: Span): Message[] {
  const a = s.attributes;
  const v = a['gen_ai.input.messages'] ?? a['gen_ai.prompt'] ?? a['mastra.model_generation.input'] ?? a['mastra.agent_run.input'] ?? a['mastra.model_step.input'] ?? a['input'];
  const list = messages(json(v), 'user');
  return list.length > 0 ? list : [...indexed(a, 'gen_ai.prompt'), ...fromEvents(s, false)];
}

function outputs(s: Span): Message[] {
  const a = s.attributes;
  const v = a['gen_ai.output.messages'] ?? a['gen_ai.completion'] ?? a['mastra.model_generation.output'] ?? a['mastra.agent_run.output'] ?? a['mastra.model_step.output'] ?? a['output'];
  const list = messages(json(v), 'assistant');
  return list.length > 0 ? list : [...indexed(a, 'gen_ai.completion'), ...fromEvents(s, true)];
}

// gen_ai.prompt.0.role, gen_ai.prompt.0.content, …
function indexed(a: Attributes, prefix: string): Message[] {
  const out: Message[] = [];
  for (let i = 0; `${prefix}.${i}.content` in a || `${prefix}.${i}.role` in a; i++) out.push(message({ role: a[`${prefix}.${i}.role`] ?? 'user', content: json(a[`${prefix}.${i}.content`]) ?? '' }));
  return out;
}

// Events of earlier conventions: gen_ai.user.message, gen_ai.choice, gen_ai.content.prompt.
function fromEvents(s: Span, output: boolean): Message[] {
  const out: Message[] = [];
  for (const e of s.events) {
    const m = /^gen_ai\.(system|user|assistant|tool)\.message$/.exec(e.name);
    const body = json(e.attributes['content'] ?? e.attributes['gen_ai.event.content'] ?? e.attributes['body']);
    if (m && !output) out.push(message({ role: m[1]!, content: body ?? '' }));
    else if (e.name === 'gen_ai.choice' && output) out.push(...messages(json(e.attributes['message']) ?? body, 'assistant'));
    else if (e.name === 'gen_ai.content.prompt' && !output) out.push(...messages(json(e.attributes['gen_ai.prompt']), 'user'));
    else if (e.name === 'gen_ai.content.completion' && output) out.push(...messages(json(e.attributes['gen_ai.completion']), 'assistant'));
  }
  return out;
}

function messages(v: Json | undefined, fallback: Role): Message[] {
  if (v === undefined || v === null || v === '') return [];
  if (Array.isArray(v)) return v.map((x) => message(typeof x === 'object' && x !== null && !Array.isArray(x) ? { role: fallback, ...x } : { role: fallback, content: x }));
  if (typeof v === 'object') {
    if (Array.isArray(v.messages)) return messages(v.messages, fallback);
    if ('role' in v || 'content' in v || 'parts' in v) return [message({ role: fallback, ...v })];
    // Mastra's output: {text, toolCalls, reasoning, object, …}
    const calls = (Array.isArray(v.toolCalls) ? v.toolCalls : []).map((c) => ({ type: 'tool-call', ...(typeof c === 'object' && c !== null ? ((c as { payload?: object }).payload ?? c) : {}) }) as Json);
    const text = v.text ?? (v.object !== undefined ? JSON.stringify(v.object, null, 2) : undefined);
    if (text !== undefined || calls.length > 0) return [message({ role: fallback, content: [...(text ? [{ type: 'text', text } as Json] : []), ...calls] })];
    return [message({ role: fallback, content: JSON.stringify(v, null, 2) })];
  }
  return [message({ role: fallback, content: v })];
}

const ROLES: Record<string, Role> = { system: 'system', developer: 'system', user: 'user', human: 'user', assistant: 'assistant', ai: 'assistant', model: 'assistant', tool: 'tool', function: 'tool' };

function message(v: { [key: string]: Json | undefined }): Message {
  const m: Message = { role: ROLES[String(v.role)] ?? 'user', text: '', reasoning: '', calls: [], results: [], other: [] };
  const content = v.parts ?? v.content ?? v.text;
  for (const part of Array.isArray(content) ? content : [content]) addPart(m, part);
  // OpenAI's form of tool calls, and of their answers.
  for (const c of Array.isArray(v.tool_calls) ? v.tool_calls : []) {
    if (typeof c !== 'object' || c === null) continue;
    const call = c as { id?: Json; function?: { name?: Json; arguments?: Json }; name?: Json; arguments?: Json };
    m.calls.push({ id: String(call.id ?? ''), name: String(call.function?.name ?? call.name ?? 'tool'), args: json(call.function?.arguments ?? call.arguments) });
  }
  if (v.tool_call_id !== undefined && m.text) {
    m.results.push({ id: String(v.tool_call_id), result: json(m.text) });
    m.text = '';
  }
  return m;
}

function addPart(m: Message, part: Json | undefined): void {
  if (part === undefined || part === null) return;
  if (typeof part !== 'object') {
    m.text += (m.text ? '\n' : '') + String(part);
    return;
  }
  if (Array.isArray(part)) return part.forEach((p) => addPart(m, p));
  const p = part;
  switch (String(p.type ?? 'text')) {
    case 'text':
    case 'input_text':
    case 'output_text':
      addPart(m, p.content ?? p.text ?? '');
      break;
    case 'reasoning':
    case 'thinking':
      m.reasoning += String(p.content ?? p.text ?? p.thinking ?? '');
      break;
    case 'tool_call':
    case 'tool-call':
    case 'tool_use':
    case 'tool-invocation': {
      const inner = (typeof p.toolInvocation === 'object' && p.toolInvocation !== null && !Array.isArray(p.toolInvocation) ? p.toolInvocation : p) as Record<string, Json>;
      m.calls.push({ id: String(inner.id ?? inner.toolCallId ?? ''), name: String(inner.name ?? inner.toolName ?? 'tool'), args: json(inner.arguments ?? inner.args ?? inner.input) });
      break;
    }
    case 'tool_call_response':
    case 'tool-result':
    case 'tool_result':
      m.results.push({ id: String(p.id ?? p.toolCallId ?? p.tool_use_id ?? ''), result: json(p.response ?? p.result ?? p.output ?? p.content) });
      break;
    default:
      m.other.push(String(p.type));
  }
}
