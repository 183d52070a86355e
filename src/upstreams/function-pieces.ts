import { isJsonObject, type Json, type JsonObject } from '../base/json.js';

/** Members of a delta that are text where they are at all: of another type they would vanish without a word. */
const TEXTS = ['content', 'refusal'];

/**
 * What a function yielded, once it is sure to be a piece of an answer.
 * @throws {TypeError} that names what was yielded; an error that was yielded in place of being thrown, as it is
 */
export function readPiece(piece: unknown): string | JsonObject {
  if (typeof piece === 'string') return piece;
  if (piece instanceof Error) throw piece;
  if (!isJsonObject(piece)) {
    throw new TypeError(`Expected the function to yield strings or objects, got ${shownValue(piece)}`);
  }
  checkTexts(piece);
  for (const choice of Array.isArray(piece.choices) ? piece.choices : []) {
    if (isJsonObject(choice) && isJsonObject(choice.delta)) checkTexts(choice.delta);
  }
  return piece;
}

/** How an error message tells a value: itself where it is short, and its type. */
export function shownValue(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `${String(value)} (${typeof value})`;
}

function checkTexts(delta: JsonObject): void {
  for (const name of TEXTS) {
    const value: Json = delta[name] ?? null;
    if (value === null || typeof value === 'string') continue;
    throw new TypeError(
      `Expected the function to yield deltas whose \`${name}\` is a string, got ${shownValue(value)}`,
    );
  }
}
