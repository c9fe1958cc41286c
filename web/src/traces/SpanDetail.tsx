// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// One span in full: attributes, events, links, resource, its logs.

import { useState } from 'react';
import type { Span } from '../api/types';
import { dateTime, duration } from '../lib/format';
import { navigate, useQuery, withQuery } from '../lib/router';
import { copy } from '../lib/store';
import { term } from '../live/filter';
import type { Attributes, Json } from '../live/protocol';
import { Icon } from '../ui/Icon';
import { IconButton, JsonTree, Link, Segmented, Status } from '../ui/ui';
import { Value } from '../ui/Value';
import { endOf } from './tree';

type Tab = 'attributes' | 'events' | 'resource' | 'json';

export function SpanDetail({ span, traceStart, now, close }: { span: Span; traceStart: number; now: number; close: () => void }) {
  const [tab, setTab] = useState<Tab>('attributes');
  const [, setQuery] = useQuery();
  const exceptions = span.events.filter((e) => e.name === 'exception');
  return (
    <aside className="drawer span-detail" aria-label="Span">
      <header>
        <Status value={span.end === undefined ? 'in progress' : span.status} />
        <span className="grow ellipsis" title={span.name}>
          {span.name}
        </span>
        <IconButton icon="link" label="Copy a link to this span" onClick={() => void copy(`${location.origin}/traces/${span.traceId}/${span.spanId}`, 'Link copied')} />
        <IconButton icon="close" label="Close (Esc)" onClick={close} />
      </header>
      <div className="body">
        {span.statusMessage && (
          <div className="note error">
            <span className="what">{span.statusMessage}</span>
          </div>
        )}
        <dl className="kv">
          <dt>duration</dt>
          <dd>
            {duration(endOf(span, now) - span.start)} <span className="faint">from +{duration(span.start - traceStart)}</span>
          </dd>
          <dt>start</dt>
          <dd>{dateTime(span.start)}</dd>
          <dt>service</dt>
          <dd>
            {span.service} <span className="faint">{span.kind}</span>
          </dd>
          {span.server && (
            <>
              <dt>server</dt>
              <dd>
                <Link to={withQuery('/live', '', { project: span.project, server: span.server })}>{span.server}</Link>
              </dd>
            </>
          )}
          <dt>span</dt>
          <dd>{span.spanId}</dd>
        </dl>
        <div className="row wrap">
          <button type="button" className="btn small" onClick={() => setQuery({ view: 'logs' })}>
            <Icon name="live" /> Logs of the trace
          </button>
          <button type="button" className="btn small" onClick={() => navigate(withQuery('/traces', '', { project: span.project, q: term('name', span.name) }))}>
            <Icon name="search" /> Others of this name
          </button>
        </div>
        {exceptions.map((e, i) => (
          <Exception key={i} attributes={e.attributes} />
        ))}
        <Segmented
          label="Part"
          value={tab}
          onChange={setTab}
          options={[['attributes', `Attributes ${Object.keys(span.attributes).length}`], ['events', `Events ${span.events.length}${span.links.length > 0 ? ` · Links ${span.links.length}` : ''}`], ['resource', 'Resource'], ['json', 'JSON']]}
        />
        {tab === 'attributes' && <Table attributes={span.attributes} empty="This span has no attributes." />}
        {tab === 'resource' && <Table attributes={span.resource} empty="The resource comes with the span from the store; a live span does not carry it." />}
        {tab === 'json' && <JsonTree value={span as unknown as Json} />}
        {tab === 'events' && (
          <>
            {span.events.length === 0 && span.links.length === 0 && <p className="soft">No events, no links.</p>}
            {span.events.map((e, i) => (
              <section key={i} className="stack">
                <h3>
                  {e.name} <span className="faint num">+{duration(e.ms - span.start)}</span>
                </h3>
                <Table attributes={e.attributes} />
              </section>
            ))}
            {span.links.map((l, i) => (
              <section key={`l${i}`} className="stack">
                <h3>
                  Link to <Link to={`/traces/${encodeURIComponent(l.traceId)}/${encodeURIComponent(l.spanId)}`}>{l.traceId.slice(0, 8)}</Link>
                </h3>
                <Table attributes={l.attributes} />
              </section>
            ))}
          </>
        )}
      </div>
    </aside>
  );
}

function Exception({ attributes: a }: { attributes: Attributes }) {
  const stack = a['exception.stacktrace'];
  return (
    <div className="exception">
      <div>
        <b>{String(a['exception.type'] ?? 'Exception')}</b>: {String(a['exception.message'] ?? '')}
      </div>
      {typeof stack === 'string' && (
        <details>
          <summary>Stack trace</summary>
          <pre tabIndex={0}>{stack}</pre>
        </details>
      )}
    </div>
  );
}

function Table({ attributes, empty }: { attributes: Attributes; empty?: string }) {
  const list = Object.entries(attributes).sort(([a], [b]) => a.localeCompare(b));
  if (list.length === 0) return empty ? <p className="soft">{empty}</p> : null;
  return (
    <dl className="kv">
      {list.map(([k, v]) => (
        <FragmentRow key={k} name={k} value={v} />
      ))}
    </dl>
  );
}

const FragmentRow = ({ name, value }: { name: string; value: Json }) => (
  <>
    <dt className="ellipsis" title={name}>
      {name}
    </dt>
    <dd>
      <Value value={value} />
    </dd>
  </>
);
