import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { it } from 'node:test';
import { chunkOf, reply, streamEvents, streamHead, wholeChat } from '../helpers/chat-answers.js';
import { compiledFile } from '../helpers/compiled.js';
import { within } from '../helpers/deadline.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SECRET } from '../helpers/gateway-options.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { CALL, withScene } from '../helpers/scene.js';
import { scriptedUpstream } from '../helpers/scripted-upstream.js';
import { connectTo, sqliteFolder } from '../helpers/sqlite.js';

const TIMEOUT_MS = 60_000;
const CHILD = compiledFile('test/helpers/crash-child.ts');

/** Asks with an `Idempotency-Key`. */
function ask(baseUrl: string, key: string, stream: boolean): Promise<Response> {
  const headers = { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json', 'idempotency-key': key };
  const body = JSON.stringify({ ...CALL, stream });
  return within(fetch(`${baseUrl}/chat/completions`, { method: 'POST', headers, body }), 'the head of the answer');
}

it('F16: SIGKILL between call and answer leaves one interrupted row, and the key free when its claim has run out; what was answered before is replayed', async () => {
  const folder = sqliteFolder();
  const [start = '', piece = ''] = streamEvents(['Once']);
  const upstream = await scriptedUpstream((request) =>
    request.json().stream === true
      ? [streamHead(), chunkOf(start), chunkOf(piece), { kind: 'stall' }]
      : reply(wholeChat('Hello')),
  );
  const file = folder.path('crash.db');
  const args = [file, upstream.baseUrl, SECRET];
  const child = fork(CHILD, args, { execArgv: [] });
  try {
    const [{ port }] = await within(once(child, 'message'), 'the server to listen', 30_000);
    const baseUrl = `http://127.0.0.1:${port}/v1`;
    const answered = await (await ask(baseUrl, 'answered', false)).text();
    const cut = await ask(baseUrl, 'cut', true);
    const reading = cut.text().catch(() => {});
    await upstream.request(1);
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await within(ended, 'the end of the server');
    await within(reading, 'the end of the stream');

    const { idempotency } = await folder.open('crash.db');
    const clock = frozenClock(Date.now());
    const options = { idempotency, clock, timeoutMs: TIMEOUT_MS };
    await withScene(BARE_HOST, options, async ({ host, upstream: second }) => {
      const again = await ask(host.baseUrl, 'answered', false);
      assert.equal(again.headers.get('idempotency-replayed'), 'true');
      assert.equal(await again.text(), answered);
      // Whether the other server lives, nobody can tell by the claim.
      assert.equal((await ask(host.baseUrl, 'cut', true)).status, 409);
      clock.advance(TIMEOUT_MS + 30_000);
      second.answerWith(() => [
        streamHead(),
        ...streamEvents(['Once']).map(chunkOf),
        { kind: 'send', bytes: '0\r\n\r\n' },
      ]);
      const retried = await ask(host.baseUrl, 'cut', true);
      assert.deepEqual([retried.status, retried.headers.get('idempotency-replayed')], [200, null]);
      assert.match(await retried.text(), /\[DONE\]/);
    });
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
