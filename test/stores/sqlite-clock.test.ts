import assert from 'node:assert/strict';
import { it } from 'node:test';
import { machineMs, momentOf } from '../../src/stores/sqlite/shared-clock.js';

it('a clock is read at the moment of the machine’s, whoever has the processor in between', () => {
  let readings = 0;
  function steadyMs(): number {
    const read = machineMs();
    readings += 1;
    // As when the process has to wait after it has read one of the two.
    const until = read + (readings % 2 === 1 ? 20 : 0);
    while (machineMs() < until);
    return 1_000 + read;
  }
  const moment = momentOf({ steadyMs, wallMs: () => 5 });
  assert.ok(readings > 1);
  assert.ok(Math.abs(moment.steadyMs - moment.machineMs - 1_000) < 5);
  assert.equal(moment.wallMs, 5);
});
