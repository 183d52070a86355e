import { bufferOf } from '../../base/bytes.js';
import { GatheredBytes } from '../../base/gathered-bytes.js';
import { isJsonObject, type Json, type JsonObject, memberCount } from '../../base/json.js';
import { parseDocument } from '../../base/json-document.js';
import type { JsonBounds } from '../../base/json-scan.js';
import { parseInTurns } from '../../base/json-turns.js';
import { LARGE_BYTES, turn } from '../../base/turns.js';
import type { BatchMeter, BatchUsage } from '../../call/later-work.js';
import type { Config } from '../../config/config.js';
import { findUnrouted, type Model } from '../../config/models.js';
import { type ApiKey, ownerOf } from '../../keys/key-store.js';
import { BATCH_TIER, costNanoUsd, type PricedTokens } from '../../models/pricing.js';
import { checkReferences, findOwned, own } from '../../stores/ownership.js';
import { checkNoOtherModels } from '../../wire/model-request.js';
import { PLAIN_NAME } from '../../wire/references.js';
import { invalidRequest, modelNotAllowed, previousResponseNotFound } from '../../wire/request-errors.js';
import { readUsage, type TokenUsage } from '../../wire/usage.js';
import { findResponse } from '../responses/stored.js';

/** Statuses after which a batch uses no more. */
const ENDED = new Set<unknown>(['completed', 'failed', 'expired', 'cancelled']);
/** Statuses before that: what a batch has made is had once it was counted. */
const RUNNING = new Set<unknown>(['validating', 'in_progress', 'finalizing', 'cancelling']);

/** Counts in the object store which batches were counted. */
export function batchMeter(config: Config): BatchMeter {
  /** Being counted now: two who ask at once must not both pay. */
  const counting = new Set<string>();

  /** Takes a batch that is paid for as `wanted`, where that is given, and hands out its files. Returns its model. */
  async function takeOnce(
    { owner, id, handOut }: { readonly owner: string; readonly id: string; handOut(): Promise<void> },
    wanted: BatchModel | undefined,
  ): Promise<BatchModel | undefined> {
    const name = JSON.stringify([owner, id]);
    if (counting.has(name)) return undefined;
    counting.add(name);
    try {
      const found = await findOwned(config, { owner, kind: 'batch', id });
      if (found === undefined) return undefined;
      if (found.body.counted === true) {
        await handOut();
        return undefined;
      }
      const { model } = found.body;
      const taken = { model: typeof model === 'string' ? model : undefined };
      // A record has one price: batches of other models wait until they are looked at again.
      if (wanted !== undefined && wanted.model !== taken.model) return undefined;
      await handOut();
      await own(config, { owner, kind: 'batch', id }, { counted: true });
      return taken;
    } finally {
      counting.delete(name);
    }
  }

  return {
    async uncounted(owner, batches, handOut) {
      let sum: TokenUsage | undefined;
      let taken: BatchModel | undefined;
      for (const batch of batches) {
        const { id, status, usage } = batch;
        if (RUNNING.has(status)) continue;
        const used = readUsage(usage);
        if (used === undefined || typeof id !== 'string' || !ENDED.has(status)) {
          await handOut(batch);
          continue;
        }
        const model = await takeOnce({ owner, id, handOut: () => handOut(batch) }, taken);
        if (model === undefined) continue;
        taken = model;
        sum = sum === undefined ? used : added(sum, used);
      }
      return sum && { usage: sum, model: taken?.model };
    },
  };
}

type BatchModel = Pick<BatchUsage, 'model'>;

function added(one: TokenUsage, other: TokenUsage): TokenUsage {
  const sum = (part: keyof TokenUsage): number => (one[part] ?? 0) + (other[part] ?? 0);
  return {
    inputTokens: sum('inputTokens'),
    cachedInputTokens: sum('cachedInputTokens'),
    cacheWriteTokens: sum('cacheWriteTokens'),
    cacheWriteLongTokens: sum('cacheWriteLongTokens'),
    inputAudioTokens: sum('inputAudioTokens'),
    inputImageTokens: sum('inputImageTokens'),
    outputTokens: sum('outputTokens'),
    reasoningTokens: sum('reasoningTokens'),
    outputAudioTokens: sum('outputAudioTokens'),
  };
}

/** The parameter that is to blame. */
const INPUT = 'input_file_id';

/** Owner of a batch. */
interface BatchOwner {
  readonly config: Config;
  readonly key: ApiKey;
  /** Takes account of bytes of a line; negative: that are gone. @throws {GatewayError} when there is no room for more. */
  holdBytes?(bytes: number): void;
}

/**
 * Looks at every line of a batch's input before the batch is made: its requests go past the gateway, and must not reach what
 * their owner could not reach through it.
 * @param file JSON lines, as the upstream keeps them.
 * @returns the dearest of the models that they name; `undefined`: nobody knows what they cost.
 * @throws {GatewayError} 400, 403 or 404 for the first line that must not pass.
 */
export async function checkBatchLines(file: AsyncIterable<Uint8Array>, owner: BatchOwner): Promise<Model | undefined> {
  let requests = 0;
  let dearest: Model | 'unknown' | undefined;
  for await (const { line, number } of linesOf(file, owner)) {
    requests += 1;
    if (requests > MAX_REQUESTS) throw invalidRequest(`A batch may have at most ${MAX_REQUESTS} requests.`, INPUT);
    const model = await checkLine(line, number, owner);
    if (model?.price === undefined) dearest = 'unknown';
    else if (dearest !== 'unknown' && isDearer(model, dearest)) dearest = model;
  }
  return dearest === 'unknown' ? undefined : dearest;
}

/** Tokens by which models are compared, as a batch tells nothing but its sum: ten are read for one that is written. */
const COMPARED: PricedTokens = {
  inputTokens: 1_000_000,
  cachedInputTokens: undefined,
  inputAudioTokens: undefined,
  inputImageTokens: undefined,
  outputTokens: 100_000,
  reasoningTokens: undefined,
  outputAudioTokens: undefined,
};

function isDearer(model: Model, other: Model | undefined): boolean {
  if (model.price === undefined || other?.price === undefined || model === other) return other === undefined;
  // At what is paid in the end: one that is cheaper in batches may be the dearer one elsewhere.
  const terms = { serviceTier: BATCH_TIER };
  return costNanoUsd(model.price, COMPARED, terms) > costNanoUsd(other.price, COMPARED, terms);
}

/** Most requests of one batch, as OpenAI allows them: https://platform.openai.com/docs/guides/batch. */
const MAX_REQUESTS = 50_000;

/** Bytes of lines after which others get their turn. */
const TURN_BYTES = 262_144;
/** Bytes by which a line grows before it is counted again. */
const COUNTED_BYTES = 65_536;
const LF = 0x0a;

/** Lines that have more than space in them, with their numbers. */
async function* linesOf(file: AsyncIterable<Uint8Array>, owner: BatchOwner): AsyncGenerator<NumberedLine> {
  const maxBytes = owner.config.maxBodyBytes;
  let counted = 0;
  const held = new GatheredBytes();
  let number = 1;
  let sinceTurn = 0;
  for await (const given of file) {
    const piece = bufferOf(given);
    let from = 0;
    while (from < piece.length) {
      const found = piece.indexOf(LF, from);
      const end = found === -1 ? piece.length : found;
      const start = held.size > 0 ? from : textStart(piece, from, end);
      if (end > start) held.add(piece.subarray(start, end));
      if (held.size > maxBytes) throw invalidRequest(`A line of the batch is longer than ${maxBytes} bytes.`, INPUT);
      if (held.size > counted + COUNTED_BYTES) {
        owner.holdBytes?.(held.size - counted);
        counted = held.size;
      }
      if (found !== -1) {
        if (counted > 0) owner.holdBytes?.(-counted);
        counted = 0;
        if (held.size > 0) yield { line: held.take(), number };
        number += 1;
      }
      // An empty line costs as much as some bytes.
      sinceTurn += end - from + 32;
      from = end + 1;
      if (sinceTurn < TURN_BYTES) continue;
      sinceTurn = 0;
      await turn();
    }
  }
  if (held.size > 0) yield { line: held.take(), number };
}

interface NumberedLine {
  readonly line: Uint8Array;
  readonly number: number;
}

/** Offset of the first byte that is no space; `end` when there is none. */
function textStart(bytes: Buffer, from: number, end: number): number {
  let at = from;
  while (at < end && (bytes[at] ?? 0) <= 0x20) at += 1;
  return at;
}

async function checkLine(line: Uint8Array, number: number, { config, key }: BatchOwner): Promise<Model | undefined> {
  const request = await readLine(line, config.json.request);
  if (request === undefined) {
    throw invalidRequest(
      `Line ${number} of the batch is no JSON object whose members are named once, and in lower case.`,
      INPUT,
    );
  }
  const body: JsonObject = isJsonObject(request.body) ? request.body : {};
  const model = checkModel(body.model, { config, key });
  if (key.models !== undefined) checkNoOtherModels(Object.keys(body));
  const owner = ownerOf(key);
  await checkReferences(config, owner, body);
  const { previous_response_id: previous, conversation } = body;
  if (typeof previous === 'string' && (await findResponse(config, owner, previous))?.kind !== 'passed') {
    throw previousResponseNotFound(previous);
  }
  // Conversations, and items that stand alone, are nobody's here.
  if (conversation !== undefined && conversation !== null)
    throw invalidRequest('A batch cannot use conversations.', 'conversation');
  if (refersToItems(body.input)) throw invalidRequest('A batch cannot refer to items.', 'input');
  return model;
}

/** `undefined`: parsers might not agree about it. */
async function readLine(line: Uint8Array, bounds: JsonBounds): Promise<JsonObject | undefined> {
  const isLarge = line.length > LARGE_BYTES;
  const result = isLarge ? await parseInTurns(line, bounds, 'decoded') : parseDocument(line, bounds, 'decoded');
  if (result.kind === 'refused') return undefined;
  const request = result.outline.body;
  // A member that stands twice has gone from the object.
  const named = result.document.members.keysWithin;
  const bodyNames = isJsonObject(request.body) ? Object.keys(request.body) : [];
  const arePlain = [...Object.keys(request), ...bodyNames].every((name) => PLAIN_NAME.test(name));
  return named === memberCount(request) && arePlain ? request : undefined;
}

/** A request without a model is the upstream's to refuse, or to answer by one that nobody could check. */
function checkModel(name: Json | undefined, { config, key }: BatchOwner): Model | undefined {
  if (typeof name === 'string') return findUnrouted(config.models, key, name);
  if (key.models !== undefined) throw modelNotAllowed('');
  return undefined;
}

function refersToItems(input: Json | undefined): boolean {
  if (!Array.isArray(input)) return false;
  return input.some(
    (item) =>
      isJsonObject(item) && (item.type === 'item_reference' || (item.role === undefined && item.type === undefined)),
  );
}
