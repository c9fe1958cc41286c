// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// What was set aside in failed/, and putting it back: against the product, where a mended file has to arrive once, and against the mock, for answers
// that the product gives only in rare cases.

import assert from 'node:assert/strict';
import { mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { start as startMock } from '../../../web/dev/mock.mjs';
import { launch, open } from '../browser.mjs';
import { start, until } from '../stack.mjs';

const line = (body) => JSON.stringify({ resourceLogs: [{ resource: { attributes: [{ key: 'project.id', value: { stringValue: 'broken' } }] }, scopeLogs: [{ scope: {}, logRecords: [{ timeUnixNano: `${Date.now()}000000`, body: { stringValue: body } }] }] }] });

describe('failed files', () => {
  let browser;
  before(async () => {
    browser = await launch();
  });
  after(() => browser?.close());

  it('are listed with their reason, put back, and arrive once', async () => {
    const stack = await start();
    try {
      const { page, context, problems } = await open(browser, stack.base);
      await page.goto(`${stack.base}/pipeline`);
      const panel = page.getByRole('region', { name: 'Failed' });
      await panel.getByText('Nothing.').waitFor();

      const folder = join(stack.data, 'jsonl', 'logs', 'broken');
      await mkdir(folder, { recursive: true });
      const name = '20261125T080000.000Z_00000000-0000-7000-8000-000000000001';
      await writeFile(join(folder, `${name}.jsonl.open`), `${line('the good one')}\nthis is no JSON\n`);
      await rename(join(folder, `${name}.jsonl.open`), join(folder, `${name}.jsonl`));
      const row = panel.getByRole('row', { name: /broken/ });
      await row.getByText('unreadable', { exact: true }).waitFor({ timeout: 60_000 });
      await row.getByText('unreadable', { exact: true }).click();
      await row.getByText(/line 1, bytes \d+–\d+/).waitFor();
      const failed = (await stack.get('/pipeline/failed?project=broken')).data;
      assert.equal(failed.length, 1);
      assert.equal(failed[0].reasons[0].class, 'unreadable');

      // Mended by hand, put back by a click.
      await writeFile(join(folder, 'failed', `${name}+0.jsonl`), `${line('the mended one')}\n`);
      await row.getByRole('button', { name: 'Put back' }).click();
      await row.getByRole('button', { name: 'Leave it' }).click();
      await row.getByRole('button', { name: 'Put back' }).click();
      await row.getByRole('button', { name: 'Load it again' }).click();
      await panel.getByRole('status').getByText(/is put back, and will be loaded/).waitFor();
      await panel.getByText('Nothing.').waitFor();
      await until('the mended line is stored', async () => (await stack.get('/logs?project=broken&text=mended')).data.length > 0, 60_000);
      assert.deepEqual((await stack.get('/logs?project=broken')).data.map((r) => r.body).sort(), ['the good one', 'the mended one']);
      assert.deepEqual(await readdir(join(folder, 'failed')), []);
      assert.deepEqual(problems, []);
      await context.close();
    } finally {
      await stack.stop();
    }
  });

  it('say why one is not put back, and offer it to operators only', async () => {
    const mock = await startMock({ history: 20 });
    try {
      const { page, context } = await open(browser, mock.url);
      await page.goto(`${mock.url}/pipeline`);
      const panel = page.getByRole('region', { name: 'Failed' });
      await panel.getByRole('row', { name: /support/ }).getByText('too_long', { exact: true }).waitFor();
      assert.equal(await panel.getByRole('row', { name: /support/ }).getByRole('button').count(), 0);
      const whole = panel.getByRole('row', { name: /whole segment/ });
      await whole.getByRole('button', { name: 'Put back' }).click();
      await whole.getByRole('button', { name: 'Load it again' }).click();
      await whole.getByRole('alert').getByText(/all of it was loaded before/).waitFor();
      const lines = panel.locator('tr', { hasText: 'Constraint' });
      await lines.getByText('refused', { exact: true }).click();
      await lines.getByText(/ab12-logs-7-0/).waitFor();
      await lines.getByRole('button', { name: 'Put back' }).click();
      await lines.getByRole('button', { name: 'Load it again' }).click();
      await lines.waitFor({ state: 'detached' });
      assert.equal(mock.world.failed.length, 2);
      await context.close();
    } finally {
      await mock.close();
    }
  });
});
