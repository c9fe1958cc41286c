// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// A button with a menu below it: arrows move, Enter chooses, Esc closes.

import { useEffect, useRef, useState } from 'react';
import { Icon } from './Icon';

export interface MenuItem {
  label: string;
  detail?: string;
  run: () => void;
}

export function Menu({ icon, label, items }: { icon: string; label: string; items: () => (MenuItem | string)[] }) {
  const [open, setOpen] = useState(false);
  const host = useRef<HTMLSpanElement>(null);
  const all = () => [...(host.current?.querySelectorAll<HTMLElement>('[role=menuitem]') ?? [])];
  const close = () => {
    setOpen(false);
    host.current?.querySelector('button')?.focus();
  };
  useEffect(() => {
    if (!open) return;
    all()[0]?.focus();
    const away = (e: Event) => !host.current?.contains(e.target as Node) && setOpen(false);
    document.addEventListener('pointerdown', away);
    return () => document.removeEventListener('pointerdown', away);
  }, [open]);
  const key = (e: React.KeyboardEvent) => {
    if (!open) return;
    const list = all();
    const at = list.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: list.length - 1 }[e.key];
    if (to !== undefined) list[(to + list.length) % list.length]?.focus();
    else if (e.key === 'Escape') close();
    else return;
    e.preventDefault();
    e.stopPropagation();
  };
  return (
    <span className="menu-host" ref={host} onKeyDown={key}>
      <button type="button" className="btn quiet icon" aria-label={label} title={label} aria-haspopup="menu" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name={icon} />
      </button>
      {open && (
        <div className="menu" role="menu" aria-label={label}>
          {items().map((item) =>
            typeof item === 'string' ? (
              <div key={item} className="menu-head" role="presentation">
                {item}
              </div>
            ) : (
              <button key={item.label} type="button" role="menuitem" tabIndex={-1} onClick={() => { close(); item.run(); }}>
                {item.label}
                {item.detail && <span className="faint"> {item.detail}</span>}
              </button>
            ),
          )}
        </div>
      )}
    </span>
  );
}
