import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { verifySums } from 'megallm-middleware/sqlite';
import { DEPTH } from '../helpers/depth.js';
import { assertNone, type Books, differences, tally } from './books.js';
import { crashRun } from './crash-run.js';
import { limiterLeftovers, readRows, reportDifferences } from './read-file.js';
import { costOf, type SceneKey } from './scene.js';
import { type ServerFolder, serverFolder } from './server-process.js';

const KILLS = 10 * DEPTH;
const SEED = Number(process.env.MEGALLM_SEED ?? Date.now() % 1_000_000);
/** What a machine that does nothing else needs for one kill, several times over. */
const MS_PER_KILL = 3_000;
const CLIENTS = 60;

describe(`${KILLS} × SIGKILL at any instant under load, on one file`, { timeout: 60_000 + KILLS * MS_PER_KILL }, () => {
  let folder: ServerFolder;
  let file: string;
  let told = '';
  let books: Books & { readonly keys: readonly SceneKey[] };

  before(async () => {
    folder = await serverFolder();
    file = join(folder.path, 'killed.db');
    const run = await crashRun({ folder, file, seed: SEED, ends: KILLS, signal: 'SIGKILL', clients: CLIENTS });
    books = { clients: run.clients, upstream: run.upstream, keys: run.keys, rows: readRows(file), costOf };
    told = `${KILLS} kills (${run.endedEarly} before it listened), seed ${SEED}, ${tally(books)}`;
    assertNone(run.errors);
  });
  after(() => folder.remove());

  it('F1 F2: no row is missing, no token of a completed call is wrong, and others are between delivered and reserved', (context) => {
    context.diagnostic(told);
    assertNone(differences(books));
    const { clients, rows } = books;
    assert.ok(clients.length > KILLS * 20, 'there was something to lose');
    for (const outcome of ['ok', 'interrupted', 'aborted', 'error']) {
      const count = rows.filter((row) => row.outcome === outcome).length;
      assert.ok(count > 0, `no call was ${outcome}`);
    }
    const interrupted = rows.filter(({ outcome }) => outcome === 'interrupted');
    const isCheap = interrupted.some(
      ({ isTold, outputTokens, reservedOutputTokens }) =>
        isTold === 1 && (outputTokens ?? 0) < (reservedOutputTokens ?? 0),
    );
    assert.ok(isCheap && interrupted.some(({ isTold }) => isTold === 0), 'both with and without a checkpoint');
  });

  it('F12: the sums of every hour are those of the rows', async () => {
    assertNone(await verifySums(file));
    assertNone(await reportDifferences(file, books.rows));
  });

  it('E22: what dead processes had reserved comes back, but for what their calls cost', async () => {
    assertNone(await limiterLeftovers(file, books));
  });
});
