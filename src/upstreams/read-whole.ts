import { type Awaitable, isPending } from '../base/awaitable.js';
import { type GatewayError, upstreamBadResponse } from '../base/errors.js';
import { isJsonObject, type Json, type JsonObject } from '../base/json.js';
import {
  boundedObject,
  boundedValue,
  type JsonDocument,
  memberValue,
  replaceMembers,
  scanDocument,
  withoutByteOrderMark,
} from '../base/json-document.js';
import type { JsonBounds, JsonRefusal } from '../base/json-scan.js';
import { scanInTurns, valueInTurns } from '../base/json-turns.js';
import { type StepSource, stepsOf } from '../base/steps.js';
import { LARGE_BYTES, turn } from '../base/turns.js';
import { failureIn, usageBody } from '../wire/chat/answer.js';
import { LEGACY_OBJECT, legacyChoices } from '../wire/chat/legacy-choices.js';
import { withKnownReasons } from '../wire/chat/visible-event.js';
import { estimateTokens } from '../wire/estimate.js';
import { readToolCalls } from '../wire/hosted-tools.js';
import { answerTextBytes } from '../wire/said-text.js';
import { withoutCost } from '../wire/shown-usage.js';
import { readAnswerUsage, readServiceTier, readToldUsage, type ToldUsage, withoutOutput } from '../wire/usage.js';
import { scanUsage } from '../wire/usage-scan.js';
import {
  type AnswerChunk,
  checkNoError,
  collectBytes,
  estimatedUsage,
  isPathAt,
  type OutgoingCall,
  reportedError,
  shownError,
  shownModel,
  shownModelOf,
  sourceOf,
} from './answer.js';
import { formOf } from './answer-form.js';
import { AnswerSkim, isKnownReason } from './answer-skim.js';
import { wholeOfStream } from './convert-answer.js';
import { hasFloatEmbeddings, withEncodedEmbeddings } from './encode-embeddings.js';
import type { UpstreamReply } from './upstream.js';
import { withUsage } from './upstream-failure.js';

const OPENING_BRACKET = 0x5b;
/** Largest answer that is not counted: places of calls bound how many there are. */
const SMALL_BYTES = 262_144;
/** An answer that something else is made of is in memory as it came, as an object, and as the text of what was made. */
const MADE_COPIES = 3;

/** An answer that is there in full. */
export class WholeAnswer {
  readonly kind = 'whole';
  readonly body: AnswerChunk;
  readonly usage: ToldUsage | undefined;
  /** The service tier that the answer names. */
  readonly serviceTier: string | undefined;
  /** Calls of hosted tools, where the request has such tools. */
  readonly toolCalls: Readonly<Record<string, number>> | undefined;
  /** Size of the model's output in UTF-8, where the upstream told no usage. */
  private readonly outputBytes: number;

  constructor(
    body: AnswerChunk,
    usage: ToldUsage | undefined,
    outputBytes: number,
    serviceTier?: string,
    toolCalls?: Readonly<Record<string, number>>,
  ) {
    this.body = body;
    this.usage = usage;
    this.serviceTier = serviceTier;
    this.toolCalls = toolCalls;
    this.outputBytes = outputBytes;
  }

  /** Output that the client got. */
  deliveredTokens(): number {
    return estimateTokens(this.outputBytes);
  }
}

/** Reads a whole answer to its end and makes sure that it is one. A stream in its place is collected. */
export function readWhole(call: OutgoingCall, reply: UpstreamReply): Awaitable<WholeAnswer> {
  if (reply.kind === 'chunks') return collected(call, sourceOf(call, reply));
  if (reply.kind === 'bytes') {
    return collectBytes(sourceOf(call, reply), call).then((bytes) => readBytes(call, bytes));
  }
  const { body } = reply;
  if (!(body instanceof Uint8Array)) return wholeObject(call, body);
  if (body.byteLength <= SMALL_BYTES) return readBytes(call, body);
  const held = call.holdInTime(body.byteLength);
  return isPending(held) ? held.then(() => readBytes(call, body)) : readBytes(call, body);
}

/** Reads the bytes of an answer, in the form that they have, whatever they were called. */
function readBytes(call: OutgoingCall, bytes: Uint8Array): Awaitable<WholeAnswer> {
  const form = formOf(bytes);
  if (form === 'events') return collected(call, stepsOf(only(bytes)));
  if (form !== 'json') throw upstreamBadResponse('The upstream answered with something other than JSON.');
  const isParsed = call.view.takes === 'objects' && bytes.byteLength > SMALL_BYTES;
  const held = isParsed ? call.holdInTime(MADE_COPIES * bytes.byteLength) : undefined;
  return isPending(held) ? held.then(() => readJson(call, bytes)) : readJson(call, bytes);
}

function readJson(call: OutgoingCall, bytes: Uint8Array): Awaitable<WholeAnswer> {
  const answer = mayBePlain(call) ? skimmed(call, bytes) : wholeBytes(call, bytes);
  if (isPending(answer)) return answer.then((whole) => inFormAsked(call, whole));
  return inFormAsked(call, answer);
}

/** Whether the answer passes unread, but for its usage, if nothing in it is odd. */
function mayBePlain({ endpoint, view, asks }: OutgoingCall): boolean {
  // A view that takes objects parses all of it; calls of hosted tools are told by items of the answer.
  if (view.takes !== 'text' || asks.hasHostedTools === true) return false;
  return endpoint.operation === 'chat.completions' || endpoint.operation === 'embeddings';
}

/** Skims an answer, many bytes in turns; one that is odd is read. */
function skimmed(call: OutgoingCall, bytes: Uint8Array): Awaitable<WholeAnswer> {
  const skim = new AnswerSkim(withoutByteOrderMark(bytes), call.endpoint.answerMember);
  if (bytes.byteLength > LARGE_BYTES) return skimmedInTurns(call, bytes, skim);
  const plain = skim.walk(bytes.byteLength) === 'plain' ? plainAnswer(call, skim) : undefined;
  return plain ?? wholeBytes(call, bytes);
}

/** Bytes that are skimmed in one turn: some milliseconds. */
const SKIMMED_PER_TURN = 1_048_576;

async function skimmedInTurns(call: OutgoingCall, bytes: Uint8Array, skim: AnswerSkim): Promise<WholeAnswer> {
  let until = 0;
  let found: ReturnType<AnswerSkim['walk']>;
  do {
    await turn();
    until += SKIMMED_PER_TURN;
    found = skim.walk(until);
  } while (found === 'paused');
  const plain = found === 'plain' ? plainAnswer(call, skim) : undefined;
  return plain ?? wholeBytes(call, bytes);
}

/** An answer in which nothing is odd; `undefined` where its usage is. */
function plainAnswer(call: OutgoingCall, skim: AnswerSkim): WholeAnswer | undefined {
  const { answerBounds: bounds } = call;
  const span = skim.members.get('usage');
  const told = span === undefined ? undefined : scanUsage(skim.bytes, span);
  // Of a usage of ordinary make there is nothing else to know.
  const said = told === undefined ? (toldValue(skim, 'usage', bounds) ?? null) : null;
  const usage = usageFor(call, told ?? readToldUsage(said));
  if (isUncounted(usage) || !skim.members.has(call.endpoint.answerMember)) return undefined;
  const model = skim.members.get('model');
  const shown = shownModelOf(call, model !== undefined && isPathAt(skim.bytes, model.start));
  const usageShown = withoutCost(said);
  const toolCalls = said === null ? undefined : readToolCalls({ usage: said });
  const body =
    shown === undefined && usageShown === undefined
      ? skim.bytes
      : replaceMembers(skim, {
          ...(shown === undefined ? {} : { model: shown }),
          ...(usageShown === undefined ? {} : { usage: usageShown }),
        });
  return new WholeAnswer(body, usage, 0, serviceTierIn(skim, bounds, said), toolCalls);
}

function inFormAsked(call: OutgoingCall, answer: WholeAnswer): Awaitable<WholeAnswer> {
  return call.endpoint.operation === 'embeddings' ? encoded(call, answer) : answer;
}

async function collected(call: OutgoingCall, source: StepSource<Uint8Array | JsonObject>): Promise<WholeAnswer> {
  const { body, usage } = await wholeOfStream(call, source);
  return wholeObject(call, body, usage);
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Embeddings in the form that was asked for: a client that asked for base64 would read numbers as nonsense. */
function encoded(call: OutgoingCall, answer: WholeAnswer): Awaitable<WholeAnswer> {
  const { body, usage } = answer;
  if (!(body instanceof Uint8Array) || memberValue(call.document, 'encoding_format') !== 'base64') return answer;
  const bytes = withoutByteOrderMark(body);
  if (!hasFloatEmbeddings(bytes)) return answer;
  return withEncodedEmbeddings(bytes).then((text) => new WholeAnswer(text, usage, 0));
}

function wholeObject(call: OutgoingCall, body: JsonObject, told?: ToldUsage): WholeAnswer {
  // A response bears its error itself, and `null` where it has none.
  if (body.output === undefined) checkNoError(call, body.error, body);
  if (!Array.isArray(body[call.endpoint.answerMember])) throw noAnswer(call, body);
  const usage = told ?? readAnswerUsage(body);
  const failed = failureIn(body.choices);
  if (failed !== undefined) throw withUsage(reportedError(call, failed), usage);
  const outputBytes = isUncounted(usage) ? answerTextBytes(body.choices ?? body.output) : 0;
  const shown = shownModel(call);
  const usageShown = withoutCost(body.usage);
  const known = withKnownReasons(body.choices);
  const texts = call.endpoint.operation === 'completions' ? legacyChoices(known ?? body.choices) : undefined;
  const choices = texts ?? known;
  const answer: JsonObject = {
    ...body,
    ...(choices === undefined ? {} : { choices }),
    ...(texts === undefined ? {} : { object: LEGACY_OBJECT }),
    ...(shown === undefined ? {} : { model: shown }),
    ...(isJsonObject(body.error) ? { error: shownError(call, body.error) } : {}),
    // A client is owed the numbers, and whoever made the objects cannot count.
    ...(body.usage === undefined && call.endpoint.asksUsage && body.choices !== undefined
      ? { usage: usage === undefined ? estimatedUsage(call, estimateTokens(outputBytes)) : usageBody(usage) }
      : {}),
    ...(usageShown === undefined ? {} : { usage: usageShown }),
  };
  // A view that makes something else of the object writes it itself: its texts are the bulk of it.
  const text = call.view.takes === 'text' ? JSON.stringify(answer) : undefined;
  const size = text?.length ?? answerTextBytes(body.choices ?? body.output);
  if (size > call.maxResponseBytes) throw upstreamBadResponse('The upstream answered with too much.');
  return new WholeAnswer(text ?? answer, usage, outputBytes, readServiceTier(body), readToolCalls(body));
}

/** Reads an answer as the bytes that it is, many of them in turns. @throws {GatewayError} for one that is none. */
export function wholeBytes(call: OutgoingCall, bytes: Uint8Array): Awaitable<WholeAnswer> {
  if (bytes.byteLength > LARGE_BYTES) return largeBytes(call, bytes);
  return wholeDocument(call, bytes, scanDocument(bytes, call.answerBounds));
}

async function largeBytes(call: OutgoingCall, bytes: Uint8Array): Promise<WholeAnswer> {
  const { answerBounds: bounds } = call;
  const document = await scanInTurns(bytes, bounds);
  if ('kind' in document || !isUncounted(readToldUsage(toldValue(document, 'usage', bounds)))) {
    return wholeDocument(call, bytes, document);
  }
  const written = await valueInTurns(document, document.members.get(writtenMember(document)), bounds);
  return wholeDocument(call, bytes, document, written ?? null);
}

/** @param parsed the texts of the answer, where they are parsed already; `null`: they are too many. */
function wholeDocument(
  call: OutgoingCall,
  bytes: Uint8Array,
  document: JsonDocument | JsonRefusal,
  parsed?: Json,
): WholeAnswer {
  const { answerBounds: bounds } = call;
  const error = 'kind' in document ? undefined : toldValue(document, 'error', bounds);
  if ('kind' in document || (error === undefined && document.members.has('error'))) {
    throw upstreamBadResponse('The upstream answered with JSON that cannot be read.');
  }
  if (error !== undefined && error !== null && !document.members.has('output')) {
    throw reportedError(call, error, errorObject(document, bounds));
  }
  const answer = document.members.get(call.endpoint.answerMember);
  if (answer === undefined || document.bytes[answer.start] !== OPENING_BRACKET) {
    throw noAnswer(call, document.members.has('output') ? {} : (errorObject(document, bounds) ?? {}));
  }
  const isLegacy = call.endpoint.operation === 'completions' && mayBeOfChat(document);
  const choices = isLegacy || hasOddChoice(document, bounds) ? boundedValue(document, 'choices', bounds) : undefined;
  const failed = failureIn(choices);
  const said = toldValue(document, 'usage', bounds) ?? null;
  const told = usageFor(call, readToldUsage(said));
  if (failed !== undefined) throw withUsage(reportedError(call, failed), told);
  // Texts are the bulk of an answer: they are read once, and only where its usage does not stand in its place.
  const name = writtenMember(document);
  const written =
    isUncounted(told) && parsed === undefined ? boundedValue(document, name, bounds) : (parsed ?? undefined);
  const usage = told ?? usageBeside(document, bounds, written);
  const outputBytes = isUncounted(usage) ? writtenBytes(document, written) : 0;
  const serviceTier = serviceTierIn(document, bounds, said);
  const output = call.asks.hasHostedTools === true ? outputIn(document, bounds) : undefined;
  const toolCalls = readToolCalls({ output, usage: said });
  const model = document.members.get('model');
  const shown = shownModelOf(call, model !== undefined && isPathAt(document.bytes, model.start));
  const usageShown = (told === undefined ? usageOwed(call, document, usage) : undefined) ?? withoutCost(said);
  const known = withKnownReasons(choices);
  const texts = isLegacy ? legacyChoices(known ?? choices) : undefined;
  const choicesShown = texts ?? known;
  const errorShown = isJsonObject(error) ? shownError(call, error) : undefined;
  const isAsItCame = (shown ?? usageShown ?? choicesShown ?? errorShown) === undefined;
  const body = isAsItCame
    ? withoutByteOrderMark(bytes)
    : replaceMembers(document, {
        ...(shown === undefined ? {} : { model: shown }),
        ...(usageShown === undefined ? {} : { usage: usageShown }),
        ...(choicesShown === undefined ? {} : { choices: choicesShown }),
        ...(texts === undefined ? {} : { object: LEGACY_OBJECT }),
        ...(errorShown === undefined ? {} : { error: errorShown }),
      });
  return new WholeAnswer(body, usage, outputBytes, serviceTier, toolCalls);
}

const MESSAGE = Buffer.from('"message"');

/** Whether the choices of a legacy completion may be those of a chat. */
function mayBeOfChat({ bytes, members }: JsonDocument): boolean {
  const choices = members.get('choices');
  return choices !== undefined && bytes.subarray(choices.start, choices.end).includes(MESSAGE);
}

const REASON = Buffer.from('"finish_reason"');
const ERROR = Buffer.from('"error"');
/** Whether a choice may have a finish reason of another vendor, or an error. Found without parsing: almost none has. */
function hasOddChoice({ bytes: all, members }: JsonDocument, { maxBytes }: JsonBounds): boolean {
  const choices = members.get('choices');
  if (choices === undefined || choices.end - choices.start > maxBytes) return false;
  // Megabytes after them are not searched; a view of fewer bytes would cost more than it saves.
  const bytes = all.length > LARGE_BYTES ? all.subarray(0, choices.end) : all;
  const error = bytes.indexOf(ERROR, choices.start);
  if (error !== -1 && error < choices.end) return true;
  for (let at = bytes.indexOf(REASON, choices.start); at !== -1 && at < choices.end; at = bytes.indexOf(REASON, at)) {
    at += REASON.length;
    while (bytes[at] === 0x3a || (bytes[at] ?? 0xff) <= 0x20) at += 1;
    if (!isKnownReason(bytes, at)) return true;
  }
  return false;
}

const DEFAULT_TIER = Buffer.from('"default"');

/** The service tier that an answer names. Almost all name one, which is not worth an object and a text each. */
function serviceTierIn(document: JsonDocument, bounds: JsonBounds, usage: Json): string | undefined {
  const { bytes, members } = document;
  const span = members.get('service_tier');
  const isDefault =
    span !== undefined &&
    span.end - span.start === DEFAULT_TIER.length &&
    DEFAULT_TIER.compare(bytes, span.start, span.end) === 0;
  if (isDefault) return 'default';
  return readServiceTier({ service_tier: toldValue(document, 'service_tier', bounds) ?? null, usage });
}

/** The items of a response; where they are too many to be parsed, the types of those that are calls. */
function outputIn(document: JsonDocument, bounds: JsonBounds): Json | undefined {
  const span = document.members.get('output');
  const output = boundedValue(document, 'output', bounds);
  if (output !== undefined || span === undefined) return output;
  // Inside a text the quotes have backslashes: whatever matches is a member.
  const types = document.bytes.toString('latin1', span.start, span.end).matchAll(CALL_TYPE);
  return Array.from(types, ([, type = '']) => ({ type }));
}

const CALL_TYPE = /"type"\s*:\s*"(\w{1,64}_call)"/g;

/** Longest usage or error: whatever is longer is none. */
const MAX_TOLD_BYTES = 65_536;

function toldValue(document: JsonDocument, name: string, bounds: JsonBounds): Json | undefined {
  const span = document.members.get(name);
  if (span === undefined || span.end - span.start > MAX_TOLD_BYTES) return undefined;
  return boundedValue(document, name, bounds);
}

/** A whole answer that is an error; `undefined` for one that is too long to be. */
function errorObject(document: JsonDocument, bounds: JsonBounds): JsonObject | undefined {
  return document.bytes.length > MAX_TOLD_BYTES ? undefined : boundedObject(document, bounds);
}

/** UTF-8 bytes of what the model wrote; all of it, names included, where that was too much to parse. */
function writtenBytes(document: JsonDocument, written: Json | undefined): number {
  if (written !== undefined) return answerTextBytes(written);
  const span = document.members.get(writtenMember(document));
  return span === undefined ? 0 : span.end - span.start;
}

/** An answer without its member: an error of another shape, if it says so. */
function noAnswer(call: OutgoingCall, body: JsonObject): GatewayError {
  const { object, code, detail, message } = body;
  const isError = object === 'error' || code !== undefined || detail !== undefined || typeof message === 'string';
  if (isError && body.choices === undefined) return reportedError(call, body);
  return upstreamBadResponse(`The upstream answered with no ${call.endpoint.answerMember}.`);
}

/** The usage as it is meant: embeddings and moderations make no output. */
function usageFor({ endpoint }: OutgoingCall, told: ToldUsage | undefined): ToldUsage | undefined {
  return endpoint.ceilings.length === 0 ? withoutOutput(told) : told;
}

function isUncounted(usage: ToldUsage | undefined): boolean {
  return usage === undefined || usage.isDoubtful === true;
}

function writtenMember({ members }: JsonDocument): 'choices' | 'output' {
  return members.has('choices') ? 'choices' : 'output';
}

/** Usage that stands elsewhere than OpenAI has it. */
function usageBeside(document: JsonDocument, bounds: JsonBounds, written: Json | undefined): ToldUsage | undefined {
  const { members } = document;
  const beside: Record<string, Json> = {};
  if (members.has('choices') && written !== undefined) beside.choices = written;
  for (const name of USAGE_MEMBERS) {
    const value = members.has(name) ? toldValue(document, name, bounds) : undefined;
    if (value !== undefined) beside[name] = value;
  }
  return readAnswerUsage(beside);
}

/** Usage that stood elsewhere, in the place where clients look for it. */
function usageOwed(
  { endpoint }: OutgoingCall,
  { members }: JsonDocument,
  usage: ToldUsage | undefined,
): JsonObject | undefined {
  const isOwed = endpoint.asksUsage && members.has('choices');
  return usage === undefined || usage.isDoubtful === true || !isOwed ? undefined : usageBody(usage);
}

/** Groq's first; Gemini's own; Ollama's own. */
const USAGE_MEMBERS = ['x_groq', 'usageMetadata', 'prompt_eval_count', 'eval_count'];
