import { chunkOf, lastChunk, reply, streamHead } from '../helpers/chat-answers.js';
import type { Script, SeenRequest, Step } from '../helpers/scripted-upstream.js';

export type Member = Record<string, unknown>;

/** Tokens that a vendor bills for one answer. Thoughts are part of the output. */
export interface Billed {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
}

/** A tool's call that the model makes. */
export interface SaidCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

/** One answer of the model behind a vendor's server, before it is written in the vendor's way. */
export interface Said {
  readonly model: string;
  readonly words: readonly string[];
  readonly thoughts: string;
  readonly call: SaidCall | undefined;
  readonly finish: 'stop' | 'length' | 'tool_calls';
  readonly billed: Billed;
  /** Whether the client, or the gateway for it, asked for the usage of a stream. */
  readonly asksUsage: boolean;
}

/** A refusal as it stands on the wire. */
export interface Refusal {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One vendor's server: its names, its refusals, its way to write answers, streams, usage and errors. */
export interface Vendor {
  readonly name: string;
  /** Places that say so: documentation, the server's code, reports with the bytes. Each field below that differs from OpenAI's names its own. */
  readonly sources: readonly string[];
  /** Members that bound an answer's length; others are refused, or mean nothing. */
  readonly ceilings: readonly string[];
  /** Tokens of thought before each answer. */
  readonly reasoningTokens: number;
  /** Whether thoughts count against the ceiling. */
  readonly ceilingCountsThoughts: boolean;
  /** Refuses a body; `undefined` takes it. */
  refuse(body: Member): Refusal | undefined;
  /** Refuses a prompt that is too long for the context together with its ceiling. Absent: the ceiling is cut to what is left. */
  readonly tooLong?: (promptTokens: number, ceiling: number, contextLength: number) => Refusal;
  /** The whole answer. */
  whole(said: Said): unknown;
  /** The events of a streamed answer, each as it stands on the wire. */
  events(said: Said): readonly string[];
  /** Refusal of `BAD_TEMPERATURE`, a fault of the client's own. */
  readonly badTemperature: Refusal & { readonly words: RegExp };
  /** Refusal of too many calls. */
  readonly tooMany: Refusal;
  /** Tells nothing about usage in streams: it is estimated. */
  readonly hidesStreamUsage?: boolean;
  /** Does not know `json_schema`: its refusal reaches the client. */
  readonly refusesSchema?: RegExp;
  /** Does not know tools: its refusal reaches the client. */
  readonly refusesTools?: RegExp;
}

/** Tokens of the answer that the model would give if nothing bounded it. */
export const LONG_ANSWER = 60;
/** Tokens that each vendor's model reads and writes at most together. */
export const CONTEXT_LENGTH = 8_192;
/** A temperature that OpenAI's description allows and each vendor's model refuses. */
export const BAD_TEMPERATURE = 1.97;
/** Answer of the model where an object is asked for. */
export const SCHEMA_ANSWER = '{"city":"Paris"}';

/** A server as the vendor's. Its model answers in words of one token each, as many as the ceiling allows. */
export function vendorScript(vendor: Vendor): Script {
  return (request) => answerOf(vendor, request);
}

function* answerOf(vendor: Vendor, request: SeenRequest): Iterable<Step> {
  const body = request.json();
  if (body.temperature === BAD_TEMPERATURE) return yield* refusal(vendor.badTemperature);
  if (JSON.stringify(body.messages).includes('too many calls')) return yield* refusal(vendor.tooMany);
  const refused = vendor.refuse(body);
  if (refused !== undefined) return yield* refusal(refused);
  const inputTokens = Math.ceil(JSON.stringify(body.messages).length / 4);
  const asked = vendor.ceilings.map((name) => body[name]).find((value) => typeof value === 'number');
  const ceiling = typeof asked === 'number' ? asked : undefined;
  if (ceiling !== undefined && inputTokens + ceiling > CONTEXT_LENGTH && vendor.tooLong !== undefined) {
    return yield* refusal(vendor.tooLong(inputTokens, ceiling, CONTEXT_LENGTH));
  }
  const said = saidTo(vendor, body, { inputTokens, ceiling });
  if (body.stream !== true) return yield* reply(vendor.whole(said));
  yield streamHead();
  const [first, ...rest] = vendor.events(said);
  yield chunkOf(first ?? '');
  // A client that leaves in mid-stream, as one test has it, never gets the rest.
  if (JSON.stringify(body.messages).includes('stall')) {
    yield chunkOf(rest[0] ?? '');
    yield { kind: 'stall' };
  }
  for (const event of rest) yield chunkOf(event);
  yield lastChunk();
}

function saidTo(
  vendor: Vendor,
  body: Member,
  { inputTokens, ceiling }: { readonly inputTokens: number; readonly ceiling: number | undefined },
): Said {
  const format = body.response_format;
  const wantsSchema = typeof format === 'object' && format !== null && 'type' in format && format.type !== 'text';
  const wantsCall = Array.isArray(body.tools) && body.tools.length > 0;
  const words = wantsSchema ? [SCHEMA_ANSWER] : Array.from({ length: LONG_ANSWER }, (_, index) => `word${index} `);
  const { reasoningTokens } = vendor;
  const room = Math.max(
    0,
    (ceiling ?? Number.POSITIVE_INFINITY) - (vendor.ceilingCountsThoughts ? reasoningTokens : 0),
  );
  const shown = wantsCall ? [] : words.slice(0, Math.min(room, words.length));
  const callTokens = wantsCall ? 12 : 0;
  const options = body.stream_options;
  return {
    model: String(body.model),
    words: shown,
    thoughts: 'hm '.repeat(reasoningTokens),
    call: wantsCall ? { id: 'call_1', name: 'get_weather', arguments: '{"city":"Paris"}' } : undefined,
    finish: wantsCall ? 'tool_calls' : shown.length < words.length ? 'length' : 'stop',
    billed: { inputTokens, outputTokens: shown.length + callTokens + reasoningTokens, reasoningTokens },
    asksUsage:
      typeof options === 'object' && options !== null && 'include_usage' in options && options.include_usage === true,
  };
}

function refusal({ status, body, headers }: Refusal): Step[] {
  return typeof body === 'string'
    ? reply(body, { status, contentType: 'text/plain', ...(headers === undefined ? {} : { headers }) })
    : reply(body, { status, ...(headers === undefined ? {} : { headers }) });
}

/** An error in OpenAI's shape. */
export function openAiRefusal(status: number, error: Member): Refusal {
  const body = {
    error: { message: 'Said by the upstream', type: 'invalid_request_error', param: null, code: null, ...error },
  };
  return { status, body };
}

/** Names of a body that are none of `known`. */
export function unknownNames(body: Member, known: ReadonlySet<string>): string[] {
  return Object.keys(body).filter((name) => !known.has(name));
}
