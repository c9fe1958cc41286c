// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Small parts that all pages share.

import { type QueryKey, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import { ApiError } from '../api/client';
import { jsonBlock } from '../live/draw';
import type { Json } from '../live/protocol';
import { followLink } from '../lib/router';
import { copy } from '../lib/store';
import { Icon } from './Icon';

export function Link({ to, children, className, title, current }: { to: string; children: ReactNode; className?: string; title?: string; current?: boolean }) {
  return (
    <a href={to} className={className} title={title} aria-current={current ? 'page' : undefined} onClick={(e) => followLink(e, to)}>
      {children}
    </a>
  );
}

export function IconButton({ icon, label, onClick, pressed, small, disabled }: { icon: string; label: string; onClick: () => void; pressed?: boolean; small?: boolean; disabled?: boolean }) {
  return (
    <button type="button" className={`btn quiet icon${small ? ' small' : ''}`} aria-label={label} title={label} aria-pressed={pressed} onClick={onClick} disabled={disabled}>
      <Icon name={icon} />
    </button>
  );
}

export function Segmented<T extends string>({ label, value, options, onChange }: { label: string; value: T; options: readonly (readonly [T, string])[]; onChange: (v: T) => void }) {
  return (
    <span className="segmented" role="group" aria-label={label}>
      {options.map(([v, text]) => (
        <button key={v} type="button" aria-pressed={v === value} onClick={() => onChange(v)}>
          {text}
        </button>
      ))}
    </span>
  );
}

export function Snippet({ text, label }: { text: string; label?: string }) {
  return (
    <div className="snippet">
      <pre tabIndex={0} aria-label={label ?? 'Command'}>
        {text}
      </pre>
      <IconButton icon="copy" label="Copy" small onClick={() => void copy(text)} />
    </div>
  );
}

/** What is wrong and what to do about it. */
export function ErrorNote({ error, retry, what }: { error: unknown; retry?: () => void; what?: string }) {
  const e = error instanceof ApiError ? error : undefined;
  const title = e?.title ?? (error instanceof Error ? error.message : String(error));
  return (
    <div className="note error" role="alert">
      <div className="grow stack">
        <span>
          <span className="what">{what ? `${what}: ` : ''}</span>
          {title}
        </span>
        {e?.detail && e.detail !== title && <span className="soft">{e.detail}</span>}
        {e && <span className="soft">{e.advice}</span>}
      </div>
      {retry && (
        <button type="button" className="btn" onClick={retry}>
          <Icon name="refresh" />
          Try again
        </button>
      )}
    </div>
  );
}

/** Progress of a query that takes its time; after two seconds with a way to end it, which ends it in the store too. */
export function Loading({ what, query }: { what: string; query?: QueryKey }) {
  const queries = useQueryClient();
  const [slow, setSlow] = useState(false);
  const [cancelled, setCancelled] = useState(false);
  useEffect(() => {
    const t = setTimeout(() => setSlow(true), 2000);
    return () => clearTimeout(t);
  }, []);
  if (cancelled)
    return (
      <div className="row soft" role="status">
        Cancelled.
        <button type="button" className="btn small" onClick={() => { setCancelled(false); void queries.refetchQueries({ queryKey: query }); }}>
          Ask again
        </button>
      </div>
    );
  return (
    <div className="stack" role="status">
      <div className="progress" />
      <div className="row soft">
        {what} …
        {query && slow && (
          <button type="button" className="btn small" onClick={() => { setCancelled(true); void queries.cancelQueries({ queryKey: query }); }}>
            Cancel
          </button>
        )}
      </div>
    </div>
  );
}

export function JsonTree({ value }: { value: Json }) {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    host.current?.replaceChildren(jsonBlock(value));
  }, [value]);
  return <div ref={host} />;
}

export function Empty({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export const Status = ({ value }: { value: string }) => (
  <span className={`tag ${value === 'error' || value === 'unhealthy' || value === 'failed' ? 'error' : value === 'ok' || value === 'healthy' || value === 'succeeded' || value === 'running' ? 'ok' : value === 'starting' || value === 'stopping' || value === 'orphan' ? 'warn' : ''}`}>{value || 'unset'}</span>
);
