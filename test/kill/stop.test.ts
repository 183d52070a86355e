import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { verifySums } from 'megallm-middleware/sqlite';
import { DEPTH } from '../helpers/depth.js';
import { assertNone, differences, tally } from './books.js';
import { crashRun } from './crash-run.js';
import { limiterLeftovers, readRows } from './read-file.js';
import { costOf } from './scene.js';
import { type ServerFolder, serverFolder } from './server-process.js';

const STOPS = 2 * DEPTH;
const SEED = Number(process.env.MEGALLM_SEED ?? Date.now() % 1_000_000);
const MS_PER_STOP = 5_000;

describe(`${STOPS} × SIGTERM under load, on one file`, { timeout: 60_000 + STOPS * MS_PER_STOP }, () => {
  let folder: ServerFolder;
  before(async () => {
    folder = await serverFolder();
  });
  after(() => folder.remove());

  it('F3: running calls end, and no row is lost or left to recovery', async (context) => {
    const file = join(folder.path, 'stopped.db');
    const run = await crashRun({ folder, file, seed: SEED, ends: STOPS, signal: 'SIGTERM', clients: 60 });
    const books = { clients: run.clients, upstream: run.upstream, keys: run.keys, rows: readRows(file), costOf };
    context.diagnostic(`${STOPS} stops, seed ${SEED}, ${tally(books)}`);
    assertNone(run.errors);
    assertNone(differences(books));
    assertNone(books.rows.filter(({ outcome }) => outcome === 'interrupted'));
    // Connections on which nothing was asked may be closed; what the upstream was asked for ends well.
    const broken = run.clients.filter(({ id, end }) => end === 'broken' && run.upstream.get(id)?.fault === undefined);
    assertNone(broken.filter(({ id }) => run.upstream.has(id)));
    assert.ok(run.clients.filter(({ end }) => end === 'complete').length > STOPS, 'there was something to lose');
    assertNone(await verifySums(file));
    assertNone(await limiterLeftovers(file, books));
  });
});
