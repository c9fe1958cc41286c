// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// One stream with its filter, chips and tools.

import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import type { Scope } from '../api/types';
import { useQuery } from '../lib/router';
import { copy, useCell } from '../lib/store';
import { count } from '../lib/format';
import { isTyping } from '../shell/Shell';
import { Icon } from '../ui/Icon';
import { Menu } from '../ui/Menu';
import { IconButton, Segmented } from '../ui/ui';
import { downloads } from './download';
import { FilterBar } from './FilterBar';
import { FindBar } from './FindBar';
import { FirstData } from './FirstData';
import { toFilter } from './filter';
import { clock, extras, wrapLines } from './look';
import { Pane } from './pane';
import type { Severity, Signals } from './protocol';
import type { Row } from './row';

const LEVELS: Severity[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];
const SIGNALS: Signals[] = ['logs', 'spans', 'scores', 'metrics'];

export function channelOf(s: Scope, trace?: string): string {
  if (trace) return `trace:${trace}`;
  if (s.server) return `server:${s.server}`;
  if (s.deployment) return `deployment:${s.deployment}`;
  return s.project ? `project:${s.project}` : '*';
}

export function PaneView({ prefix, scope, trace, around, onOpen, signals: fallback = 'logs,spans,scores' }: { prefix: string; scope: Scope; trace?: string; around?: string; onOpen: (row: Row) => void; signals?: string }) {
  const [query, setQuery] = useQuery();
  const host = useRef<HTMLDivElement>(null);
  const [pane, setPane] = useState<Pane>();
  const [finding, setFinding] = useState(false);
  const text = query.get(`${prefix}q`) ?? '';
  const hide = query.get(`${prefix}hide`) ?? '';
  const signals = query.get(`${prefix}signals`) ?? fallback;
  const time = useCell(clock);
  const wrap = useCell(wrapLines) === 'on';
  const more = useCell(extras) === 'on';
  const look = useMemo(() => ({ clock: time, wrap, extras: more, sources: !scope.server }), [time, wrap, more, scope.server]);
  const openRef = useRef(onOpen);
  openRef.current = onOpen;

  useEffect(() => {
    const p = new Pane(host.current!, look, (row) => openRef.current(row));
    setPane(p);
    return () => p.destroy();
    // The look is set below; a pane lives as long as its element.
    // eslint-disable-next-line
  }, []);
  useEffect(() => pane?.view.setLook(look), [pane, look]);
  // Seconds pass: relative times are drawn again.
  useEffect(() => {
    if (time !== 'relative' || !pane) return;
    const t = setInterval(() => pane.view.setLook({ ...look }), 5000);
    return () => clearInterval(t);
  }, [pane, look, time]);
  useEffect(() => {
    if (!pane) return;
    if (around) {
      void pane.context(around);
      return;
    }
    const filter = toFilter(text);
    filter.signals ??= SIGNALS.filter((s) => signals.split(',').includes(s));
    pane.stream(channelOf(scope, trace), { scope, trace, filter });
    // eslint-disable-next-line
  }, [pane, scope.project, scope.deployment, scope.server, trace, around, text, signals]);
  useEffect(() => pane?.hide(hide.split(',').filter(Boolean)), [pane, hide, text, signals, around]);

  const known = useMemo(
    () => ({
      attributes: () => [...(pane?.seen.attributes.keys() ?? [])].sort(),
      values: (key: string) => {
        if (!pane) return [];
        if (key.startsWith('@')) return [...(pane.seen.attributes.get(key.slice(1)) ?? [])].sort();
        return [...(key === 'service' ? pane.seen.services : key === 'name' ? pane.seen.names : key === 'event' ? pane.seen.events : [])].sort();
      },
    }),
    [pane],
  );
  const setText = useCallback((v: string) => setQuery({ [`${prefix}q`]: v }, { replace: true }), [prefix, setQuery]);

  useEffect(() => {
    const on = (e: KeyboardEvent) => {
      if ((e.ctrlKey || e.metaKey) && e.key === 'f' && prefix === '') {
        // A second press within the find bar is the browser's own.
        if ((e.target as HTMLElement).closest('.find-bar')) return;
        setFinding(true);
        e.preventDefault();
      } else if (!isTyping(e) && !e.ctrlKey && !e.metaKey && !e.altKey && prefix === '') {
        if (e.key === 'f') pane?.view.setFollowing(!pane.view.following);
        else if (e.key === 'w') wrapLines.set(wrapLines.get() === 'on' ? 'off' : 'on');
      }
    };
    document.addEventListener('keydown', on);
    return () => document.removeEventListener('keydown', on);
  }, [pane, prefix]);

  const toggle = (list: string, item: string) => (list.split(',').includes(item) ? list.split(',').filter((x) => x !== item) : [...list.split(',').filter(Boolean), item]).join(',');

  return (
    <section className="pane" aria-label={prefix === '' ? 'Stream' : 'Second stream'}>
      <div className="pane-tools">
        {around ? (
          <div className="row grow">
            <span className="tag info">around one line, from the store</span>
            <button type="button" className="btn small" onClick={() => setQuery({ around: null })}>
              <Icon name="live" /> Back to live
            </button>
          </div>
        ) : (
          <FilterBar value={text} onChange={setText} known={known} primary={prefix === ''} />
        )}
        <div className="row wrap chips">
          <span className="segmented" role="group" aria-label="Signals">
            {SIGNALS.map((name) => (
              <button key={name} type="button" aria-pressed={signals.split(',').includes(name)} onClick={() => setQuery({ [`${prefix}signals`]: toggle(signals, name) === fallback ? null : toggle(signals, name) })}>
                {name}
              </button>
            ))}
          </span>
          {pane && <Levels pane={pane} hide={hide} onToggle={(l) => setQuery({ [`${prefix}hide`]: toggle(hide, l) })} />}
          <span className="grow" />
          {prefix === '' && <Segmented label="Times" value={time} onChange={(v) => clock.set(v)} options={[['local', 'local'], ['utc', 'UTC'], ['relative', 'ago']]} />}
          <IconButton icon="wrap" label="Wrap lines (w)" pressed={wrap} onClick={() => wrapLines.set(wrap ? 'off' : 'on')} />
          <IconButton icon="filter" label="Attributes at the end of lines" pressed={more} onClick={() => extras.set(more ? 'off' : 'on')} />
          <IconButton icon="search" label="Find (Ctrl F)" pressed={finding} onClick={() => setFinding(!finding)} />
          <Menu icon="download" label="Download" items={() => (pane ? downloads(pane) : [])} />
          <IconButton icon="clear" label="Clear the view" onClick={() => pane && pane.view.clear()} />
        </div>
        {finding && pane && <FindBar finder={pane.view.finder} close={() => { pane.view.finder.clear(); setFinding(false); host.current?.focus(); }} />}
      </div>
      <div className="log-wrap">
        <div ref={host} className="log" role="list" tabIndex={0} aria-label="Lines, newest last" />
        {pane && <Overlay pane={pane} scope={scope} filtered={text !== ''} around={around !== undefined} />}
      </div>
      {pane && <Foot pane={pane} live={!around} />}
    </section>
  );
}

function Levels({ pane, hide, onToggle }: { pane: Pane; hide: string; onToggle: (level: string) => void }) {
  const { levels } = useCell(pane.state);
  const hidden = new Set(hide.split(','));
  return (
    <span className="level-chips" role="group" aria-label="Levels">
      {LEVELS.filter((l) => (levels[l] ?? 0) > 0 || hidden.has(l) || ['info', 'warn', 'error'].includes(l)).map((l) => (
        <button key={l} type="button" className={`level-chip l-${l}`} aria-pressed={!hidden.has(l)} onClick={() => onToggle(l)} title={`${hidden.has(l) ? 'Show' : 'Hide'} ${l}`}>
          {l} <span className="num">{count(levels[l] ?? 0)}</span>
        </button>
      ))}
    </span>
  );
}

function Overlay({ pane, scope, filtered, around }: { pane: Pane; scope: Scope; filtered: boolean; around: boolean }) {
  const s = useCell(pane.state);
  return (
    <>
      {s.older !== 'idle' && s.older !== 'end' && !s.following && (
        <div className="log-top" role="status">
          {s.older === 'loading' ? (
            <>
              <span className="progress" /> Loading older lines from the store …
            </>
          ) : (
            <>
              Older lines can't be loaded: {s.older}
              <button type="button" className="btn small" onClick={() => pane.retryOlder()}>
                Try again
              </button>
            </>
          )}
        </div>
      )}
      {s.problem && (
        <div className="log-problem note error" role="alert">
          <span className="what">{s.problem}</span>
        </div>
      )}
      {s.ready && s.received === 0 && !around && !s.problem && <FirstData scope={scope} filtered={filtered} />}
      {!s.following && !around && s.received > 0 && (
        <button type="button" className="btn primary jump" onClick={() => pane.view.setFollowing(true)}>
          <Icon name="down" />
          {s.behind > 0 ? `${count(s.behind)} new` : 'Newest'}
        </button>
      )}
      {s.selected > 0 && (
        <div className="selection-bar" role="toolbar" aria-label="Selected lines">
          <span>
            {s.selected} {s.selected === 1 ? 'line' : 'lines'}
          </span>
          <button type="button" className="btn small" onClick={() => void copy((pane.view.selectedRows() ?? []).map((r) => r.text).join('\n'))}>
            <Icon name="copy" /> Copy
          </button>
          <IconButton icon="close" label="Clear the selection" small onClick={() => pane.view.clearSelection()} />
        </div>
      )}
    </>
  );
}

function Foot({ pane, live }: { pane: Pane; live: boolean }) {
  const s = useCell(pane.state);
  return (
    <footer className="pane-foot">
      {live && (
        <button type="button" className="btn quiet small" aria-pressed={s.following} onClick={() => pane.view.setFollowing(!s.following)} title="Follow the newest line (f)">
          <Icon name={s.following ? 'pause' : 'play'} />
          {s.following ? 'Following' : 'Paused'}
        </button>
      )}
      <span className="num">{count(s.received)} received</span>
      {live && <span className="num faint">{s.perSecond}/s</span>}
      {s.dropped > 0 && <span className="tag warn">{count(s.dropped)} dropped, marked in place</span>}
    </footer>
  );
}
