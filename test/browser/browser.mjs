// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Starts Debian's Chromium for the tests, quiet and offline, and watches what a page must never do.

import { chromium } from 'playwright-core';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-extensions'];

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: FLAGS });

/**
 * A page of its own context. `watch.problems` collects errors of scripts, violations of the content security policy, and
 * requests that leave the origin.
 */
export async function open(browser, base, { width = 1440, height = 900, theme = 'dark', settings = {} } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, timezoneId: 'UTC' });
  await context.addInitScript(
    ([t, s]) => {
      localStorage.setItem('tailrace.theme', t);
      for (const [k, v] of Object.entries(s)) localStorage.setItem(`tailrace.${k}`, v);
      document.addEventListener('securitypolicyviolation', (e) => console.error(`CSP: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`));
    },
    [theme, settings],
  );
  // JITTER=800: answers of REST take up to 800 ms longer, each its own time, so that they come in any order.
  if (process.env.JITTER)
    await context.route('**/api/v1/**', async (route) => {
      await new Promise((r) => setTimeout(r, Math.random() * Number(process.env.JITTER)));
      await route.continue().catch(() => {}); // the page has gone meanwhile
    });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000); // a busy machine is no failure
  // SLOW=6: as on a machine that is six times slower, which shows races that are rare on this one.
  if (process.env.SLOW) await (await context.newCDPSession(page)).send('Emulation.setCPUThrottlingRate', { rate: Number(process.env.SLOW) });
  const problems = [];
  page.on('pageerror', (e) => problems.push(`error: ${e.message}`));
  page.on('dialog', (d) => {
    problems.push(`dialog: ${d.message()}`);
    void d.dismiss();
  });
  page.on('console', (m) => m.text().startsWith('CSP:') && problems.push(m.text()));
  page.on('request', (r) => {
    const u = new URL(r.url());
    if (!['blob:', 'data:'].includes(u.protocol) && u.origin !== new URL(base).origin) problems.push(`foreign request: ${r.url()}`);
  });
  return { page, context, problems };
}
