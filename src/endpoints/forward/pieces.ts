import type { Json, JsonObject } from '../../base/json.js';
import { isByThePiece, type Price, type PricedUnits, paysForPieces } from '../../models/pricing.js';
import { MAX_PICTURES, mostSoundMs } from '../../wire/estimate.js';
import { notPriced } from '../../wire/request-errors.js';

/** A request for pictures or sound, as far as it is known before it passes. */
export interface PiecesAsked {
  /** Path below `/v1`, such as `/images/edits`. */
  readonly path: string;
  /** A JSON body; `undefined` for forms. */
  readonly json: JsonObject | undefined;
  readonly byteLength: number;
  /** Whether money is at stake: then the most is assumed of what only a form tells. */
  readonly assumesMost: boolean;
}

/** Pieces that a request asks for, at most; `undefined`: nobody can tell yet. */
export function piecesAsked({ path, json, byteLength, assumesMost }: PiecesAsked): PricedUnits | undefined {
  if (path.startsWith('/images/')) {
    if (json !== undefined) return { images: picturesAsked(json.n) };
    return assumesMost ? { images: MAX_PICTURES } : undefined;
  }
  if (path === '/audio/speech') return { characters: typeof json?.input === 'string' ? json.input.length : byteLength };
  return assumesMost ? { audioMs: mostSoundMs(byteLength) } : undefined;
}

/** Pictures of a JSON body, as lenient servers read their number; of what is none, the most. */
function picturesAsked(n: Json | undefined): number {
  if (n === undefined || n === null) return 1;
  const count = typeof n === 'number' ? n : typeof n === 'string' && n.length < 16 ? Number(n) : Number.NaN;
  return count > 0 ? Math.min(Math.ceil(count), MOST_PICTURES) : MAX_PICTURES;
}

/** More than any server makes at once. */
const MOST_PICTURES = 10_000;

/** Pictures of a form, of which `n` is the field of that name; `undefined`: nobody can tell. */
export function picturesInForm(n: string | undefined): number | undefined {
  if (n === undefined) return 1;
  return /^\d{1,4}$/.test(n) ? Math.max(1, Number(n)) : undefined;
}

/** @throws {GatewayError} 403 where a model is sold by pieces of another kind than the request asks for: it would come for nothing. */
export function checkPieces(price: Price | undefined, name: string, units: PricedUnits | undefined): void {
  if (price === undefined || !isByThePiece(price) || paysForPieces(price, units ?? {})) return;
  throw notPriced(`\`${name}\` is paid for by the piece`);
}
