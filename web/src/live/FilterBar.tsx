// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The filter of a stream: text with terms, completed from what was seen, evaluated on the server.

import { useEffect, useId, useMemo, useRef, useState } from 'react';
import { IconButton } from '../ui/ui';
import { complete, tokens } from './filter';

export interface Known {
  values: (key: string) => string[];
  attributes: () => string[];
}

export function FilterBar({ value, onChange, known, placeholder, primary }: { value: string; onChange: (v: string) => void; known: Known; placeholder?: string; primary?: boolean }) {
  const [text, setText] = useState(value);
  const [cursor, setCursor] = useState(0);
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const list = useId();
  useEffect(() => setText(value), [value]);

  const options = useMemo(() => (open ? complete(text, cursor, known) : []), [open, text, cursor, known]);
  const problems = useMemo(() => tokens(text).filter((t) => t.problem), [text]);

  // Typing asks the server when it pauses; Enter at once.
  useEffect(() => {
    if (text === value) return;
    const t = setTimeout(() => onChange(text.trim()), 450);
    return () => clearTimeout(t);
  }, [text, value, onChange]);

  const take = (i: number) => {
    const o = options[i];
    if (!o) return;
    const unfinished = o.text.endsWith(':') || o.text.endsWith('=') || o.text.endsWith('@');
    const next = text.slice(0, o.from) + o.text + (unfinished ? '' : ' ') + text.slice(o.to).replace(/^ /, '');
    const at = o.from + o.text.length + (unfinished ? 0 : 1);
    setText(next);
    setCursor(at);
    setActive(-1);
    requestAnimationFrame(() => {
      input.current?.focus();
      input.current?.setSelectionRange(at, at);
    });
  };

  const key = (e: React.KeyboardEvent) => {
    if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
      if (options.length === 0) return setOpen(true);
      setActive((active + (e.key === 'ArrowDown' ? 1 : options.length + (active < 0 ? 0 : -1))) % options.length);
    } else if (e.key === 'Enter' || e.key === 'Tab') {
      if (active >= 0 && open) take(active);
      else if (e.key === 'Enter') {
        setOpen(false);
        onChange(text.trim());
      } else return;
    } else if (e.key === 'Escape') {
      if (open && options.length > 0) setOpen(false);
      else input.current?.blur();
    } else return;
    e.preventDefault();
  };

  return (
    <div className="filter-bar">
      <input
        ref={input}
        className="input mono"
        {...(primary ? { 'data-filter': '' } : {})}
        value={text}
        placeholder={placeholder ?? 'Filter: text, level:warn, service:web, @attribute=value, /regex/, -not'}
        role="combobox"
        aria-label="Filter"
        aria-expanded={open && options.length > 0}
        aria-controls={list}
        aria-autocomplete="list"
        aria-activedescendant={active >= 0 ? `${list}-${active}` : undefined}
        aria-invalid={problems.length > 0}
        spellCheck={false}
        autoComplete="off"
        autoCapitalize="off"
        onChange={(e) => {
          setText(e.target.value);
          setCursor(e.target.selectionStart ?? e.target.value.length);
          setOpen(true);
          setActive(-1);
        }}
        onSelect={(e) => setCursor(e.currentTarget.selectionStart ?? 0)}
        onFocus={() => setOpen(true)}
        onBlur={() => setOpen(false)}
        onKeyDown={key}
      />
      {text !== '' && <IconButton icon="close" label="Clear the filter" small onClick={() => { setText(''); onChange(''); }} />}
      <ul id={list} role="listbox" aria-label="Completions" className="completions" hidden={!open || options.length === 0}>
        {options.map((o, i) => (
          <li key={o.text} id={`${list}-${i}`} role="option" aria-selected={i === active} onPointerDown={(e) => { e.preventDefault(); take(i); }}>
            <span className="mono">{o.text}</span>
            <span className="faint">{o.hint}</span>
          </li>
        ))}
      </ul>
      {problems.length > 0 && (
        <div className="filter-problem" role="alert">
          {problems.map((p) => `${text.slice(p.start, p.end)}: ${p.problem}`).join(' · ')}
        </div>
      )}
    </div>
  );
}
