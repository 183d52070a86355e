import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromFunction } from 'megallm-middleware';
import { reply, sse, streamReply, USAGE, wholeChat } from '../helpers/chat-answers.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { CALL, onBareHost, withScene } from '../helpers/scene.js';
import type { Script } from '../helpers/scripted-upstream.js';

type Member = Record<string, unknown>;

const HEAD = { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'gpt-4o-mini' };

/** A model that ends with that choice, streamed or whole as the client asks. */
function endingWith(finish: string | null, more: Member = {}): Script {
  return (request) => {
    if (request.json().stream !== true) {
      const whole = wholeChat('Grüße');
      return reply({
        ...whole,
        choices: [{ index: 0, message: { role: 'assistant', content: 'Grüße' }, finish_reason: finish, ...more }],
      });
    }
    const chunk = (delta: Member, reason: string | null, last: Member = {}): string =>
      sse({ ...HEAD, choices: [{ index: 0, delta, finish_reason: reason, ...last }] });
    return streamReply([
      chunk({ role: 'assistant', content: '' }, ''),
      chunk({ content: 'Grü' }, ''),
      chunk({ content: 'ße' }, 'null'),
      chunk({}, finish, more),
      sse({ ...HEAD, choices: [], usage: USAGE }),
      'data: [DONE]\n\n',
    ]);
  };
}

const MEANT: Readonly<Record<string, readonly string[]>> = {
  stop: ['stop', 'STOP', 'end_turn', 'stop_sequence', 'eos', 'eos_token', 'COMPLETE', 'pause_turn', 'other', 'unknown'],
  length: ['length', 'MAX_TOKENS', 'max_tokens', 'model_length', 'max_output_tokens', 'token_limit', 'time_limit'],
  tool_calls: ['tool_calls', 'tool_use', 'TOOL_CALL', 'tool-calls'],
  content_filter: ['content_filter', 'SAFETY', 'RECITATION', 'content-filter', 'sensitive', 'guardrail_intervened'],
};

describe('the finish reason of another vendor reaches the client as what it means', () => {
  for (const [meant, names] of Object.entries(MEANT)) {
    for (const name of names) {
      it(`${name}: ${meant}`, async () => {
        await withScene(BARE_HOST, { script: endingWith(name) }, async ({ client, setup }) => {
          const whole = await client().chat.completions.create(CALL);
          assert.deepEqual([whole.choices[0]?.message.content, whole.choices[0]?.finish_reason], ['Grüße', meant]);
          const reasons: unknown[] = [];
          for await (const { choices } of await client().chat.completions.create({ ...CALL, stream: true })) {
            for (const { finish_reason: reason } of choices) reasons.push(reason);
          }
          assert.deepEqual(reasons, [null, null, null, meant]);
          assert.deepEqual(
            setup.records.map(({ outcome, counted }) => [outcome, counted]),
            [
              ['ok', 'exact'],
              ['ok', 'exact'],
            ],
          );
        });
      });
    }
  }

  onBareHost(
    'an answer whose text is about finish reasons passes as the bytes that it is',
    () => ({ script: () => reply(wholeChat('"finish_reason": "error", "error"')) }),
    async ({ client }) => {
      const { choices } = await client().chat.completions.create(CALL);
      assert.equal(choices[0]?.message.content, '"finish_reason": "error", "error"');
    },
  );
});

describe('an answer that ended in a failure is none', () => {
  const cases: readonly (readonly [string, Script, number, RegExp])[] = [
    ['error', endingWith('error'), 502, /error/],
    ['ERROR', endingWith('ERROR'), 502, /error/],
    ['insufficient_system_resource', endingWith('insufficient_system_resource'), 502, /insufficient_system_resource/],
    ['abort', endingWith('abort'), 502, /abort/],
    ['MALFORMED_FUNCTION_CALL', endingWith('MALFORMED_FUNCTION_CALL'), 502, /malformed_function_call/],
    ['an error in its choice', endingWith('error', { error: { message: 'Zu heiß', code: 400 } }), 400, /Zu heiß/],
    [
      'an error in a choice without a reason',
      endingWith(null, { error: { message: 'Zu heiß', code: 429 } }),
      429,
      /Zu heiß/,
    ],
  ];
  for (const [name, script, status, words] of cases) {
    it(`${name}, whole, streamed and translated`, async () => {
      const options = {
        script,
        broken: true,
        models: { 'gpt-4o-mini': {}, house: { responses: 'translate' as const } },
      };
      await withScene(BARE_HOST, options, async ({ client, setup }) => {
        await assert.rejects(client().chat.completions.create(CALL), { status, message: words });
        let text = '';
        const streamed = async (): Promise<void> => {
          for await (const { choices } of await client().chat.completions.create({ ...CALL, stream: true })) {
            text += choices[0]?.delta.content ?? '';
          }
        };
        await assert.rejects(streamed(), { message: words });
        assert.equal(text, 'Grüße');
        await assert.rejects(client().responses.create({ model: 'house', input: 'Say hello' }), { status });
        assert.ok(setup.records.every(({ outcome }) => outcome === 'error'));
      });
    });
  }

  for (const stream of [false, true]) {
    onBareHost(
      `is paid for where it tells its usage, ${stream ? 'streamed' : 'whole'}`,
      () => ({
        broken: true,
        script: () =>
          stream
            ? streamReply([
                sse({ ...HEAD, choices: [{ index: 0, delta: {}, finish_reason: 'error' }], usage: USAGE }),
                'data: [DONE]\n\n',
              ])
            : reply({ ...wholeChat('Hello', { finishReason: 'error' }) }),
      }),
      async ({ client, setup }) => {
        await assert.rejects(client().chat.completions.create({ ...CALL, stream }), { status: 502 });
        const [record] = setup.records;
        assert.deepEqual(
          [record?.outcome, record?.counted, record?.inputTokens, record?.outputTokens, record?.status],
          ['error', 'exact', USAGE.prompt_tokens, USAGE.completion_tokens, 502],
        );
      },
    );
  }

  onBareHost(
    'is free where nothing was used',
    () => ({ broken: true, script: () => reply({ error: { message: 'Too hot', code: 400 } }) }),
    async ({ client, setup }) => {
      await assert.rejects(client().chat.completions.create(CALL), { status: 400 });
      assert.equal(setup.records[0]?.outputTokens, undefined);
    },
  );

  onBareHost(
    'Groq tells why beside the choices, and an empty error is none',
    () => ({
      broken: true,
      script: (request) => {
        const chunk = (content: string, more: Member): string =>
          sse({ ...HEAD, choices: [{ index: 0, delta: { content }, finish_reason: null, error: {} }], ...more });
        const isGood = JSON.stringify(request.json().messages).includes('good');
        return streamReply([
          chunk('Grü', { x_groq: { id: 'req_1', error: null } }),
          chunk('ße', { x_groq: { id: 'req_1' } }),
          ...(isGood
            ? [sse({ ...HEAD, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }), 'data: [DONE]\n\n']
            : [chunk('', { x_groq: { error: 'Überlastet: over capacity' } })]),
        ]);
      },
    }),
    async ({ client, setup }) => {
      const textOf = async (content: string): Promise<string> => {
        let text = '';
        const messages = [{ role: 'user' as const, content }];
        for await (const { choices } of await client().chat.completions.create({ ...CALL, messages, stream: true })) {
          text += choices[0]?.delta.content ?? '';
        }
        return text;
      };
      assert.equal(await textOf('good'), 'Grüße');
      await assert.rejects(textOf('bad'), /Überlastet: over capacity/);
      assert.deepEqual(
        setup.records.map(({ outcome }) => outcome),
        ['ok', 'error'],
      );
    },
  );

  onBareHost(
    'a function of the host’s may end in one, too',
    () => ({
      broken: true,
      upstream: fromFunction(async function* () {
        yield 'Hello';
        yield { finish_reason: 'error' };
      }),
    }),
    async ({ client }) => {
      await assert.rejects(client().chat.completions.create(CALL), { status: 502 });
    },
  );
});
