import { type Database, textOf } from './driver.js';
import { hourSums } from './hour-sums.js';
import type { Instance } from './instance.js';
import { END_COLUMNS, FIRST_CHANGING, START_COLUMNS } from './ledger-rows.js';
import type { Engine } from './protocol.js';
import type { Writer } from './writer.js';

const BOTH = [...START_COLUMNS, ...END_COLUMNS];
/** Not those in an index: SQLite writes the index anew for each column that is set, changed or not. */
const SETTLED_COLUMNS = BOTH.slice(FIRST_CHANGING);

/** Keeps one row for each call: open, then settled once. */
export function sqliteLedger(
  db: Database,
  { writer, instance }: { writer: Writer; instance: Instance },
): Pick<Engine, 'open' | 'settle' | 'checkpoint'> {
  const hours = hourSums(db);
  const insert = db.prepare(`
    INSERT INTO calls (state, instance, ${START_COLUMNS.join(', ')})
    VALUES ('open', ?, ${placesFor(START_COLUMNS)})
    ON CONFLICT (request_id) DO NOTHING
  `);
  const record = db.prepare(`
    INSERT INTO calls (state, instance, ${BOTH.join(', ')})
    VALUES ('settled', ?, ${placesFor(BOTH)})
    ON CONFLICT (request_id) DO NOTHING
  `);
  const update = db.prepare(`
    UPDATE calls SET state = 'settled', ${SETTLED_COLUMNS.map((name) => `${name} = ?`).join(', ')}
    WHERE request_id = ? AND state = 'open'
  `);
  const advance = db.prepare(`
    UPDATE calls SET checkpoint = max(coalesce(checkpoint, 0), ?) WHERE request_id = ? AND state = 'open'
  `);
  const isRecovered = db.prepare('SELECT 1 FROM calls WHERE request_id = ? AND recovered = 1');
  const reopen = db.prepare(`UPDATE calls SET state = 'open', recovered = 0, instance = ? WHERE request_id = ?`);

  let isRenewed = false;
  let settled: string[] = [];
  writer.watch({
    begin() {
      isRenewed = false;
      settled = [];
    },
    finish: () => hours.addAll(settled),
  });

  /** Changes an open call, even if another process has already declared ours dead. */
  function changeOpen(requestId: string, change: () => { readonly changes: number | bigint }): boolean {
    if (Number(change().changes) > 0) return true;
    if (isRecovered.get(requestId) === undefined) return false;
    hours.subtract(requestId);
    instance.renew('open calls');
    reopen.run(instance.id, requestId);
    return Number(change().changes) > 0;
  }

  return {
    open: (values) =>
      writer.write(() => {
        // Another process may have struck this one off, and an open row without a live instance would be settled. Nobody does
        // so while this transaction lasts.
        if (!isRenewed) instance.renew('open calls');
        isRenewed = true;
        // By `get`: a result object with its two numbers, which `run` makes, costs a seventh of the statement.
        insert.get(instance.id, ...values);
      }),
    settle(values) {
      const requestId = textOf(values[0]);
      const changed = [...values.slice(FIRST_CHANGING), requestId];
      return writer.write(() => {
        const isSettled = changeOpen(requestId, () => update.run(...changed));
        // The row is missing where the file was put back to an older copy.
        if (isSettled || Number(record.run('', ...values).changes) > 0) settled.push(requestId);
      });
    },
    checkpoint: ({ requestId, outputTokens }) =>
      writer.write(() => {
        changeOpen(requestId, () => advance.run(outputTokens, requestId));
      }),
  };
}

function placesFor(columns: readonly string[]): string {
  return columns.map(() => '?').join(', ');
}
