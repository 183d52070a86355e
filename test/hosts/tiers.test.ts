import assert from 'node:assert/strict';
import { CALL, onBareHost } from '../helpers/scene.js';

onBareHost(
  'I3 a key of a tier that nobody knows is of the least one, for its limits and in the ledger alike',
  () => ({ tiers: { basic: { shared: { usdPerDay: 1 } } }, key: { tier: 'ghost' } }),
  async ({ client, setup }) => {
    await client().chat.completions.create(CALL);
    assert.equal(setup.usage.opened[0]?.tier, 'basic');
    assert.match(setup.limiter.settled[0]?.reservation.draws.at(-1)?.bucket ?? '', /^tier:basic:usdPerDay:/);
  },
);

const changing = { requestsPerMinute: 60, shared: { requestsPerMinute: 60, shadow: { requestsPerMinute: 60 } } };

onBareHost(
  'limits of a tier that the host changes in place hold from the next call on, on every level',
  () => ({ tiers: { basic: changing }, key: { tier: 'basic' } }),
  async ({ client, setup }) => {
    const capacities = async () => {
      const before = setup.limiter.settled.length;
      await client().chat.completions.create(CALL);
      return setup.limiter.settled
        .slice(before)
        .map(({ reservation }) => reservation.draws.map(({ capacity }) => capacity).join())
        .sort();
    };
    assert.deepEqual(await capacities(), ['60', '60,60']);
    changing.requestsPerMinute = 50;
    assert.deepEqual(await capacities(), ['50,60', '60']);
    changing.shared.requestsPerMinute = 40;
    assert.deepEqual(await capacities(), ['50,40', '60']);
    changing.shared.shadow.requestsPerMinute = 30;
    assert.deepEqual(await capacities(), ['30', '50,40']);
  },
);
