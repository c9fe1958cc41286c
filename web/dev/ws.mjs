// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// tailrace.v1 of the mock: subscribe with filter, backfill and resume; batches, gaps. Only what the UI uses.

import { WebSocketServer } from 'ws';

const LEVELS = ['unset', 'trace', 'debug', 'info', 'warn', 'error', 'fatal'];

function matches(r, f) {
  if (f.signals && !f.signals.includes(`${r.signal}s`)) return false;
  if (f.min_severity && r.signal === 'log' && LEVELS.indexOf(r.severity) < LEVELS.indexOf(f.min_severity)) return false;
  const text = () => JSON.stringify([r.body, r.name, r.attributes]).toLowerCase();
  if (f.text && !text().includes(f.text.toLowerCase())) return false;
  if (f.regex && !new RegExp(f.regex.replace('(?i)', ''), 'i').test(text())) return false;
  if (f.service && r.service !== f.service) return false;
  if (f.name && !(r.name ?? '').includes(f.name.replace(/\*/g, ''))) return false;
  if (f.status && r.status !== f.status) return false;
  if (f.min_duration_ms && !((r.durationMs ?? 0) >= f.min_duration_ms)) return false;
  if (f.event_name && r.eventName !== f.event_name) return false;
  for (const [k, v] of Object.entries(f.attributes ?? {})) {
    const have = r.attributes?.[k];
    if (v?.exists ? have === undefined : ![].concat(v).map(String).includes(String(have))) return false;
  }
  return !(f.not && matches(r, f.not));
}

function inChannel(r, channel) {
  if (channel === '*' || channel === 'project:*') return true;
  const [kind, id] = [channel.slice(0, channel.indexOf(':')), channel.slice(channel.indexOf(':') + 1)];
  return kind === 'trace' ? r.traceId === id : r[kind] === id;
}

export function serveTail(server, world) {
  const wss = new WebSocketServer({ noServer: true, handleProtocols: () => 'tailrace.v1' });
  server.on('upgrade', (req, socket, head) => {
    if (new URL(req.url, 'http://x').pathname !== '/ws') return socket.destroy();
    wss.handleUpgrade(req, socket, head, (ws) => connected(ws, world));
  });
  return {
    /** Ends all connections, as a server that goes away does. */
    drop: (code = 4490) => wss.clients.forEach((c) => c.close(code, 'going away')),
    restart() {
      world.epoch = `e${Date.now().toString(36)}`;
      world.seq = 0;
      world.records.forEach((r) => (r.seq = 0));
      wss.clients.forEach((c) => c.terminate());
    },
    close: () => wss.clients.forEach((c) => c.terminate()),
  };
}

function connected(ws, world) {
  const subs = new Map();
  let next = 1;
  const send = (type, payload, id) => ws.send(JSON.stringify(id === undefined ? { type, payload } : { type, payload, id }));
  send('hello', { server: 'mock', version: '0', epoch: world.epoch, ping_interval_ms: 25000, limits: {}, capabilities: [] });
  const feed = (batch) => {
    for (const [sub, s] of subs) {
      const records = batch.filter((r) => inChannel(r, s.channel) && matches(r, s.filter));
      const last = batch.at(-1).seq;
      if (records.length > 0) send('batch', { sub, after: s.last, last, filtered: 0, records });
      else continue;
      s.last = last;
    }
  };
  world.listeners.add(feed);
  ws.on('close', () => world.listeners.delete(feed));
  ws.on('message', (data) => {
    const m = JSON.parse(String(data));
    const p = m.payload;
    if (m.type === 'subscribe') {
      const sub = next++;
      const s = { channel: p.channel, filter: p.filter ?? {}, last: 0 };
      subs.set(sub, s);
      const resumed = p.resume && p.resume.epoch === world.epoch;
      const all = world.records.filter((r) => r.seq > 0 && inChannel(r, s.channel) && matches(r, s.filter));
      const fill = resumed ? all.filter((r) => r.seq > p.resume.seq) : all.slice(-(p.backfill?.records ?? 0) || all.length);
      const after = resumed ? p.resume.seq : 0;
      send('subscribed', { sub, channel: p.channel, epoch: world.epoch, seq: after, recovered: !p.resume || resumed }, m.id);
      s.last = world.seq;
      if (fill.length > 0) send('batch', { sub, after, last: world.seq, filtered: 0, records: p.resume && !resumed ? fill.slice(-5) : fill });
    } else if (m.type === 'unsubscribe') subs.delete(p.sub);
    else if (m.type === 'update' && subs.has(p.sub)) subs.get(p.sub).filter = p.filter ?? {};
    else if (m.type === 'ping') send('pong', {}, m.id);
  });
}
