// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The frame of all pages: navigation, keys that work everywhere, messages in passing.

import { type ReactNode, useEffect, useRef, useState } from 'react';
import { post, session } from '../api/client';
import { navigate, useLocation, withQuery } from '../lib/router';
import { stored, toast, useCell } from '../lib/store';
import { Icon } from '../ui/Icon';
import { Link } from '../ui/ui';
import { Help } from './Help';

export const PAGES = [
  { path: '/live', label: 'Live', icon: 'live', key: 'l' },
  { path: '/servers', label: 'Servers', icon: 'servers', key: 's' },
  { path: '/traces', label: 'Traces', icon: 'traces', key: 't' },
  { path: '/metrics', label: 'Metrics', icon: 'metrics', key: 'm' },
  { path: '/scores', label: 'Scores', icon: 'scores', key: 'c' },
  { path: '/usage', label: 'Usage', icon: 'usage', key: 'u' },
  { path: '/pipeline', label: 'Pipeline', icon: 'pipeline', key: 'p' },
] as const;

export const theme = stored<'dark' | 'light'>('theme', document.documentElement.dataset.theme === 'light' ? 'light' : 'dark', ['dark', 'light']);

// What goes along from page to page: the scope, not the page's own state.
const CARRIED = ['project', 'deployment', 'server'];

export function Shell({ children }: { children: ReactNode }) {
  const { path, query } = useLocation();
  const [help, setHelp] = useState(false);
  const mode = useCell(theme);
  const who = useCell(session);
  const carried = Object.fromEntries(CARRIED.map((k) => [k, query.get(k)]));

  useEffect(() => {
    document.documentElement.dataset.theme = mode;
  }, [mode]);
  useGlobalKeys(() => setHelp(true));
  useEffect(() => {
    const page = PAGES.find((p) => path.startsWith(p.path));
    document.title = `${page?.label ?? 'Console'}${query.get('project') ? ` · ${query.get('project')}` : ''} · Tailrace`;
  });

  return (
    <div className="app">
      <a className="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById('main')?.focus(); }}>
        Skip to the page
      </a>
      <nav className="rail" aria-label="Pages">
        <Link to="/live" className="brand" title="Tailrace">
          <img src="/favicon.svg" alt="" />
          <span className="label">Tailrace</span>
        </Link>
        <ul>
          {PAGES.map((p) => (
            <li key={p.path}>
              <Link to={withQuery(p.path, '', carried)} current={path.startsWith(p.path)} title={p.label}>
                <Icon name={p.icon} />
                <span className="label">{p.label}</span>
                <kbd aria-hidden="true">g {p.key}</kbd>
              </Link>
            </li>
          ))}
        </ul>
        <div className="end">
          {who?.auth && <span className="who ellipsis" title={`${who.subject}, ${who.role ?? ''}`}>{who.subject}</span>}
          <button type="button" className="btn quiet" onClick={() => theme.set(mode === 'dark' ? 'light' : 'dark')} title="Dark or light" aria-label={`Switch to the ${mode === 'dark' ? 'light' : 'dark'} theme`}>
            <Icon name="sun" />
            <span className="label">{mode === 'dark' ? 'Light' : 'Dark'}</span>
          </button>
          <button type="button" className="btn quiet" onClick={() => setHelp(true)} title="Keys (?)" aria-label="Keys">
            <Icon name="keys" />
            <span className="label">Keys</span>
          </button>
          {who?.auth && (
            <button type="button" className="btn quiet" onClick={() => void signOut()} aria-label="Sign out">
              <Icon name="out" />
              <span className="label">Sign out</span>
            </button>
          )}
        </div>
      </nav>
      <main className="main" id="main" tabIndex={-1}>
        {children}
      </main>
      {help && <Help close={() => setHelp(false)} />}
      <Toast />
    </div>
  );
}

async function signOut() {
  await post('/logout', {}).catch(() => undefined);
  session.set(null);
}

function Toast() {
  const message = useCell(toast);
  useEffect(() => {
    if (!message) return;
    const t = setTimeout(() => toast.set(null), 2500);
    return () => clearTimeout(t);
  }, [message]);
  return (
    <div role="status" aria-live="polite">
      {message && <div className="toast">{message.text}</div>}
    </div>
  );
}

export const isTyping = (e: KeyboardEvent): boolean => {
  const t = e.target as HTMLElement;
  return t.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(t.tagName);
};

// `g` and a letter goes to a page, `/` to its filter, `?` shows the keys.
function useGlobalKeys(showHelp: () => void) {
  const pending = useRef(0);
  useEffect(() => {
    const on = (e: KeyboardEvent) => {
      if (e.metaKey || e.ctrlKey || e.altKey || isTyping(e)) return;
      const after = Date.now() - pending.current < 1200;
      pending.current = 0;
      const page = after ? PAGES.find((p) => p.key === e.key) : undefined;
      if (page) {
        const q = new URLSearchParams(window.location.search);
        navigate(withQuery(page.path, '', Object.fromEntries(CARRIED.map((k) => [k, q.get(k)]))));
      } else if (e.key === 'g') pending.current = Date.now();
      else if (e.key === '?') showHelp();
      else if (e.key === '/') document.querySelector<HTMLInputElement>('[data-filter]')?.focus();
      else return;
      e.preventDefault();
    };
    document.addEventListener('keydown', on);
    return () => document.removeEventListener('keydown', on);
  }, [showHelp]);
}
