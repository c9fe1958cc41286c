// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from 'vitest';
import type { Span } from '../src/api/types';
import type { Attributes } from '../src/live/protocol';
import { conversation, type Entry, hasConversation, usageOf } from '../src/traces/conversation';

let n = 0;
const s = (name: string, parentId: string, attributes: Attributes, more: Partial<Span> = {}): Span => ({ traceId: 't', spanId: `s${++n}`, parentId, name, kind: 'internal', service: 'x', project: 'p', deployment: '', server: '', start: n, end: n + 1, status: 'unset', statusMessage: '', attributes, resource: {}, events: [], links: [], ...more });
const brief = (list: Entry[]) => list.map((e) => (e.kind === 'message' ? `${e.message.role}: ${e.message.text}${e.message.calls.map((c) => ` →${c.name}`).join('')}` : e.kind === 'tool' ? `tool ${e.call.name} ${JSON.stringify(e.call.args)} = ${JSON.stringify(e.call.result)}${e.error ? ` !${e.error}` : ''}` : e.kind === 'error' ? `error ${e.text}` : `step ${e.span.name}`));

describe('conversation', () => {
  it("reads OpenTelemetry's messages and shows each once", () => {
    const user = { role: 'user', parts: [{ type: 'text', content: 'Where is my order?' }] };
    const call = { role: 'assistant', parts: [{ type: 'tool_call', id: 'c1', name: 'find', arguments: { id: 1 } }] };
    const result = { role: 'tool', parts: [{ type: 'tool_call_response', id: 'c1', response: { state: 'sent' } }] };
    const root = s('invoke_agent a', '', { 'gen_ai.operation.name': 'invoke_agent', 'gen_ai.system_instructions': '[{"type":"text","content":"Be kind."}]', 'gen_ai.input.messages': JSON.stringify([user]), 'gen_ai.usage.input_tokens': 30, 'gen_ai.output.messages': JSON.stringify([{ role: 'assistant', parts: [{ type: 'text', content: 'Sent.' }] }]) });
    const spans = [
      root,
      s('chat m', root.spanId, { 'gen_ai.operation.name': 'chat', 'gen_ai.input.messages': JSON.stringify([user]), 'gen_ai.output.messages': JSON.stringify([call]), 'gen_ai.usage.input_tokens': '10', 'gen_ai.usage.output_tokens': '2' }),
      s('execute_tool find', root.spanId, { 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.name': 'find', 'gen_ai.tool.call.id': 'c1', 'gen_ai.tool.call.arguments': '{"id":1}', 'gen_ai.tool.call.result': '{"state":"sent"}' }),
      s('chat m', root.spanId, { 'gen_ai.operation.name': 'chat', 'gen_ai.input.messages': JSON.stringify([user, call, result]), 'gen_ai.output.messages': JSON.stringify([{ role: 'assistant', parts: [{ type: 'text', content: 'Sent.' }] }]), 'gen_ai.usage.input_tokens': 20, 'gen_ai.usage.output_tokens': 3 }),
    ];
    expect(hasConversation(spans)).toBe(true);
    expect(brief(conversation(spans))).toEqual(['system: Be kind.', 'user: Where is my order?', 'assistant:  →find', 'tool find {"id":1} = {"state":"sent"}', 'assistant: Sent.']);
    expect(usageOf(spans)).toMatchObject({ input: 30, output: 5 });
  });

  it('reads what a Mastra app sends: nested generations, inputs and outputs of its own', () => {
    const root = s('invoke_agent weather', '', { 'gen_ai.operation.name': 'invoke_agent', 'mastra.span.type': 'agent_run', 'mastra.agent_run.input': '[{"role":"user","content":"Weather in Ulm?"}]', 'mastra.agent_run.output': '{"text":"Rain.","files":[]}' });
    const chat = s('chat gpt', root.spanId, { 'gen_ai.operation.name': 'chat', 'mastra.span.type': 'model_generation', 'mastra.model_generation.input': '{"messages":[{"role":"system","content":"You know weather."},{"role":"user","content":[{"type":"text","text":"Weather in Ulm?"}]}]}', 'mastra.model_generation.output': '{"text":"Rain.","toolCalls":[]}', 'gen_ai.usage.input_tokens': 7, 'gen_ai.usage.output_tokens': 1, 'gen_ai.usage.reasoning_tokens': 4 });
    const inner = s('model_generation gpt', chat.spanId, { 'gen_ai.operation.name': 'chat', 'mastra.span.type': 'model_generation', 'gen_ai.usage.input_tokens': 7, 'gen_ai.usage.output_tokens': 1 });
    const tool = s('execute_tool weatherTool', chat.spanId, { 'gen_ai.operation.name': 'execute_tool', 'mastra.span.type': 'tool_call', 'gen_ai.tool.name': 'weatherTool', 'gen_ai.tool.call.arguments': '{"city":"Ulm"}' }, { status: 'error', statusMessage: 'no route' });
    expect(brief(conversation([inner, tool, chat, root]))).toEqual(['system: You know weather.', 'user: Weather in Ulm?', 'assistant: Rain.', 'tool weatherTool {"city":"Ulm"} = undefined !no route']);
    expect(usageOf([inner, tool, chat, root])).toMatchObject({ input: 7, output: 1, reasoning: 4 });
  });

  it('puts an agent before the call that started in the same millisecond', () => {
    const root = s('invoke_agent a', '', { 'gen_ai.operation.name': 'invoke_agent', 'gen_ai.system_instructions': '[{"type":"text","content":"Be kind."}]', 'gen_ai.input.messages': '"hi"' }, { start: 5 });
    const chat = s('chat m', root.spanId, { 'gen_ai.operation.name': 'chat', 'gen_ai.input.messages': '"hi"', 'gen_ai.output.messages': '"hello"' }, { start: 5 });
    expect(brief(conversation([chat, root]))).toEqual(['system: Be kind.', 'user: hi', 'assistant: hello']);
  });

  it('ends on parents that go in a circle', () => {
    const a = s('chat m', 'y', { 'gen_ai.operation.name': 'chat', 'gen_ai.input.messages': '"hi"' }, { spanId: 'x', start: 1 });
    const b = s('chat m', 'x', { 'gen_ai.operation.name': 'chat', 'gen_ai.input.messages': '"ho"' }, { spanId: 'y', start: 1 });
    expect(conversation([a, b]).length).toBeLessThanOrEqual(2);
  });

  it('reads workflows', () => {
    const spans = [s('invoke_workflow w', '', { 'mastra.span.type': 'workflow_run', 'mastra.workflow_run.input': '{"a":1}' }), s('workflow_step fetch', 's1', { 'mastra.span.type': 'workflow_step', 'mastra.workflow_step.output': '2' })];
    const steps = conversation(spans);
    expect(brief(steps)).toEqual(['step invoke_workflow w', 'step workflow_step fetch']);
    expect(steps[0]).toMatchObject({ input: { a: 1 } });
  });

  it('reads older forms: indexed attributes, events, OpenAI tool calls', () => {
    expect(brief(conversation([s('openai.chat', '', { 'gen_ai.prompt.0.role': 'user', 'gen_ai.prompt.0.content': 'hi', 'gen_ai.completion.0.role': 'assistant', 'gen_ai.completion.0.content': 'hello' })]))).toEqual(['user: hi', 'assistant: hello']);
    expect(brief(conversation([s('chat', '', { 'gen_ai.operation.name': 'chat' }, { events: [{ name: 'gen_ai.user.message', ms: 0, attributes: { content: 'hi' } }, { name: 'gen_ai.choice', ms: 1, attributes: { message: '{"role":"assistant","content":"hello"}' } }] })]))).toEqual(['user: hi', 'assistant: hello']);
    expect(brief(conversation([s('chat', '', { 'gen_ai.operation.name': 'chat', 'gen_ai.output.messages': '[{"role":"assistant","content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":"{\\"x\\":1}"}}]}]' })]))).toEqual(['assistant:  →f']);
  });

  it('says how a call failed', () => {
    expect(brief(conversation([s('chat m', '', { 'gen_ai.operation.name': 'chat', 'gen_ai.input.messages': '"hi"' }, { status: 'error', statusMessage: 'rate limit' })]))).toEqual(['user: hi', 'error rate limit']);
  });

  it('survives messages of any shape', () => {
    let a = 5;
    const next = (k: number) => (a = (a * 48271) % 2147483647) % k;
    const value = (d: number): unknown => {
      const k = next(d > 3 ? 5 : 9);
      if (k === 0) return null;
      if (k === 1) return next(100);
      if (k === 2) return 'text';
      if (k === 3) return '{"role":"user"}';
      if (k === 4) return true;
      if (k < 7) return Array.from({ length: next(3) }, () => value(d + 1));
      return Object.fromEntries(['role', 'type', 'content', 'parts', 'text', 'messages', 'toolCalls', 'tool_calls', 'id'].filter(() => next(3) === 0).map((key) => [key, key === 'type' ? ['text', 'tool_call', 'tool-result', 'image', 'tool-invocation'][next(5)] : value(d + 1)]));
    };
    for (let i = 0; i < 3000; i++) conversation([s('chat', '', { 'gen_ai.operation.name': 'chat', 'gen_ai.input.messages': JSON.stringify(value(0)), 'gen_ai.output.messages': value(0) as never })]);
  });
});
