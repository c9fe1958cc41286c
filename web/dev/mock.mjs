// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// A stand-in for the collector while one works on the UI: REST and /ws by the contract, seeded data, no store. It also serves the
// built files with the headers of the console, so that the content security policy is tried here already.
//
//   node dev/mock.mjs [--port 4400] [--rate 20] [--history 400]      then: npm run dev, or open the port itself

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { World } from './world.mjs';
import { serveTail } from './ws.mjs';

export const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
// The built UI that the console embeds; `make web` renews it.
const DIST = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'extension', 'consoleextension', 'internal', 'ui', 'dist');

/** Starts the server; resolves with its address, its world and a function that ends it. */
export async function start({ port = 0, rate = 20, history = 400, seed = 7, auth = false } = {}) {
  const world = new World({ seed, history, rate });
  let signedIn = !auth;
  const server = createServer(async (req, res) => {
    const url = new URL(req.url, 'http://x');
    const json = (status, body) => {
      res.writeHead(status, { 'Content-Type': status < 400 ? 'application/json' : 'application/problem+json' });
      res.end(JSON.stringify(body));
    };
    try {
      if (url.pathname.startsWith('/api/v1/')) {
        const path = url.pathname.slice('/api/v1'.length);
        if (path === '/login' && req.method === 'POST') {
          let body = '';
          for await (const chunk of req) body += chunk;
          const { username, password } = JSON.parse(body);
          if (username !== 'ada' || password !== 'lovelace') return json(401, { title: 'Not signed in' });
          signedIn = true;
          return json(200, { subject: 'ada' });
        }
        if (path === '/logout') {
          signedIn = false;
          return json(200, {});
        }
        if (!signedIn) return json(401, { title: 'Not signed in' });
        if (path === '/session') return json(200, auth ? { subject: 'ada', method: 'session', role: 'viewer', projects: ['*'], csrf: 'x', auth: true } : {});
        if (path === '/pipeline/failed/put-back' && req.method === 'POST') {
          let body = '';
          for await (const chunk of req) body += chunk;
          const { file } = JSON.parse(body);
          if (auth && req.headers['x-csrf-token'] !== 'x') return json(403, { title: 'Not allowed', detail: 'csrf' });
          const f = world.failed.find((x) => x.file === file);
          if (!f) return json(404, { title: 'Not found', detail: 'there is no such file in failed/' });
          if (f.kind === 'file') return json(409, { title: 'Not put back', detail: 'all of it was loaded before it came here' });
          world.failed = world.failed.filter((x) => x !== f);
          return json(200, { data: { id: f.id, file } });
        }
        const answer = world.rest(path, url.searchParams);
        return answer ? json(answer.status ?? 200, answer.body) : json(404, { title: 'Not found', detail: `no route ${path}` });
      }
      await file(url.pathname, res);
    } catch (e) {
      json(500, { title: 'The mock failed', detail: String(e?.stack ?? e) });
    }
  });
  const tail = serveTail(server, world);
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  world.start();
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    world,
    tail,
    close: () =>
      new Promise((resolve) => {
        world.stop();
        tail.close();
        server.closeAllConnections();
        server.close(resolve);
      }),
  };
}

async function file(path, res) {
  let name = normalize(path).replace(/^\/+/, '');
  if (name === '' || extname(name) === '') name = 'index.html';
  try {
    const body = await readFile(join(DIST, name));
    res.writeHead(200, { 'Content-Type': TYPES[extname(name)] ?? 'application/octet-stream', 'Content-Security-Policy': CSP, 'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'no-referrer' });
    res.end(body);
  } catch {
    res.writeHead(404).end('not built: npm run build');
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const argument = (name, fallback) => {
    const i = process.argv.indexOf(`--${name}`);
    return i < 0 ? fallback : Number(process.argv[i + 1]);
  };
  const s = await start({ port: argument('port', 4400), rate: argument('rate', 20), history: argument('history', 400), auth: process.argv.includes('--auth') });
  console.log(`mock of the console at ${s.url}`);
}
