// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Icons as paths on a 16 by 16 grid, drawn with the colour of the text.

const PATHS: Record<string, string> = {
  live: 'M2 8h2.5l1.8-4.5L9.5 12l1.9-4H14',
  servers: 'M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01',
  traces: 'M2 3.5h7M4.5 8h8M7.5 12.5H14',
  metrics: 'M2.5 13.5v-11M2.5 13.5h11M5 10l2.5-3 2 1.5L13 4',
  scores: 'M8 2l1.8 3.8 4.2.5-3.1 2.9.8 4.1L8 11.3l-3.7 2 .8-4.1L2 6.3l4.2-.5z',
  usage: 'M8 2.2v11.6M11 4.6C10.5 3.7 9.4 3.4 8 3.4c-1.8 0-3 .8-3 2.2 0 3.2 6.2 1.5 6.2 4.6 0 1.5-1.4 2.4-3.2 2.4-1.6 0-2.9-.6-3.3-1.8',
  pipeline: 'M2 5h4l4 6h4M2 11h4M10 5h4M12 3l2 2-2 2M12 9l2 2-2 2',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  play: 'M4.5 3l8 5-8 5z',
  down: 'M8 3v9M4 8.5L8 12.5l4-4',
  up: 'M8 13V4M4 7.5L8 3.5l4 4',
  search: 'M7 3a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM10 10l3.5 3.5',
  close: 'M4 4l8 8M12 4l-8 8',
  copy: 'M5.5 5.5h7v8h-7zM3.5 10.5v-8h7',
  link: 'M6.5 9.5l3-3M7 5l1.5-1.5a2.5 2.5 0 0 1 4 4L11 9M9 11l-1.5 1.5a2.5 2.5 0 0 1-4-4L5 7',
  download: 'M8 2.5v7M5 7l3 3 3-3M3 13h10',
  wrap: 'M2.5 4h11M2.5 8h9a2 2 0 0 1 0 4H8M9.5 10.5L8 12l1.5 1.5M2.5 12H5',
  split: 'M2.5 3h11v10h-11zM8 3v10',
  clear: 'M3 4.5h10M6 4.5V3h4v1.5M4.5 4.5l.5 8.5h6l.5-8.5',
  sun: 'M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6zM8 1.5v1.6M8 12.9v1.6M1.5 8h1.6M12.9 8h1.6M3.4 3.4l1.1 1.1M11.5 11.5l1.1 1.1M12.6 3.4l-1.1 1.1M4.5 11.5l-1.1 1.1',
  keys: 'M1.5 4.5h13v7h-13zM4 7h.01M6.5 7h.01M9 7h.01M11.5 7h.01M5 9.5h6',
  out: 'M9.5 3h-6v10h6M7 8h7M11.5 5.5L14 8l-2.5 2.5',
  refresh: 'M13 8a5 5 0 1 1-1.5-3.5M13 2.5v3h-3',
  chat: 'M2.5 3h11v8h-6L4.5 13.5V11h-2z',
  filter: 'M2.5 3.5h11L9.5 8.5v4l-3-1.5V8.5z',
};

export function Icon({ name }: { name: string }) {
  return (
    <svg viewBox="0 0 16 16" width="15" height="15" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" focusable="false">
      <path d={PATHS[name] ?? ''} />
    </svg>
  );
}
