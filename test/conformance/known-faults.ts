import { isJsonObject } from '../../src/base/json.js';

/** A place where the description is at odds with what OpenAI sends, or says nothing. */
export interface KnownFault {
  /** JSON pointers into the description. */
  readonly at: readonly string[];
  readonly why: string;
  /** What ought to stand there, made of what does. */
  readonly mended: (schema: unknown) => unknown;
}

const members = (schema: string, ...names: readonly string[]): string[] =>
  names.map((name) => `/components/schemas/${schema}/properties/${name}`);

const orNull = (schema: unknown): unknown => ({ anyOf: [schema, { type: 'null' }] });
const content = (mediaType: string, schema: unknown) => (): unknown => ({ [mediaType]: { schema } });
const reference = (name: string): unknown => ({ $ref: `#/components/schemas/${name}` });

/** Everything in which the description is not followed, each with its reason: the one list of the kind. */
export const KNOWN_FAULTS: readonly KnownFault[] = [
  {
    at: ['/components'],
    why: 'Says `nullable`, a word of OpenAPI 3.0 that JSON Schema never had and 3.1 dropped.',
    mended: withNull,
  },
  {
    at: members('Embedding', 'embedding'),
    why: 'Knows numbers only; with `encoding_format: "base64"` it is text (recorded; what the SDKs ask for).',
    mended: (schema) => ({ anyOf: [schema, { type: 'string', pattern: '^[A-Za-z0-9+/]*={0,2}$' }] }),
  },
  {
    at: members('ModelResponseProperties', 'user'),
    why: 'Every recorded response has `"user": null`.',
    mended: orNull,
  },
  {
    at: ['/components/schemas/Response/allOf/2/properties/usage'],
    why: 'A response that is not completed has `"usage": null` (recorded: cancelled, in_progress).',
    mended: orNull,
  },
  {
    at: members('OpenAIFile', 'expires_at', 'status_details'),
    why: 'Are `null` in every recorded file.',
    mended: orNull,
  },
  {
    at: members(
      'Batch',
      ...['model', 'errors', 'output_file_id', 'error_file_id', 'in_progress_at', 'expires_at', 'finalizing_at'],
      ...['completed_at', 'failed_at', 'expired_at', 'cancelling_at', 'cancelled_at'],
    ),
    why: 'Are `null` in recorded batches until they have a value.',
    mended: orNull,
  },
  {
    at: members('VectorStoreObject', 'expires_after'),
    why: 'Is `null`, like the `expires_at` beside it, where no end was asked for (best knowledge: none is recorded).',
    mended: orNull,
  },
  {
    at: [
      'ChatCompletionList',
      'ChatCompletionMessageList',
      'ListFilesResponse',
      'ListBatchesResponse',
      'ListVectorStoresResponse',
      'ListVectorStoreFilesResponse',
      'ResponseItemList',
    ].flatMap((list) => members(list, 'first_id', 'last_id')),
    why: 'An empty list has neither a first nor a last item: `null` (recorded of messages).',
    mended: orNull,
  },
  {
    at: members('ChatCompletionMessageList', 'data'),
    why: 'Describes answers; the list holds the messages of the request, of every role and without `refusal` (recorded).',
    mended: () => ({
      type: 'array',
      items: {
        type: 'object',
        required: ['id', 'role', 'content', 'content_parts', 'name'],
        properties: {
          id: { type: 'string' },
          role: { enum: ['developer', 'system', 'user', 'assistant', 'tool', 'function'] },
          content: { type: ['string', 'null'] },
          content_parts: { type: ['array', 'null'] },
          name: { type: ['string', 'null'] },
        },
      },
    }),
  },
  {
    at: ['/components/schemas/ChatCompletionMessageToolCallChunk'],
    why: 'Knows functions only, while whole messages know `custom` tools, which stream likewise.',
    mended: (schema) => ({
      anyOf: [
        schema,
        {
          type: 'object',
          required: ['index'],
          properties: {
            index: { type: 'integer' },
            id: { type: 'string' },
            type: { const: 'custom' },
            function: false,
            custom: { type: 'object', properties: { name: { type: 'string' }, input: { type: 'string' } } },
          },
        },
      ],
    }),
  },
  {
    at: ['/paths/~1responses~1{response_id}/delete/responses/200/content'],
    why: 'Says nothing of the answer (recorded).',
    mended: content('application/json', {
      type: 'object',
      required: ['id', 'object', 'deleted'],
      properties: { id: { type: 'string' }, object: { const: 'response.deleted' }, deleted: { const: true } },
    }),
  },
  {
    at: ['/paths/~1responses~1{response_id}/get/responses/200/content/text~1event-stream'],
    why: 'Does not say what `stream=true` leads to (recorded).',
    mended: () => ({ schema: reference('ResponseStreamEvent') }),
  },
  {
    at: ['/paths/~1completions/post/responses/200/content/text~1event-stream'],
    why: 'Does not say what `stream: true` leads to: the same object in pieces, without a reason to end until the end.',
    mended: () => ({ schema: completionChunk() }),
  },
  {
    at: ['/paths/~1usage'],
    why: 'No endpoint of OpenAI’s: the service that we are compatible with has it (service.md §14).',
    mended: () => ({
      get: { responses: { 200: { content: content('application/json', { oneOf: [usageReport(), usageList()] })() } } },
    }),
  },
];

/** `nullable` said in JSON Schema. */
function withNull(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withNull);
  if (!isJsonObject(value)) return value;
  const { nullable, ...schema } = Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, withNull(member)]),
  );
  return nullable === true ? orNull(schema) : schema;
}

function completionChunk(): unknown {
  const choice = {
    text: { type: 'string' },
    index: { type: 'integer' },
    logprobs: { type: ['object', 'null'] },
    finish_reason: { enum: [null, 'stop', 'length', 'content_filter'] },
  };
  const properties = {
    id: { type: 'string' },
    object: { const: 'text_completion' },
    created: { type: 'integer' },
    model: { type: 'string' },
    choices: { type: 'array', items: { type: 'object', required: Object.keys(choice), properties: choice } },
  };
  const usage = orNull(reference('CompletionUsage'));
  return { type: 'object', required: Object.keys(properties), properties: { ...properties, usage } };
}

function usageReport(): unknown {
  const count = { type: 'integer', minimum: 0 };
  const cost = { type: ['number', 'null'], minimum: 0 };
  const byModel = (figure: unknown): unknown => ({ type: 'object', additionalProperties: figure });
  const properties = {
    object: { const: 'usage' },
    total_requests: count,
    total_tokens: count,
    input_tokens: count,
    output_tokens: count,
    total_cost: cost,
    currency: { const: 'USD' },
    requests_without_cost: count,
    requests_by_model: byModel(count),
    tokens_by_model: byModel(count),
    cost_by_model: byModel(cost),
    requests_by_hour: {
      type: 'array',
      items: {
        type: 'object',
        required: ['hour', 'count', 'tokens', 'cost'],
        properties: { hour: { type: 'string', pattern: ':00:00.000Z$' }, count, tokens: count, cost },
      },
    },
  };
  return { type: 'object', required: Object.keys(properties), properties, additionalProperties: false };
}

function usageList(): unknown {
  const count = { type: 'integer', minimum: 0 };
  const sums = {
    object: { const: 'usage.group' },
    total_requests: count,
    total_tokens: count,
    input_tokens: count,
    cached_input_tokens: count,
    cache_write_tokens: count,
    output_tokens: count,
    reasoning_tokens: count,
    total_cost: { type: ['number', 'null'], minimum: 0 },
    requests_without_cost: count,
  };
  const labels = {
    model: { type: 'string' },
    key: { type: 'string' },
    hour: { type: 'string', pattern: ':00:00.000Z$' },
    day: { type: 'string', pattern: '^\\d{4}-\\d\\d-\\d\\d$' },
  };
  const group = {
    type: 'object',
    required: Object.keys(sums),
    properties: { ...sums, ...labels },
    additionalProperties: false,
  };
  const properties = {
    object: { const: 'list' },
    start_time: count,
    end_time: count,
    currency: { const: 'USD' },
    data: { type: 'array', items: group },
  };
  return { type: 'object', required: Object.keys(properties), properties, additionalProperties: false };
}
