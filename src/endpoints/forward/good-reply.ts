import { type Json, type JsonObject, objectOf } from '../../base/json.js';
import type { Call } from '../../call/call.js';
import { checkNoError } from '../../upstreams/answer.js';
import type { ForwardReply } from '../../upstreams/upstream.js';

/** The most of a JSON answer that is looked at for an error: pictures are longer. */
const MAX_ERROR_BYTES = 16_384;

/** The reply, unless it is an error in spite of its status. @throws {GatewayError} in words for the client. */
export async function goodReply(call: Call, reply: ForwardReply): Promise<ForwardReply> {
  if (!/json/i.test(reply.headers['content-type'] ?? '')) return reply;
  const pieces = reply.body[Symbol.asyncIterator]();
  const read: Uint8Array[] = [];
  let isWhole = false;
  for (let size = 0; !isWhole && size <= MAX_ERROR_BYTES; ) {
    const next = await pieces.next();
    isWhole = next.done === true;
    if (next.done === true) break;
    read.push(next.value);
    size += next.value.byteLength;
  }
  if (isWhole) {
    const { error, beside } = errorIn(Buffer.concat(read));
    checkNoError(call, error, beside);
  }
  return { ...reply, body: resumed(read, pieces) };
}

function errorIn(bytes: Buffer): { readonly error?: Json | undefined; readonly beside?: JsonObject } {
  try {
    const beside = objectOf(bytes);
    return { error: beside.error, beside };
  } catch {
    // What is no object is the client's to read.
    return {};
  }
}

/** Gives the pieces that were read, and then the others. */
async function* resumed(read: readonly Uint8Array[], rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* read;
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}
