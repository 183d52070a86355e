import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { type FinishReason, readFinishReason } from '../chat/answer.js';
import { unknownWords } from '../chat/said-words.js';
import { responseId } from '../ids.js';
import { objectsIn, optionalObject } from '../members.js';
import { responsesUsage } from '../usage.js';
import { outputItem, type SaidItem, saidItems, type ThoughtsForm, textPart } from './output.js';
import type { ResponsesRequest } from './request.js';

/** The facts that every snapshot of a response repeats. */
export interface ResponseHead {
  readonly id: string;
  /** Unix time in seconds. */
  readonly createdAt: number;
  /** The name of the model that the client sees. */
  readonly model: string;
  /** The client's request: each snapshot repeats its settings. */
  readonly request: ResponsesRequest;
  readonly thoughts: ThoughtsForm;
}

/** The facts that change from one snapshot of a response to the next. */
export interface ResponseState {
  readonly status: 'queued' | 'in_progress' | 'completed' | 'incomplete';
  /** @default [] */
  readonly output?: readonly JsonObject[];
  /** Usage in the shape of responses. @default null */
  readonly usage?: JsonObject | null;
  /** Unix time in seconds. @default null */
  readonly completedAt?: number;
  readonly incompleteReason?: IncompleteReason;
  /** The service tier that did the work. Absent: the one that was asked for. */
  readonly serviceTier?: string;
}

type IncompleteReason = 'max_output_tokens' | 'content_filter';

/** The end of an answer. */
export type ResponseEnding =
  | { readonly status: 'completed' }
  | { readonly status: 'incomplete'; readonly incompleteReason: IncompleteReason };

/**
 * The head of a response.
 * @param seed source of the ids, such as the request id. @param nowMs Unix time. @param seal hides thoughts, should the client want them so.
 */
export function responseHead(
  seed: string,
  request: ResponsesRequest,
  nowMs: number,
  seal?: (thoughts: string) => string,
): ResponseHead {
  const { reasoning, include } = request.body;
  const { summary, generate_summary } = optionalObject('reasoning', reasoning) ?? {};
  const isSealed = Array.isArray(include) && include.includes('reasoning.encrypted_content');
  const thoughts = { isSummary: typeof (summary ?? generate_summary) === 'string', seal: isSealed ? seal : undefined };
  return { id: responseId(seed), createdAt: Math.floor(nowMs / 1000), model: request.model, request, thoughts };
}

/** A snapshot of a response, its members in the order in which OpenAI sends them. */
export function responseSnapshot(head: ResponseHead, state: ResponseState): JsonObject {
  const { body, store, background, previousResponseId } = head.request;
  const { effort, summary } = optionalObject('reasoning', body.reasoning) ?? {};
  const { incompleteReason } = state;
  return {
    id: head.id,
    object: 'response',
    created_at: head.createdAt,
    status: state.status,
    background,
    completed_at: state.completedAt ?? null,
    error: null,
    frequency_penalty: body.frequency_penalty ?? 0,
    incomplete_details: incompleteReason === undefined ? null : { reason: incompleteReason },
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: body.max_tool_calls ?? null,
    model: head.model,
    output: state.output ?? [],
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    presence_penalty: body.presence_penalty ?? 0,
    previous_response_id: previousResponseId ?? null,
    prompt_cache_key: body.prompt_cache_key ?? null,
    prompt_cache_retention: body.prompt_cache_retention ?? null,
    reasoning: { effort: effort ?? null, summary: summary ?? null },
    safety_identifier: body.safety_identifier ?? null,
    service_tier: state.serviceTier ?? body.service_tier ?? 'auto',
    store,
    temperature: body.temperature ?? 1,
    text: shownText(body.text),
    tool_choice: body.tool_choice ?? 'auto',
    tools: objectsIn('tools', body.tools).map(shownTool),
    top_logprobs: body.top_logprobs ?? 0,
    top_p: body.top_p ?? 1,
    truncation: body.truncation ?? 'disabled',
    usage: state.usage ?? null,
    user: body.user ?? null,
    metadata: body.metadata ?? {},
  };
}

/** The response before anybody works on it. */
export const queuedResponse = (head: ResponseHead): JsonObject => responseSnapshot(head, { status: 'queued' });

/** The response before the model has said anything. */
export const inProgressResponse = (head: ResponseHead): JsonObject => responseSnapshot(head, { status: 'in_progress' });

/** The response that a whole chat completion makes: its first choice. @param nowMs Unix time. */
export function completedResponse(head: ResponseHead, completion: JsonObject, nowMs: number): JsonObject {
  const choice: Json = Array.isArray(completion.choices) ? (completion.choices[0] ?? null) : null;
  const { logprobs, finish_reason }: JsonObject = isJsonObject(choice) ? choice : {};
  const message = messageIn(choice);
  const ending = endingOf(readFinishReason(finish_reason));
  const said = saidItems(head.id, message, logprobs, head.thoughts);
  const items = isSilent(said, ending) ? [...said, plainMessage(unknownWords(message))] : said;
  return responseSnapshot(head, {
    ...ending,
    output: items.map((item, outputIndex) => {
      const isCut = ending.status === 'incomplete' && outputIndex === items.length - 1;
      return outputItem({ responseId: head.id, outputIndex }, item, isCut ? 'incomplete' : 'completed');
    }),
    usage: responsesUsage(completion.usage),
    serviceTier: usedTier(completion.service_tier),
    ...completedAt(ending, nowMs),
  });
}

/** The message of a choice; where it has none, what stands in its place. */
export function messageIn(choice: Json): JsonObject {
  if (!isJsonObject(choice)) return {};
  if (isJsonObject(choice.message)) return choice.message;
  return isJsonObject(choice.delta) ? choice.delta : choice;
}

/** The end of a response, told from the finish reason of a chat completion; `undefined`: none was given. */
export function endingOf(reason: FinishReason | undefined): ResponseEnding {
  if (reason === 'length') return { status: 'incomplete', incompleteReason: 'max_output_tokens' };
  if (reason === 'content_filter') return { status: 'incomplete', incompleteReason: 'content_filter' };
  return { status: 'completed' };
}

/** The time of completion, for a response that is complete. */
export function completedAt({ status }: ResponseEnding, nowMs: number): Pick<ResponseState, 'completedAt'> {
  return status === 'completed' ? { completedAt: Math.floor(nowMs / 1000) } : {};
}

/** Whether a complete answer has neither message nor call. It gets an empty text: clients look for that first. */
export function isSilent(said: readonly Pick<SaidItem, 'kind'>[], { status }: ResponseEnding): boolean {
  return status === 'completed' && said.every(({ kind }) => kind === 'reasoning');
}

const plainMessage = (text: string): SaidItem => ({ kind: 'message', parts: [textPart(text, [], [])] });

/** The service tiers of OpenAI's list. Some SDKs fail at any other. */
const TIERS: readonly Json[] = ['auto', 'default', 'flex', 'scale', 'priority'];

/** The service tier that a chat completion names, if it is a known one. */
export function usedTier(tier: Json | undefined): string {
  return typeof tier === 'string' && TIERS.includes(tier) ? tier : 'default';
}

function shownText(value: Json | undefined): JsonObject {
  const { format, verbosity, ...rest } = optionalObject('text', value) ?? {};
  return { format: format ?? { type: 'text' }, verbosity: verbosity ?? 'medium', ...rest };
}

/** A tool with the members on which clients rely in a function. */
function shownTool(tool: JsonObject): JsonObject {
  if (tool.type !== 'function') return tool;
  return { ...tool, parameters: tool.parameters ?? null, strict: tool.strict ?? false };
}
