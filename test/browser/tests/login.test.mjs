// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Signing in and out against the built product with config/team.yaml and its rules: what each sees, and how a session ends.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { launch, open } from '../browser.mjs';
import { ROOT, sendLogs, sendSpans, start, until } from '../stack.mjs';

const run = promisify(execFile);
const sha = (password) => `{SHA}${createHash('sha1').update(password).digest('base64')}`;

describe('login', () => {
  let stack;
  let browser;
  let operator;
  const tailctl = async (...args) => (await run(join(ROOT, '_build', 'tailctl'), ['token', ...args, '--file', join(stack.data, 'tokens.json')])).stdout;
  const token = async (...args) => /tlr_\S+/.exec(await tailctl('create', ...args))[0];

  before(async () => {
    stack = await start({
      config: 'config/team.yaml',
      prepare: async (data) => {
        // By the rules of the example ada operates everything, and everybody else reads shop and shop-*.
        await writeFile(join(data, 'htpasswd'), `ada:${sha('lovelace')}\nbob:${sha('builder')}\n`, { mode: 0o600 });
        await copyFile(join(ROOT, 'config', 'rules', 'team.yaml'), join(data, 'rules.yaml'));
      },
    });
    browser = await launch();
    for (const project of ['shop', 'secret']) {
      await sendLogs(stack.otlp, [{ body: `a line of ${project}` }], { 'project.id': project, 'server.id': `${project}-1` });
      await sendSpans(stack.otlp, [{ traceId: createHash('md5').update(project).digest('hex'), spanId: 'ab'.repeat(8), name: `work of ${project}` }], { 'project.id': project, 'server.id': `${project}-1` });
    }
    operator = await token('test', '--project', '*', '--role', 'operator');
    await until('both projects are in the store', async () => {
      const seen = (await stack.get('/traces?limit=10', operator)).data.map((t) => t.project);
      return seen.includes('shop') && seen.includes('secret');
    });
  });
  after(async () => {
    await browser?.close();
    await stack?.stop();
  });

  async function visit(path = '/live') {
    const o = await open(browser, stack.base);
    await o.page.goto(`${stack.base}${path}`);
    await o.page.getByRole('heading', { name: 'Sign in to Tailrace' }).waitFor();
    return o;
  }
  async function signIn(page, name, password) {
    await page.getByLabel('Name').fill(name);
    await page.getByLabel('Password', { exact: true }).fill(password);
    await page.getByRole('button', { name: 'Sign in' }).click();
  }
  async function withToken(page, value) {
    await page.getByRole('button', { name: 'API token' }).click();
    await page.getByLabel('Token').fill(value);
    await page.keyboard.press('Enter');
  }
  const projects = (page) => page.getByRole('combobox', { name: 'Project' }).locator('option').allTextContents();

  it('shows nothing before, says what is wrong, and comes back to where one wanted to go', async () => {
    const { page, context, problems } = await visit('/traces?q=work');
    assert.equal(await page.getByText('work of').count(), 0);
    await signIn(page, 'bob', 'wrong');
    await page.getByRole('alert').getByText('Name or password is wrong').waitFor();
    await page.getByLabel('Password', { exact: true }).fill('builder');
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: 'work of shop' }).waitFor();
    assert.match(page.url(), /\/traces\?q=work$/);
    await page.getByTitle('bob, viewer').waitFor();
    assert.deepEqual(problems, []);
    await context.close();
  });

  it('a viewer sees the projects of his rules, stored and live, and no others', async () => {
    const { page, context, problems } = await visit();
    await signIn(page, 'bob', 'builder');
    await page.locator('.lr', { hasText: 'a line of shop' }).waitFor();
    await sendLogs(stack.otlp, [{ body: 'another line of secret' }], { 'project.id': 'secret' });
    await sendLogs(stack.otlp, [{ body: 'another line of shop' }], { 'project.id': 'shop' });
    await page.locator('.lr', { hasText: 'another line of shop' }).waitFor();
    assert.equal(await page.locator('.lr', { hasText: 'secret' }).count(), 0, 'live');
    await until('shop in the list', async () => (await projects(page)).includes('shop'));
    assert.deepEqual(await projects(page), ['All projects', 'shop']);
    await page.goto(`${stack.base}/traces`);
    await page.locator('[data-trace]', { hasText: 'work of shop' }).waitFor();
    assert.equal(await page.locator('[data-trace]').count(), 1);
    // Who knows the address of a trace of another project learns nothing, who names the project is told.
    await page.goto(`${stack.base}/traces/${createHash('md5').update('secret').digest('hex')}`);
    await page.getByText('No span of this trace is here').waitFor();
    await page.goto(`${stack.base}/traces?project=secret`);
    await page.getByRole('alert').getByText('Your rules do not include this').first().waitFor();
    await page.goto(`${stack.base}/live?project=secret`);
    await sendLogs(stack.otlp, [{ body: 'a third line of secret' }], { 'project.id': 'secret' });
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
    await page.waitForTimeout(500);
    assert.equal(await page.locator('.lr', { hasText: 'line of secret' }).count(), 0, 'by the name of the project');
    assert.deepEqual(problems, []);
    await context.close();
  });

  it('an operator sees all, the audit too, where the wrong password stands', async () => {
    const { page, context, problems } = await visit();
    await signIn(page, 'ada', 'lovelace');
    await page.getByTitle('ada, operator').waitFor();
    await page.locator('.lr', { hasText: 'a line of secret' }).first().waitFor();
    await page.locator('.lr', { hasText: 'a line of shop' }).first().waitFor();
    await until('the audit is in the list', async () => (await projects(page)).includes('tailrace-audit'));
    await page.goto(`${stack.base}/live?project=tailrace-audit`);
    await page.locator('.lr.l-warn', { hasText: 'bob' }).first().waitFor();
    assert.deepEqual(problems, []);
    await context.close();
  });

  it('signing out ends it, in the page and for the cookie', async () => {
    const { page, context } = await visit();
    await signIn(page, 'bob', 'builder');
    await page.locator('.lr').first().waitFor();
    const cookies = await context.cookies();
    assert.deepEqual(cookies.map((c) => [c.httpOnly, c.sameSite]), [[true, 'Strict']]);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in to Tailrace' }).waitFor();
    await context.addCookies(cookies);
    assert.equal((await context.request.get(`${stack.base}/api/v1/session`)).status(), 401, 'the old cookie');
    await page.reload();
    await page.getByRole('heading', { name: 'Sign in to Tailrace' }).waitFor();
    await context.close();
  });

  it('a session that expires shows the login at once, and goes on where it was', async () => {
    const { page, context } = await visit('/live?project=shop&signals=logs');
    await withToken(page, await token('short', '--project', 'shop', '--expires', '8s'));
    await page.locator('.lr', { hasText: 'a line of shop' }).first().waitFor();
    // Nothing is clicked: the page only listens.
    await page.getByRole('heading', { name: 'Sign in to Tailrace' }).waitFor({ timeout: 30_000 });
    assert.equal(await page.locator('.lr').count(), 0, 'nothing is left on the page');
    await signIn(page, 'bob', 'builder');
    await page.locator('.lr', { hasText: 'a line of shop' }).first().waitFor();
    assert.match(page.url(), /project=shop&signals=logs$/);
    await context.close();
  });

  it('a session outlives a restart of the collector', async () => {
    const { page, context } = await visit('/traces');
    await signIn(page, 'ada', 'lovelace');
    await page.locator('[data-trace]').first().waitFor();
    await stack.down();
    await stack.up();
    await page.reload();
    await page.locator('[data-trace]').first().waitFor();
    assert.equal(await page.getByRole('heading', { name: 'Sign in to Tailrace' }).count(), 0);
    await context.close();
  });
});
