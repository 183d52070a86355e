import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { it } from 'node:test';
import { chunkOf, reply, streamEvents, streamHead, wholeChat } from '../helpers/chat-answers.js';
import { compiledFile } from '../helpers/compiled.js';
import { within } from '../helpers/deadline.js';
import { SECRET } from '../helpers/gateway-options.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { CALL, withScene } from '../helpers/scene.js';
import { scriptedUpstream } from '../helpers/scripted-upstream.js';
import { shiftedWall } from '../helpers/shifted-wall.js';
import { connectTo, sqliteFolder } from '../helpers/sqlite.js';

const TIMEOUT_MS = 60_000;
const CHILD = compiledFile('test/helpers/crash-child.ts');

/** Asks with an `Idempotency-Key`. */
function ask(baseUrl: string, key: string, stream: boolean): Promise<Response> {
  const headers = { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json', 'idempotency-key': key };
  const body = JSON.stringify({ ...CALL, stream });
  return within(fetch(`${baseUrl}/chat/completions`, { method: 'POST', headers, body }), 'the head of the answer');
}

it('F16: SIGKILL between call and answer leaves one interrupted row, and the key free; what was answered before is replayed, and what runs is asked once whatever the clocks say', async () => {
  const folder = sqliteFolder();
  const [start = '', piece = ''] = streamEvents(['Once']);
  const upstream = await scriptedUpstream((request) =>
    request.json().stream === true
      ? [streamHead(), chunkOf(start), chunkOf(piece), { kind: 'stall' }]
      : reply(wholeChat('Hello')),
  );
  const file = folder.path('crash.db');
  const args = [file, upstream.baseUrl, SECRET];
  // Hours behind: by our clock, its claims ran out long ago.
  const child = fork(CHILD, args, { execArgv: [], env: shiftedWall(-7_200_000) });
  try {
    const [{ port }] = await within(once(child, 'message'), 'the server to listen', 30_000);
    const baseUrl = `http://127.0.0.1:${port}/v1`;
    const answered = await (await ask(baseUrl, 'answered', false)).text();
    const cut = await ask(baseUrl, 'cut', true);
    const reading = cut.text().catch(() => {});
    await upstream.request(1);

    const { idempotency } = await folder.open('crash.db');
    await withScene(BARE_HOST, { idempotency, timeoutMs: TIMEOUT_MS }, async ({ host, upstream: second }) => {
      const conflict = await ask(host.baseUrl, 'cut', true);
      assert.deepEqual([conflict.status, conflict.headers.get('retry-after')], [409, '1']);
      await conflict.text();
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await within(ended, 'the end of the server');
      await within(reading, 'the end of the stream');

      const again = await ask(host.baseUrl, 'answered', false);
      assert.equal(again.headers.get('idempotency-replayed'), 'true');
      assert.equal(await again.text(), answered);
      second.answerWith(() => [
        streamHead(),
        ...streamEvents(['Once']).map(chunkOf),
        { kind: 'send', bytes: '0\r\n\r\n' },
      ]);
      const retried = await ask(host.baseUrl, 'cut', true);
      assert.deepEqual([retried.status, retried.headers.get('idempotency-replayed')], [200, null]);
      assert.match(await retried.text(), /\[DONE\]/);
      assert.equal(second.requests.length, 1);
    });
    await folder.open('crash.db');
    const rows = await outcomes(file);
    assert.deepEqual(rows, ['interrupted', 'ok']);
  } finally {
    child.kill('SIGKILL');
    await upstream.close();
    await folder.remove();
  }
});

async function outcomes(file: string): Promise<string[]> {
  const db = await connectTo(file);
  const rows = db.prepare('SELECT outcome FROM calls').all();
  db.close();
  return rows.map(({ outcome }) => String(outcome)).sort();
}
