import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ApiKey, http, memoryKeys } from 'megallm-middleware';
import { reply, sse, streamEvents, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { CALL, onBareHost, type Scene, type SceneOptions, UPSTREAM_KEY, withScene } from '../helpers/scene.js';
import type { Script } from '../helpers/scripted-upstream.js';

type Body = Record<string, unknown>;

const SECRETS = { a: 'secret-of-a-0123456789', b: 'secret-of-b-0123456789', c: 'secret-of-c-0123456789' };

const MODELS = { priced: { pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 10 } } };
const PRICED = { ...CALL, model: 'priced' };
const BUDGET: Partial<ApiKey> = { ownLimits: { usdPerDay: 0.5 } };
const TOKENS: Partial<ApiKey> = { ownLimits: { tokensPerMinute: 50_000 } };

/** The ceiling in a request, whatever its name. */
const ceilingOf = (body: Body): number | undefined => {
  const ceiling = body.max_completion_tokens ?? body.max_tokens;
  return typeof ceiling === 'number' ? ceiling : undefined;
};

/** An answer that reports so many tokens. */
function answering(outputTokens: number, model = 'priced'): Body {
  const usage = { prompt_tokens: 11, completion_tokens: outputTokens, total_tokens: 11 + outputTokens };
  return wholeChat('Hello', { model, usage });
}

/** A server that refuses some requests, and answers others whole or streamed, with a few tokens. */
function refusing(refuse: (body: Body) => { readonly status?: number; readonly body: unknown } | undefined): Script {
  return (request) => {
    const body = request.json();
    const refusal = refuse(body);
    if (refusal !== undefined) return reply(refusal.body, { status: refusal.status ?? 400 });
    return body.stream === true ? streamReply(streamEvents(['Hello'])) : reply(answering(5));
  };
}

/** Keys with one tier of limits, and what their calls upstream bore. */
const scene = (key: Partial<ApiKey>, script: Script): SceneOptions => ({ models: MODELS, key, script });

const seen = ({ upstream }: Scene): readonly Body[] => upstream.requests.map((request) => request.json());

const has = (name: string) => (body: Body) => name in body;

/** Refusals of a name, as servers write them. */
const NAME_REFUSALS: readonly (readonly [server: string, status: number, body: (name: string) => unknown])[] = [
  [
    'Mistral',
    422,
    (name) => ({
      object: 'error',
      message: { detail: [{ type: 'extra_forbidden', loc: ['body', name] }] },
      param: null,
    }),
  ],
  [
    'FastAPI',
    422,
    (name) => ({
      detail: [{ type: 'extra_forbidden', loc: ['body', name], msg: 'Extra inputs are not permitted', input: 4096 }],
    }),
  ],
  [
    'OpenAI',
    400,
    (name) => ({ error: { message: `Unknown parameter: '${name}'.`, param: name, code: 'unknown_parameter' } }),
  ],
  [
    'a path as param',
    400,
    (name) => ({ error: { message: 'Unrecognized request argument supplied', param: `body.${name}`, code: null } }),
  ],
  ['Groq', 400, (name) => ({ error: { message: `property '${name}' is unsupported`, type: 'invalid_request_error' } })],
  ['serde', 422, (name) => ({ error: `Failed to deserialize: unknown field \`${name}\``, error_type: 'validation' })],
  ['Gemini', 400, (name) => [{ error: { code: 400, message: `Unknown name "${name}": Cannot find field.` } }]],
  ['ajv', 400, (name) => ({ errors: [{ keyword: 'additionalProperties', params: { additionalProperty: name } }] })],
  [
    'xAI',
    400,
    (name) => ({
      code: 'Client specified an invalid argument',
      error: `Argument not supported on this model: ${name}`,
    }),
  ],
  [
    'xAI, in camel case',
    400,
    (name) => ({
      error: `Model grok-4 does not support parameter ${name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())}.`,
    }),
  ],
  ['Python', 400, (name) => ({ msg: `create() got an unexpected keyword argument '${name}'` })],
];

describe('a field of ours that the upstream does not know', () => {
  for (const [server, status, refusal] of NAME_REFUSALS) {
    it(`is left out and remembered, in the words of ${server}`, async () => {
      const script = refusing((body) =>
        has('max_completion_tokens')(body) ? { status, body: refusal('max_completion_tokens') } : undefined,
      );
      await withScene(BARE_HOST, scene(BUDGET, script), async (given) => {
        for (let round = 0; round < 2; round += 1) await given.client().chat.completions.create(PRICED);
        const bodies = seen(given);
        assert.deepEqual(
          bodies.map((body) => Object.keys(body).filter((name) => name.startsWith('max_'))),
          [['max_completion_tokens'], ['max_tokens'], ['max_tokens']],
        );
      });
    });

    it(`is left out of a stream, in the words of ${server}`, async () => {
      const script = refusing((body) =>
        has('stream_options')(body) ? { status, body: refusal('stream_options') } : undefined,
      );
      await withScene(BARE_HOST, scene(TOKENS, script), async (given) => {
        for await (const _ of await given.client().chat.completions.create({ ...PRICED, stream: true }));
        assert.deepEqual(seen(given).map(has('stream_options')), [true, false]);
        assert.equal(seen(given).every(has('max_completion_tokens')), true, 'the ceiling stays');
      });
    });
  }
});

describe('a field of the client’s whose name the upstream does not know', () => {
  for (const [server, status, refusal] of NAME_REFUSALS) {
    for (const [own, other] of [
      ['max_completion_tokens', 'max_tokens'],
      ['max_tokens', 'max_completion_tokens'],
    ] as const) {
      it(`goes as ${other} instead of ${own}, in the words of ${server}`, async () => {
        const script = refusing((body) => (has(own)(body) ? { status, body: refusal(own) } : undefined));
        await withScene(BARE_HOST, scene(BUDGET, script), async (given) => {
          for (let round = 0; round < 2; round += 1) {
            await given.client().chat.completions.create({ ...PRICED, [own]: 300 });
          }
          assert.deepEqual(
            seen(given).map((body) => [body[own], body[other]]),
            [
              [300, undefined],
              [undefined, 300],
              [undefined, 300],
            ],
          );
        });
      });
    }

    it(`is left out where it is stream_options, and the client has its usage, in the words of ${server}`, async () => {
      const script = refusing((body) =>
        has('stream_options')(body) ? { status, body: refusal('stream_options') } : undefined,
      );
      await withScene(BARE_HOST, scene(TOKENS, script), async (given) => {
        for (let round = 0; round < 2; round += 1) {
          const stream_options = { include_usage: true };
          const stream = await given.client().chat.completions.create({ ...PRICED, stream: true, stream_options });
          let output = 0;
          for await (const { usage } of stream) output = usage?.completion_tokens ?? output;
          assert.ok(output > 0);
        }
        assert.deepEqual(seen(given).map(has('stream_options')), [true, false, false]);
      });
    });
  }

  it('may be one of two that are refused at once, or in turn', async () => {
    const names = ['stream_options', 'max_completion_tokens'];
    for (const count of [1, 2]) {
      const script = refusing((body) => {
        const refused = names.filter((name) => has(name)(body)).slice(0, count);
        return refused.length === 0 ? undefined : { status: 422, body: { detail: refused.map(extraForbidden) } };
      });
      await withScene(BARE_HOST, scene(TOKENS, script), async (given) => {
        const asked = { max_completion_tokens: 300, stream_options: { include_usage: true }, stream: true as const };
        for await (const _ of await given.client().chat.completions.create({ ...PRICED, ...asked }));
        const last = seen(given).at(-1) ?? {};
        assert.deepEqual([seen(given).length, last.max_tokens], [count === 2 ? 2 : 3, 300]);
        assert.deepEqual(
          names.filter((name) => has(name)(last)),
          [],
        );
      });
    }
  });

  it('is refused to the client under its own name where the upstream knows no other', async () => {
    const script = refusing((body) => {
      const name = ['max_tokens', 'max_completion_tokens'].find((one) => has(one)(body));
      return name === undefined ? undefined : { body: { error: { message: `Unknown parameter: '${name}'.` } } };
    });
    await withScene(BARE_HOST, scene(TOKENS, script), async (given) => {
      const asked = given.client().chat.completions.create({ ...PRICED, max_completion_tokens: 300 });
      await assert.rejects(asked, { status: 400, message: /Unknown parameter: 'max_completion_tokens'/ });
    });
  });

  it('does not hide a mistake of the client’s', async () => {
    const script = refusing((body) =>
      has('max_completion_tokens')(body)
        ? { body: { error: { message: "Unknown parameter: 'max_completion_tokens'." } } }
        : { body: { error: { message: 'Bad temper.' } } },
    );
    await withScene(BARE_HOST, scene(TOKENS, script), async (given) => {
      const asked = given.client().chat.completions.create({ ...PRICED, max_completion_tokens: 300 });
      await assert.rejects(asked, { status: 400, message: /Bad temper/ });
      assert.equal(seen(given).length, 2);
    });
  });

  it('stays where its value is refused, or only a longer name', async () => {
    for (const message of ['max_tokens is too large: 300', "Unknown parameter: 'max_tokens_extra'."]) {
      const script = refusing(() => ({ body: { error: { message } } }));
      await withScene(BARE_HOST, scene(TOKENS, script), async (given) => {
        await assert.rejects(given.client().chat.completions.create({ ...PRICED, max_tokens: 300 }), { status: 400 });
        assert.equal(seen(given).length, 1);
      });
    }
  });
});

const extraForbidden = (name: string): object => ({
  type: 'extra_forbidden',
  loc: ['body', name],
  msg: 'Extra inputs are not permitted',
});

/** Refusals that name nothing of ours. */
const NAMELESS: readonly unknown[] = [
  { error: { message: 'Invalid request.', param: null, code: null } },
  { detail: 'Bad Request' },
  'computer says no',
  { error: { code: 7 } },
];

describe('a refusal that names nothing', () => {
  for (const [at, body] of NAMELESS.entries()) {
    it(`is followed by one try without what we added, which the same key's next calls are spared (${at})`, async () => {
      const script = refusing((asked) => (has('max_completion_tokens')(asked) ? { body } : undefined));
      await withScene(BARE_HOST, scene(TOKENS, script), async (given) => {
        for (let round = 0; round < 3; round += 1) await given.client().chat.completions.create(PRICED);
        assert.deepEqual(
          seen(given).map((asked) => [has('max_completion_tokens')(asked), has('max_tokens')(asked)]),
          [
            [true, false],
            [false, false],
            [false, true],
            [false, true],
          ],
        );
      });
    });

    it(`is not repeated by a server that wants nothing of ours, streamed (${at})`, async () => {
      const script = refusing((asked) =>
        ceilingOf(asked) !== undefined || has('stream_options')(asked) ? { body } : undefined,
      );
      await withScene(BARE_HOST, scene(TOKENS, script), async (given) => {
        const tries: number[] = [];
        for (let round = 0; round < 6; round += 1) {
          const before = given.upstream.requests.length;
          for await (const _ of await given.client().chat.completions.create({ ...PRICED, stream: true }));
          tries.push(given.upstream.requests.length - before);
        }
        assert.deepEqual(tries, [2, 2, 2, 1, 1, 1], 'each name is tried once');
      });
    });

    it(`keeps a budget's ceiling, under the name that is taken (${at})`, async () => {
      const script = refusing((asked) => (has('max_completion_tokens')(asked) ? { body } : undefined));
      await withScene(BARE_HOST, scene(BUDGET, script), async (given) => {
        for (let round = 0; round < 3; round += 1) await given.client().chat.completions.create(PRICED);
        assert.deepEqual(
          seen(given).map((asked) => [has('max_completion_tokens')(asked), has('max_tokens')(asked)]),
          [
            [true, false],
            [false, true],
            [false, true],
            [false, true],
          ],
        );
      });
    });
  }

  it('is believed of the key that met it alone', async () => {
    // A caller's own conflicting member is the reason; it must not take the ceiling of anybody else.
    const script = refusing((asked) =>
      has('max_new_tokens')(asked) && ceilingOf(asked) !== undefined ? { body: 'no' } : undefined,
    );
    const keys = memoryKeys([
      { secret: SECRETS.a, id: 'a', tier: 'open', ownLimits: { tokensPerMinute: 900_000 } },
      { secret: SECRETS.b, id: 'b', tier: 'open', ownLimits: { tokensPerMinute: 6_000 } },
      { secret: SECRETS.c, id: 'c', tier: 'open', ownLimits: { usdPerDay: 0.05 } },
    ]);
    await withScene(BARE_HOST, { models: MODELS, keys, script }, async (given) => {
      const { chat } = given.client({ apiKey: SECRETS.a });
      for (let round = 0; round < 5; round += 1) await chat.completions.create({ ...PRICED, ...{ max_new_tokens: 9 } });
      const before = given.upstream.requests.length;
      for (const apiKey of [SECRETS.b, SECRETS.c]) await given.client({ apiKey }).chat.completions.create(PRICED);
      assert.deepEqual(seen(given).slice(before).map(has('max_completion_tokens')), [true, true]);
    });
  });

  it('shows the client its own mistake, and asks no more than once without additions', async () => {
    const body = { error: { message: 'Something is wrong.', param: null, code: null } };
    await withScene(
      BARE_HOST,
      scene(
        TOKENS,
        refusing(() => ({ body })),
      ),
      async (given) => {
        await assert.rejects(given.client().chat.completions.create(PRICED), {
          status: 400,
          message: /Something is wrong/,
        });
        assert.equal(given.upstream.requests.length, 2);
      },
    );
  });

  it('keeps the ceiling of a budget, and shows what was said about the client’s request', async () => {
    const body = { error: { message: 'Something is wrong.', param: null, code: null } };
    await withScene(
      BARE_HOST,
      scene(
        BUDGET,
        refusing(() => ({ body })),
      ),
      async (given) => {
        await assert.rejects(given.client().chat.completions.create(PRICED), {
          status: 400,
          message: /Something is wrong/,
        });
        assert.ok(seen(given).every((asked) => ceilingOf(asked) !== undefined));
      },
    );
  });

  for (const [at, words] of [
    (sum: number) => `Total of ${sum} exceeds what model supports`,
    (sum: number) => ({ error: { message: `${sum} Marken sind mehr als dieses Modell fasst`, code: 400 } }),
    () => ({ error: { message: 'Does not fit.' } }),
  ].entries()) {
    for (const stream of [false, true]) {
      it(`may be about room: a budget's call gets one try with a lower ceiling (${at}, ${stream ? 'streamed' : 'whole'})`, async () => {
        const script = refusing((asked) =>
          (ceilingOf(asked) ?? 99_999) > 1_500 ? { body: words(3_000 + (ceilingOf(asked) ?? 0)) } : undefined,
        );
        await withScene(BARE_HOST, scene(BUDGET, script), async (given) => {
          for (let round = 0; round < 2; round += 1) {
            if (stream) for await (const _ of await given.client().chat.completions.create({ ...PRICED, stream }));
            else await given.client().chat.completions.create(PRICED);
          }
          const last = seen(given).at(-1) ?? {};
          assert.ok(
            seen(given).every((asked) => ceilingOf(asked) !== undefined),
            'never without one',
          );
          assert.equal(last.max_completion_tokens, ceilingOf(last), 'under the name that it had');
        });
      });
    }
  }

  it('gets no try with a lower ceiling where the client named its own', async () => {
    const script = refusing(() => ({ body: { error: 'Total of 7096 exceeds what model supports' } }));
    await withScene(BARE_HOST, scene(BUDGET, script), async (given) => {
      const asked = given.client().chat.completions.create({ ...PRICED, max_tokens: 4_096 });
      await assert.rejects(asked, { status: 400, message: /Total of 7096/ });
      assert.deepEqual(new Set(seen(given).map(ceilingOf)), new Set([4_096]));
    });
  });

  it('is no reason to try again where a member of the client’s is named', async () => {
    const body = { error: { message: 'Bad role.', param: 'messages[0].role', code: null } };
    await withScene(
      BARE_HOST,
      scene(
        TOKENS,
        refusing(() => ({ body })),
      ),
      async (given) => {
        await assert.rejects(given.client().chat.completions.create(PRICED), {
          status: 400,
          param: 'messages[0].role',
        });
        assert.equal(given.upstream.requests.length, 1);
      },
    );
  });
});

const LIMIT = 4_096;
const PROMPT = 10;

/** Says that prompt and ceiling exceed the context. */
const NO_ROOM: readonly (readonly [server: string, body: (ceiling: number) => unknown, status?: number])[] = [
  [
    'vLLM, earlier',
    (c) => ({
      object: 'error',
      message: `This model's maximum context length is ${LIMIT} tokens. However, you requested ${PROMPT + c} tokens (${PROMPT} in the messages, ${c} in the completion). Please reduce the length of the messages or completion.`,
      type: 'BadRequestError',
      param: null,
      code: 400,
    }),
  ],
  [
    'vLLM',
    (c) => ({
      error: {
        message: `'max_tokens' or 'max_completion_tokens' is too large: ${c}. This model's maximum context length is ${LIMIT} tokens and your request has ${PROMPT} input tokens (${c} > ${LIMIT} - ${PROMPT}).`,
        code: 400,
      },
    }),
  ],
  [
    'TGI',
    (c) => ({
      error: `Input validation error: \`inputs\` tokens + \`max_new_tokens\` must be <= ${LIMIT}. Given: ${PROMPT} \`inputs\` tokens and ${c} \`max_new_tokens\``,
      error_type: 'validation',
    }),
    422,
  ],
  [
    'Anthropic',
    (c) => ({
      type: 'error',
      error: {
        type: 'invalid_request_error',
        message: `input length and \`max_tokens\` exceed context limit: ${PROMPT} + ${c} > ${LIMIT}, decrease input length or \`max_tokens\` and try again`,
      },
    }),
  ],
  [
    'Groq',
    () => ({
      error: { message: 'Please reduce the length of the messages or completion.', code: 'context_length_exceeded' },
    }),
  ],
  [
    'llama.cpp',
    () => ({
      error: {
        code: 400,
        message: 'the request exceeds the available context size, try increasing it',
        type: 'exceed_context_size_error',
        n_ctx: LIMIT,
        n_prompt_tokens: PROMPT,
      },
    }),
  ],
  [
    'llama-cpp-python',
    (c) => ({
      error: {
        message: `This model's maximum context length is ${LIMIT} tokens, however you requested ${PROMPT + c} tokens (${PROMPT} in your prompt; ${c} for the completion).`,
        code: 'context_length_exceeded',
      },
    }),
  ],
  [
    'OpenRouter',
    (c) => ({
      error: {
        code: 400,
        message: `This endpoint's maximum context length is ${LIMIT} tokens. However, you requested about ${PROMPT + c} tokens (${PROMPT} of text input, ${c} in the output).`,
      },
    }),
  ],
  [
    'Mistral',
    () => ({
      object: 'error',
      message: `Prompt contains ${PROMPT} tokens and 0 draft tokens, too large for model with ${LIMIT} maximum context length`,
      code: '3051',
    }),
  ],
  [
    'OpenAI, of the value',
    (c) => ({
      error: {
        message: `max_tokens is too large: ${c}. This model supports at most ${LIMIT - PROMPT} completion tokens, whereas you provided ${c}.`,
        param: 'max_tokens',
        code: null,
      },
    }),
  ],
  [
    'DeepSeek, of the value',
    () => ({
      error: {
        message: `Invalid max_tokens value, the valid range of max_tokens is [1, ${LIMIT - PROMPT}]`,
        code: 'invalid_request_error',
      },
    }),
  ],
  [
    'Bedrock',
    () => ({
      message: `The maximum tokens you requested exceeds the model limit of ${LIMIT - PROMPT}. Try again with a lower value.`,
    }),
  ],
  [
    'Moonshot',
    (c) => ({ error: { message: `Your request exceeded model token limit: ${LIMIT} (requested: ${PROMPT + c})` } }),
  ],
  [
    'DashScope',
    () => ({
      error: { message: `Range of max_tokens should be [1, ${LIMIT - PROMPT}]`, code: 'invalid_parameter_error' },
    }),
  ],
  ['Z.ai', () => ({ error: { code: '1261', message: 'Prompt exceeds max length' } })],
  [
    'TensorRT-LLM',
    (c) => ({
      object: 'error',
      message: `The sum of prompt length (${PROMPT}.0), query length (${c}) should not exceed max_num_tokens (${LIMIT})`,
      type: 'BadRequestError',
      code: 400,
    }),
  ],
  [
    'LM Studio',
    () => ({
      error: `Trying to keep the first ${PROMPT} tokens when context the overflows. However, the model is loaded with context length of only ${LIMIT} tokens, which is not enough.`,
    }),
  ],
  ['Bedrock, of the prompt', () => ({ message: 'Input is too long for requested model.' })],
  [
    'Together',
    (c) => ({
      error: {
        message: `\`inputs\` tokens + \`max_new_tokens\` must be <= ${LIMIT}. Given: ${PROMPT} \`inputs\` tokens and ${c} \`max_new_tokens\``,
        code: null,
      },
    }),
  ],
];

describe('a ceiling of ours for which there is no room', () => {
  for (const [server, refusal, status = 400] of NO_ROOM) {
    it(`is lowered for a budget, in the words of ${server}`, async () => {
      const script = refusing((body) => {
        const ceiling = ceilingOf(body) ?? 0;
        return PROMPT + ceiling > LIMIT ? { status, body: refusal(ceiling) } : undefined;
      });
      await withScene(BARE_HOST, scene(BUDGET, script), async (given) => {
        for (let round = 0; round < 2; round += 1) await given.client().chat.completions.create(PRICED);
        const ceilings = seen(given).map(ceilingOf);
        assert.ok(
          ceilings.every((ceiling) => ceiling !== undefined && ceiling > 64),
          ceilings.join(),
        );
        assert.deepEqual(
          ceilings.slice(0, ceilings.length / 2),
          ceilings.slice(ceilings.length / 2),
          'nothing is remembered',
        );
      });
    });

    it(`is lowered or left out without one, in the words of ${server}`, async () => {
      const script = refusing((body) =>
        PROMPT + (ceilingOf(body) ?? 0) > LIMIT ? { status, body: refusal(ceilingOf(body) ?? 0) } : undefined,
      );
      await withScene(BARE_HOST, scene(TOKENS, script), async (given) => {
        await given.client().chat.completions.create(PRICED);
        assert.ok(given.upstream.requests.length <= 3);
      });
    });
  }

  it('is lowered where a server fails in such words, and not where an account is empty', async () => {
    const words = `the request exceeds the available context size, n_ctx ${LIMIT}, prompt tokens ${PROMPT}`;
    const script = refusing((body) =>
      PROMPT + (ceilingOf(body) ?? 0) > LIMIT ? { status: 500, body: { error: { message: words } } } : undefined,
    );
    await withScene(BARE_HOST, scene(BUDGET, script), async (given) => {
      await given.client().chat.completions.create(PRICED);
      assert.deepEqual(seen(given).map(ceilingOf), [4_096, LIMIT - PROMPT]);
    });
    const empty = { error: { message: `${words}`, code: 'insufficient_quota' } };
    const poor = refusing(() => ({ status: 429, body: empty }));
    await withScene(BARE_HOST, { ...scene(BUDGET, poor), broken: true }, async (given) => {
      await assert.rejects(given.client().chat.completions.create(PRICED), { status: 503 });
      assert.equal(given.upstream.requests.length, 1);
    });
  });

  it('tells a budget key about its prompt, not about a ceiling, where nothing fits', async () => {
    const script = refusing((body) => ({
      body: { error: { message: `max_completion_tokens ${String(ceilingOf(body))} is too large` } },
    }));
    await withScene(BARE_HOST, { ...scene(BUDGET, script), broken: true }, async (given) => {
      await assert.rejects(given.client().chat.completions.create(PRICED), (error: Error & { code?: unknown }) => {
        assert.equal(error.code, 'context_length_exceeded');
        assert.doesNotMatch(error.message, /max_/);
        return true;
      });
    });
  });
});

/** Words in which a prompt that is too long may be refused. */
const LONG_PROMPT_WORDS: readonly ((ceiling: number) => unknown)[] = [
  (c) => ({
    error: {
      message: `'max_tokens' or 'max_completion_tokens' is too large: ${c}. This model's maximum context length is 8192 tokens and your request has 5000 input tokens (${c} > 8192 - 5000).`,
    },
  }),
  () => ({
    error: {
      message: 'max_completion_tokens is not allowed for a prompt of this length',
      param: 'max_completion_tokens',
    },
  }),
  (c) => ({ error: { message: `Unsupported value: max_tokens or max_completion_tokens of ${c}` } }),
  () => ({ error: { message: 'Invalid max_completion_tokens.', param: 'max_completion_tokens' } }),
  () => ({ error: { message: 'Invalid max_tokens.', param: 'max_tokens' } }),
  () => ({ error: { message: 'no' } }),
  () => ({ detail: [{ type: 'extra_forbidden', loc: ['body', 'max_completion_tokens'] }] }),
  () => ({ error: { message: "Unsupported parameter: 'max_completion_tokens'", param: 'max_completion_tokens' } }),
];

describe('a long prompt of one key changes nothing for others', () => {
  for (const [at, words] of LONG_PROMPT_WORDS.entries()) {
    it(`whatever the words (${at})`, async () => {
      const script: Script = (request) => {
        const body = request.json();
        const ceiling = ceilingOf(body) ?? 0;
        const input = JSON.stringify(body.messages).length > 10_000 ? 8_000 : 5;
        if (ceiling > 0 && input + ceiling > 8_192) return reply(words(ceiling), { status: 400 });
        return reply(answering(Math.min(ceiling === 0 ? 60_000 : 50, 60_000)));
      };
      const keys = memoryKeys([
        { secret: SECRETS.a, id: 'a', tier: 'open', ownLimits: { tokensPerMinute: 100_000 } },
        { secret: SECRETS.b, id: 'b', tier: 'open', ownLimits: { tokensPerMinute: 6_000 } },
        { secret: SECRETS.c, id: 'c', tier: 'open', ownLimits: { usdPerDay: 0.05 } },
      ]);
      await withScene(BARE_HOST, { models: MODELS, keys, script }, async (given) => {
        const ask = (apiKey: string, content: string) =>
          given.client({ apiKey }).chat.completions.create({ model: 'priced', messages: [{ role: 'user', content }] });
        for (let round = 0; round < 5; round += 1) await ask(SECRETS.a, 'word '.repeat(5_000)).catch(() => {});
        const before = given.upstream.requests.length;
        await ask(SECRETS.b, 'hi');
        await ask(SECRETS.c, 'hi');
        await ask(SECRETS.c, 'word '.repeat(1_200));
        const bodies = seen(given).slice(before);
        assert.deepEqual(bodies.map(has('max_completion_tokens')), [true, true, true]);
      });
    });
  }
});

/** A server that knows only some names of the ceiling, and has much to say. */
const deaf =
  (...known: readonly string[]): Script =>
  (request) => {
    const body = request.json();
    const ceiling = known.map((name) => body[name]).find((one) => typeof one === 'number');
    const output = Math.min(Number(ceiling ?? 3_000), 3_000);
    if (body.stream !== true) return reply(answering(output));
    const usage = { prompt_tokens: 11, completion_tokens: output, total_tokens: 11 + output };
    return streamReply([
      ...streamEvents(['Hello'], { usage: 'never', done: false }),
      sse({ choices: [], usage }),
      'data: [DONE]\n\n',
    ]);
  };

const SMALL_BUDGET = { models: MODELS, key: { ownLimits: { usdPerDay: 0.025 } } } as const;

describe('a ceiling that is taken and ignored', () => {
  for (const stream of [false, true]) {
    it(`is sent under its other name from then on (${stream ? 'streamed' : 'whole'})`, async () => {
      await withScene(
        BARE_HOST,
        { ...scene({ ownLimits: { usdPerDay: 1 } }, deaf('max_tokens')), defaultMaxOutputTokens: 100 },
        async (given) => {
          for (let round = 0; round < 3; round += 1) {
            const answer = await given.client().chat.completions.create({ ...PRICED, stream });
            if ('controller' in answer) for await (const _ of answer);
          }
          assert.deepEqual(
            seen(given).map((body) => [body.max_completion_tokens, body.max_tokens]),
            [
              [100, undefined],
              [undefined, 100],
              [undefined, 100],
            ],
          );
        },
      );
    });
  }

  it('is renamed where the client named it', async () => {
    await withScene(BARE_HOST, scene(BUDGET, deaf('max_tokens')), async (given) => {
      for (let round = 0; round < 2; round += 1) {
        await given.client().chat.completions.create({ ...PRICED, max_completion_tokens: 50 });
      }
      assert.deepEqual(
        seen(given).map((body) => [body.max_completion_tokens, body.max_tokens]),
        [
          [50, undefined],
          [undefined, 50],
        ],
      );
    });
  });

  it('refuses budgets once no name is known, and no others', async () => {
    const keys = memoryKeys([
      { secret: SECRETS.a, id: 'a', tier: 'open', ownLimits: { usdPerDay: 1 } },
      { secret: SECRETS.b, id: 'b', tier: 'open', ownLimits: { tokensPerMinute: 60_000 } },
    ]);
    await withScene(BARE_HOST, { models: MODELS, keys, script: deaf(), defaultMaxOutputTokens: 100 }, async (given) => {
      const ask = (apiKey: string, more: object = {}) =>
        given.client({ apiKey }).chat.completions.create({ ...PRICED, ...more, stream: false });
      await ask(SECRETS.a);
      await ask(SECRETS.a);
      await assert.rejects(ask(SECRETS.a), { status: 403, code: 'model_not_allowed' });
      await assert.rejects(ask(SECRETS.a, { max_tokens: 5 }), { status: 403, code: 'model_not_allowed' });
      await ask(SECRETS.b);
    });
  });

  /** Names by which servers take another ceiling, or write more than one says: those of `upstream-words.ts`, by its sources. */
  const escapes = {
    prediction: { type: 'content', content: 'x' },
    best_of: 3,
    use_beam_search: true,
    min_tokens: 4_000,
    max_new_tokens: 4_000,
    max_length: 4_000,
    max_output_tokens: 4_000,
    num_predict: 4_000,
    n_predict: 4_000,
    options: { num_predict: 4_000 },
    extra_body: { max_tokens: 4_000 },
    generation_config: { max_output_tokens: 4_000 },
    generationConfig: { maxOutputTokens: 4_000 },
  };
  for (const [name, value] of Object.entries(escapes)) {
    it(`proves nothing where the client has asked for more by \`${name}\``, async () => {
      await withScene(
        BARE_HOST,
        { ...SMALL_BUDGET, key: BUDGET, script: deaf(), defaultMaxOutputTokens: 100 },
        async (given) => {
          for (let round = 0; round < 3; round += 1) {
            await given.client().chat.completions.create({ ...PRICED, ...{ [name]: value } });
          }
          assert.deepEqual(seen(given).map(has('max_completion_tokens')), [true, true, true]);
        },
      );
    });
  }
});

describe('http({ ceiling })', () => {
  for (const ceiling of ['max_tokens', 'max_completion_tokens'] as const) {
    it(`says ${ceiling}, and clients' ceilings are renamed`, async () => {
      const other = ceiling === 'max_tokens' ? 'max_completion_tokens' : 'max_tokens';
      await withScene(
        BARE_HOST,
        {
          ...scene(
            BUDGET,
            refusing(() => undefined),
          ),
          http: { ceiling },
        },
        async (given) => {
          await given.client().chat.completions.create(PRICED);
          await given.client().chat.completions.create({ ...PRICED, [other]: 7 });
          await given.client().chat.completions.create({ ...PRICED, [ceiling]: 8 });
          assert.ok(seen(given).every((body) => has(ceiling)(body) && !has(other)(body)));
          assert.deepEqual(seen(given).slice(1).map(ceilingOf), [7, 8]);
        },
      );
    });
  }

  it('takes nothing else', () => {
    assert.throws(
      () => http({ baseUrl: 'http://127.0.0.1/v1', apiKey: UPSTREAM_KEY, ceiling: 'max_new_tokens' as never }),
      TypeError,
    );
  });
});

onBareHost(
  'one n of several answers may be as long as the ceiling',
  () => ({ ...scene(BUDGET, () => reply(answering(190))), defaultMaxOutputTokens: 100 }),
  async (given) => {
    for (let round = 0; round < 2; round += 1) await given.client().chat.completions.create({ ...PRICED, n: 2 });
    assert.ok(seen(given).every(has('max_completion_tokens')));
  },
);
