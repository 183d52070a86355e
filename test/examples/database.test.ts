import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { sqliteStore } from 'megallm-middleware/sqlite';
import { within } from '../helpers/deadline.js';
import { npmStart, type Started, startFolder } from './npm-start.js';

const folder = startFolder();

async function stop({ child, ended, all }: Started): Promise<void> {
  child.kill('SIGTERM');
  assert.equal(await within(ended, 'its end after SIGTERM'), 0, all());
}

describe('what `npm start` keeps', () => {
  it('is in megallm.db in the working directory: keys and usage outlive a restart', async () => {
    const ask = async (running: Started, secret: string): Promise<number> => {
      const baseUrl = /Base URL {3}(\S+)/.exec(running.all())?.[1];
      const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };
      const body = JSON.stringify({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Say hello' }] });
      const answer = await fetch(`${baseUrl}/chat/completions`, { method: 'POST', headers, body });
      await answer.arrayBuffer();
      return answer.status;
    };
    const cwd = mkdtempSync(join(folder, 'kept-'));
    const first = await npmStart(cwd);
    const file = join(realpathSync(cwd), 'megallm.db');
    assert.ok(first.all().includes(`Database   ${file}\n`), first.all());
    const secret = /API key {4}(\S+)/.exec(first.all())?.[1] ?? '';
    assert.equal(await ask(first, secret), 200);
    await stop(first);

    const second = await npmStart(cwd);
    assert.match(second.all(), /API key {4}the one of the first start/);
    assert.doesNotMatch(second.all(), new RegExp(secret));
    assert.equal(await ask(second, secret), 200);
    await stop(second);

    const { usage, close } = await sqliteStore({ file });
    const [all] = await usage.report({ from: 0, to: 8.64e15, by: ['keyId'] });
    await close();
    assert.deepEqual([all?.of.keyId, all?.sums.requests], ['development', 2]);
  });

  it('is where MEGALLM_DB says', async () => {
    const file = join(mkdtempSync(join(folder, 'moved-')), 'elsewhere.db');
    const running = await npmStart(folder, { MEGALLM_DB: file, MEGALLM_KEYS: 'sk-example-0123456789' });
    assert.ok(running.all().includes(`Database   ${file}\n`), running.all());
    await stop(running);
    assert.ok(existsSync(file) && !existsSync(join(folder, 'megallm.db')));
  });
});
