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
