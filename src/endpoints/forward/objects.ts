import { upstreamBadResponse } from '../../base/errors.js';
import { isJsonObject, type JsonObject, objectOf } from '../../base/json.js';
import { ANSWER_BOUNDS, parseDocument } from '../../base/json-document.js';
import type { Config } from '../../config/options.js';
import { disown, put } from '../../stores/ownership.js';
import type { ForwardReply } from '../../upstreams/upstream.js';
import type { TokenUsage } from '../../wire/usage.js';
import type { ForwardRule } from '../routes.js';
import type { BatchMeter } from './batches.js';
import { type OwnList, ownPage } from './lists.js';

/** An answer about objects, and whose they are. */
export interface ObjectAnswer {
  readonly reply: ForwardReply;
  readonly rule: ForwardRule;
  /** Of the path. */
  readonly id: string;
  readonly owner: string;
  readonly config: Config;
  readonly batches: BatchMeter;
  /** What is to be listed. */
  readonly list: OwnList | undefined;
  /** Asks the same upstream for another page. */
  again(path: string): Promise<ForwardReply>;
}

/** An answer as it is shown, and what it says was used. */
export interface ShownObject {
  readonly body: Uint8Array | string;
  readonly usage: TokenUsage | undefined;
}

/** Objects are told of in less. */
const MAX_BYTES = 16_777_216;

/**
 * What the client may see of the answer. What was made with it belongs to the caller before it is told of.
 * @throws {GatewayError} 502 for an answer that is no object, 503 when the store fails.
 */
export async function forwardedObject(answer: ObjectAnswer): Promise<ShownObject> {
  const { reply, rule, id, owner, config, list } = answer;
  const { bytes, body } = await readObject(reply);
  if (list !== undefined) {
    const page = await ownPage(list, body, async (path) => (await readObject(await answer.again(path))).body);
    return { body: JSON.stringify(page), usage: await take(answer, page.data) };
  }
  const { makes, owned } = rule;
  if (rule.answer === 'delete') {
    if (body.deleted === true && makes !== undefined) await disown(config, { owner, kind: makes, id });
    return { body: bytes, usage: undefined };
  }
  // Only what is new: an answer that comes after somebody deleted the object must not bring it back.
  const isNew = makes !== undefined && owned === undefined;
  if (isNew && typeof body.id === 'string') await put(config, { owner, kind: makes, id: body.id });
  return { body: bytes, usage: await take(answer, [body]) };
}

/** What batches and uploads became is their owner's, and what they used is on the owner's account. */
async function take(
  { rule, owner, config, batches }: ObjectAnswer,
  told: readonly JsonObject[],
): Promise<TokenUsage | undefined> {
  for (const file of told.flatMap(filesMadeIn)) await put(config, { owner, kind: 'file', id: file });
  return rule.operation === 'batches' ? batches.uncounted(owner, told) : undefined;
}

/** The files that a batch or an upload became. */
function filesMadeIn({ output_file_id, error_file_id, file }: JsonObject): string[] {
  const made = [output_file_id, error_file_id, isJsonObject(file) ? file.id : undefined];
  return made.filter((id) => typeof id === 'string');
}

async function readObject({
  body: pieces,
}: ForwardReply): Promise<{ readonly bytes: Uint8Array; readonly body: JsonObject }> {
  const read: Uint8Array[] = [];
  let size = 0;
  for await (const piece of pieces) {
    size += piece.byteLength;
    if (size > MAX_BYTES) throw upstreamBadResponse('The upstream answered with too much.');
    read.push(piece);
  }
  const result = parseDocument(Buffer.concat(read), ANSWER_BOUNDS);
  if (result.kind === 'refused') throw upstreamBadResponse('The upstream answered with JSON that cannot be read.');
  const { bytes } = result.document;
  return { bytes, body: objectOf(bytes) };
}
