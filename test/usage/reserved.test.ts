import assert from 'node:assert/strict';
import { reply, wholeChat } from '../helpers/chat-answers.js';
import { CALL, onBareHost } from '../helpers/scene.js';

const MODELS = { [CALL.model]: { pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 10 } } };
const script = () => reply(wholeChat('Hello'));

onBareHost(
  'the ledger is told beforehand how much a call may use, and the upstream the same ceiling',
  () => ({ models: MODELS, key: { limits: { usdPerDay: 1 } }, script }),
  async ({ client, setup, upstream }) => {
    await client().chat.completions.create({ ...CALL, n: 3, max_completion_tokens: 40 });
    await client().chat.completions.create(CALL);
    for (const [index, n] of [3, 1].entries()) {
      const opened = setup.usage.opened[index];
      const body = upstream.requests[index]?.json();
      assert.equal(opened?.reservedOutputTokens, n * Number(body?.max_completion_tokens));
      assert.ok((opened?.reservedInputTokens ?? 0) > 0);
      assert.equal(opened?.reservedNanoUsd, setup.limiter.settled[index]?.reservation.draws[0]?.amount);
      assert.ok((opened?.reservedNanoUsd ?? 0) >= (opened?.reservedOutputTokens ?? 0) * 10_000);
      const { reservedOutputTokens, reservedInputTokens, reservedNanoUsd } = setup.records[index] ?? {};
      assert.deepEqual(
        { reservedOutputTokens, reservedInputTokens, reservedNanoUsd },
        {
          reservedOutputTokens: opened?.reservedOutputTokens,
          reservedInputTokens: opened?.reservedInputTokens,
          reservedNanoUsd: opened?.reservedNanoUsd,
        },
      );
    }
  },
);
