// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// What was said and done in an agent run, as one reads a chat.

import { useMemo } from 'react';
import type { Span } from '../api/types';
import { count, duration, money } from '../lib/format';
import type { Json } from '../live/protocol';
import { Icon } from '../ui/Icon';
import { JsonTree } from '../ui/ui';
import { conversation, type Entry, type Message, type Usage } from './conversation';

const ROLES = { system: 'System', user: 'User', assistant: 'Assistant', tool: 'Tool' } as const;

export function ConversationView({ spans, onSelect }: { spans: Span[]; onSelect: (id: string) => void }) {
  const entries = useMemo(() => conversation(spans), [spans]);
  return (
    <div className="page">
      <ol className="chat" aria-label="Conversation">
        {entries.map((e, i) => (
          <EntryView key={i} entry={e} onSelect={onSelect} />
        ))}
        {entries.length === 0 && (
          <li className="soft">
            These spans carry no messages. Instrumentations leave content out unless it is switched on: for OpenTelemetry's, set <code>OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true</code>.
          </li>
        )}
      </ol>
    </div>
  );
}

function EntryView({ entry: e, onSelect }: { entry: Entry; onSelect: (id: string) => void }) {
  switch (e.kind) {
    case 'message':
      return <MessageView message={e.message} usage={e.usage} span={e.span} onSelect={onSelect} />;
    case 'tool':
      return (
        <li className={`chat-entry tool${e.error ? ' failed' : ''}`}>
          <header>
            <span className="who">
              <Icon name="pipeline" /> {e.call.name}
            </span>
            {e.span && <SpanLink span={e.span} onSelect={onSelect} />}
            {e.error && <span className="tag error">failed</span>}
          </header>
          <div className="tool-parts">
            {e.call.args !== undefined && <Part title="Arguments" value={e.call.args} />}
            {e.call.result !== undefined && <Part title="Result" value={e.call.result} />}
            {e.error && <div className="bad">{e.error}</div>}
          </div>
        </li>
      );
    case 'step':
      return (
        <li className={`chat-entry step${e.span.status === 'error' ? ' failed' : ''}`}>
          <header>
            <span className="who">{e.span.name}</span>
            <SpanLink span={e.span} onSelect={onSelect} />
          </header>
          {(e.input !== undefined || e.output !== undefined) && (
            <div className="tool-parts">
              {e.input !== undefined && <Part title="Input" value={e.input} />}
              {e.output !== undefined && <Part title="Output" value={e.output} />}
            </div>
          )}
        </li>
      );
    case 'error':
      return (
        <li className="chat-entry failed">
          <header>
            <span className="who bad">The model call failed</span>
            <SpanLink span={e.span} onSelect={onSelect} />
          </header>
          <div className="chat-text bad">{e.text}</div>
        </li>
      );
  }
}

function MessageView({ message: m, usage, span, onSelect }: { message: Message; usage?: Usage; span: Span; onSelect: (id: string) => void }) {
  const long = m.role === 'system' && m.text.length > 300;
  const text = <div className="chat-text">{m.text}</div>;
  return (
    <li className={`chat-entry ${m.role}`}>
      <header>
        <span className="who">{ROLES[m.role]}</span>
        {usage?.model && <span className="tag">{usage.model}</span>}
        {usage && usage.input + usage.output > 0 && (
          <span className="faint num">
            {count(usage.input)} → {count(usage.output)} tokens
            {usage.cached > 0 && `, ${count(usage.cached)} cached`}
            {usage.reasoning > 0 && `, ${count(usage.reasoning)} reasoning`}
            {usage.cost > 0 && ` · ${money(usage.cost)}`}
          </span>
        )}
        {usage && <SpanLink span={span} onSelect={onSelect} />}
      </header>
      {m.reasoning && (
        <details className="reasoning">
          <summary>Reasoning</summary>
          <div className="chat-text soft">{m.reasoning}</div>
        </details>
      )}
      {m.text &&
        (long ? (
          <details>
            <summary>{m.text.slice(0, 160)}…</summary>
            {text}
          </details>
        ) : (
          text
        ))}
      {m.calls.map((c, i) => (
        <div key={i} className="call mono">
          → {c.name}({c.args === undefined ? '' : short(c.args)})
        </div>
      ))}
      {m.other.length > 0 && <div className="faint">with {m.other.join(', ')}</div>}
    </li>
  );
}

const short = (v: Json) => {
  const t = typeof v === 'string' ? v : JSON.stringify(v);
  return t.length > 200 ? `${t.slice(0, 200)}…` : t;
};

function Part({ title, value }: { title: string; value: Json }) {
  return (
    <div>
      <h3>{title}</h3>
      {typeof value === 'object' && value !== null ? <JsonTree value={value} /> : <div className="chat-text mono">{String(value)}</div>}
    </div>
  );
}

const SpanLink = ({ span, onSelect }: { span: Span; onSelect: (id: string) => void }) => (
  <button type="button" className="btn quiet small num" title="Show this span" onClick={() => onSelect(span.spanId)}>
    {span.end === undefined ? 'running' : duration(span.end - span.start)}
  </button>
);
