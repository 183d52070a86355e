import assert from 'node:assert/strict';
import { verifySums } from 'megallm-middleware/sqlite';
import { SECRET } from '../helpers/gateway-options.js';
import { range } from '../helpers/in-parallel.js';
import { rawChat, rawExchange } from '../helpers/raw-client.js';
import { CALL, inBareHost, onBareHost, withScene } from '../helpers/scene.js';
import { connectTo, sqliteFolder } from '../helpers/sqlite.js';

/** Ids that a client may choose, one of them of our own look. */
const CHOSEN = ['mine', `req_${'0'.repeat(32)}`, '../../etc/passwd', "'; DROP TABLE calls; --", '1'.repeat(4_000)];
const choosing = (id: string): Readonly<Record<string, string>> => ({
  'x-request-id': id,
  'x-client-request-id': id,
  'request-id': id,
  'x-correlation-id': id,
});

onBareHost(
  'F15 an id that the client chose is never ours, and goes no further',
  () => ({}),
  async ({ host, upstream, setup }) => {
    const path = new URL(`${host.baseUrl}/chat/completions`).pathname;
    const ours = new Set<string>();
    for (const id of CHOSEN) {
      for (const _ of range(2)) {
        const bytes = rawChat(SECRET, CALL, choosing(id)).toString('latin1').replace('/v1/chat/completions', path);
        const { status, headers, body } = await rawExchange(host.origin, bytes);
        assert.equal(status, 200, body);
        assert.match(headers['x-request-id'] ?? '', /^req_[0-9a-f]{32}$/);
        assert.notEqual(headers['x-request-id'], id);
        ours.add(headers['x-request-id'] ?? '');
      }
    }
    assert.equal(ours.size, 2 * CHOSEN.length, 'each call has an id of its own');
    assert.deepEqual(
      setup.records.map(({ requestId }) => requestId),
      [...ours],
    );
    for (const { headers } of upstream.requests) {
      for (const id of CHOSEN) assert.ok(!Object.values(headers).includes(id), JSON.stringify(headers));
    }
  },
);

inBareHost('F15 calls of one chosen id are as many rows of the ledger', async (kind) => {
  const folder = sqliteFolder();
  try {
    const { usage } = await folder.open('db');
    const options = { usage };
    await withScene(kind, options, async ({ host, setup }) => {
      const answers = await Promise.all(
        range(20).map(() => rawExchange(host.origin, rawChat(SECRET, CALL, choosing('one')))),
      );
      assert.ok(answers.every(({ status }) => status === 200));
      assert.equal(new Set(setup.records.map(({ requestId }) => requestId)).size, 20);
      const db = await connectTo(folder.path('db'));
      const rows = db.query("SELECT request_id FROM calls WHERE state = 'settled'").map((row) => row.request_id);
      db.close();
      assert.deepEqual(rows.sort(), answers.map(({ headers }) => headers['x-request-id']).sort());
      // What the watched store would have seen is in the file.
      setup.records.length = 0;
    });
    assert.deepEqual(await verifySums(folder.path('db')), []);
  } finally {
    await folder.remove();
  }
});
