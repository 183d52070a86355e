import assert from 'node:assert/strict';
import { reply, sse, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { answering, forwardsOnBareHost } from '../helpers/forward-scene.js';
import { jsonAnswer } from '../helpers/http-upstream.js';
import { CALL, onBareHost } from '../helpers/scene.js';
import { streamText } from '../helpers/stream-client.js';

const USAGE = {
  prompt_tokens: 100,
  completion_tokens: 50,
  total_tokens: 150,
  prompt_tokens_details: { cached_tokens: 0, audio_tokens: 60 },
  completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 40 },
};
/** Of gpt-audio: text at 2.50 and 10 dollars, sound at 32 and 64. */
const COST = 40 * 2_500 + 60 * 32_000 + 10 * 10_000 + 40 * 64_000;

onBareHost(
  'what a known model hears and speaks costs what sound costs, whole and streamed',
  () => ({}),
  async (scene) => {
    const { upstream, setup, client } = scene;
    upstream.answerWith(() => reply(wholeChat('Hello', { usage: USAGE })));
    await client().chat.completions.create({ ...CALL, model: 'gpt-audio' });
    upstream.answerWith(() =>
      streamReply([
        sse({ choices: [{ index: 0, delta: { content: 'Hi' }, finish_reason: 'stop' }] }),
        sse({ choices: [], usage: USAGE }),
        'data: [DONE]\n\n',
      ]),
    );
    await streamText(scene, { model: 'gpt-audio-2025-08-28' });
    assert.equal(setup.records.length, 2);
    for (const { inputAudioTokens, outputAudioTokens, counted, costNanoUsd } of setup.records) {
      assert.deepEqual([inputAudioTokens, outputAudioTokens, counted, costNanoUsd], [60, 40, 'exact', COST]);
    }
  },
);

forwardsOnBareHost(
  'what a picture is made from costs what pictures cost, and what it is told what text costs',
  () =>
    answering((_, res) =>
      jsonAnswer(res, {
        created: 1,
        data: [{ b64_json: 'AAAA' }],
        usage: {
          input_tokens: 50,
          input_tokens_details: { text_tokens: 10, image_tokens: 40 },
          output_tokens: 272,
          total_tokens: 322,
        },
      }),
    ),
  async (scene) => {
    const body = JSON.stringify({ model: 'gpt-image-1', prompt: 'x' });
    const headers = { 'content-type': 'application/json' };
    const answer = await scene.ask('/images/generations', { method: 'POST', headers, body });
    await answer.text();
    const [record] = scene.setup.records;
    assert.deepEqual(
      [record?.inputTokens, record?.inputImageTokens, record?.outputTokens, record?.costNanoUsd],
      [50, 40, 272, 10 * 5_000 + 40 * 10_000 + 272 * 40_000],
    );
  },
);
