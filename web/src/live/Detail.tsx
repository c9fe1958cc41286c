// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// One record in full, and where to go from it.

import { useState } from 'react';
import { ago, dateTime, duration } from '../lib/format';
import { navigate, useQuery, withQuery } from '../lib/router';
import { copy } from '../lib/store';
import { Icon } from '../ui/Icon';
import { IconButton, JsonTree, Link, Segmented } from '../ui/ui';
import { Value } from '../ui/Value';
import { term } from './filter';
import type { Json, TailRecord } from './protocol';
import { asText, levelOf, message, timeOf } from './row';

export function Detail({ record, close }: { record: TailRecord; close: () => void }) {
  const [q, set] = useQuery();
  const [tab, setTab] = useState<'fields' | 'json'>('fields');
  const ms = timeOf(record);
  const attributes = Object.entries(record.attributes ?? {}).sort(([a], [b]) => a.localeCompare(b));
  const filterBy = (key: string, value: string, negated: boolean) => {
    const t = term(key, value, negated);
    const text = q.get('q') ?? '';
    if (!text.split(' ').includes(t)) set({ q: `${text} ${t}`.trim(), around: null });
  };
  const permalink = record.uid ? withQuery('/live', '', { project: record.project, around: record.uid }) : undefined;
  return (
    <aside className="drawer live-detail" aria-label="Record">
      <header>
        <span className={`tag l-${levelOf(record)}`}>{record.signal === 'log' ? levelOf(record) : record.signal}</span>
        <span className="grow ellipsis mono" title={message(record)}>
          {message(record).split('\n')[0]}
        </span>
        <IconButton icon="close" label="Close (Esc)" onClick={close} />
      </header>
      <div className="body">
        <div className="row wrap">
          {record.traceId && (
            <Link className="btn" to={`/traces/${record.traceId}${record.spanId ? `/${record.spanId}` : ''}`}>
              <Icon name="traces" /> Trace
            </Link>
          )}
          {record.traceId && (
            <button type="button" className="btn" onClick={() => navigate(withQuery('/live', '', { trace: record.traceId }))}>
              <Icon name="filter" /> Only this trace
            </button>
          )}
          {permalink && (
            <Link className="btn" to={permalink}>
              <Icon name="search" /> Context
            </Link>
          )}
          {permalink && (
            <button type="button" className="btn" onClick={() => void copy(location.origin + permalink, 'Link copied')}>
              <Icon name="link" /> Copy link
            </button>
          )}
          <button type="button" className="btn" onClick={() => void copy(message(record))}>
            <Icon name="copy" /> Copy text
          </button>
        </div>
        <Segmented label="Form" value={tab} onChange={setTab} options={[['fields', 'Fields'], ['json', 'JSON']]} />
        {tab === 'json' ? (
          <JsonTree value={record as unknown as Json} />
        ) : (
          <>
            <Message record={record} />
            <dl className="kv">
              <dt>time</dt>
              <dd>
                {dateTime(ms, 'local')} <span className="faint">({ago(ms)})</span>
                {'\n'}
                {dateTime(ms, 'utc')} UTC
              </dd>
              {record.durationMs !== undefined && (
                <>
                  <dt>duration</dt>
                  <dd>{duration(record.durationMs)}</dd>
                </>
              )}
              {(['project', 'deployment', 'server', 'build'] as const).map((k) =>
                record[k] ? (
                  <Field key={k} name={k}>
                    {k === 'build' ? record[k] : <Link to={withQuery('/live', '', { project: record.project, ...(k === 'project' ? {} : { [k]: record[k] }) })}>{record[k]}</Link>}
                  </Field>
                ) : null,
              )}
              {record.service && (
                <Field name="service" onFilter={(n) => filterBy('service', record.service!, n)}>
                  {record.service}
                </Field>
              )}
              {record.eventName && (
                <Field name="event" onFilter={(n) => filterBy('event', record.eventName!, n)}>
                  {record.eventName}
                </Field>
              )}
              {record.kind && <Field name="kind">{record.kind}</Field>}
              {record.statusMessage && <Field name="status">{record.statusMessage}</Field>}
              {record.traceId && <Field name="trace">{record.traceId}</Field>}
              {record.spanId && <Field name="span">{record.spanId}</Field>}
              {record.uid && <Field name="uid">{record.uid}</Field>}
              {record.truncated && <Field name="note">cut for the live view; the store has it whole</Field>}
            </dl>
            {attributes.length > 0 && (
              <>
                <h3>Attributes</h3>
                <dl className="kv">
                  {attributes.map(([k, v]) => (
                    <Field key={k} name={k} onFilter={typeof v === 'object' || asText(v).length > 120 ? undefined : (n) => filterBy(`@${k}`, asText(v), n)}>
                      <Value value={v} />
                    </Field>
                  ))}
                </dl>
              </>
            )}
          </>
        )}
      </div>
    </aside>
  );
}

function Message({ record }: { record: TailRecord }) {
  if (typeof record.body === 'object' && record.body !== null) return <JsonTree value={record.body} />;
  return <pre className="detail-message">{message(record)}</pre>;
}

function Field({ name, children, onFilter }: { name: string; children: React.ReactNode; onFilter?: (negated: boolean) => void }) {
  return (
    <>
      <dt className="ellipsis" title={name}>
        {name}
      </dt>
      <dd className="field-value">
        <span className="grow">{children}</span>
        {onFilter && (
          <span className="field-filter">
            <button type="button" className="btn quiet small" title={`Only lines with this ${name}`} aria-label={`Only lines with this ${name}`} onClick={() => onFilter(false)}>
              +
            </button>
            <button type="button" className="btn quiet small" title={`No lines with this ${name}`} aria-label={`No lines with this ${name}`} onClick={() => onFilter(true)}>
              −
            </button>
          </span>
        )}
      </dd>
    </>
  );
}
