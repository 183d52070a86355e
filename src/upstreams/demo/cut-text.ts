import type { TextPiece } from './tokenizer.js';

/** What is before the first of the stops. */
export function untilStop(text: string, stops: readonly string[]): string {
  const places = stops.map((stop) => text.indexOf(stop)).filter((place) => place !== -1);
  return places.length === 0 ? text : text.slice(0, Math.min(...places));
}

/** As many of the pieces as the ceiling allows. */
export function upTo(all: readonly TextPiece[], ceiling: number): { pieces: string[]; tokens: number; cut: boolean } {
  const pieces: string[] = [];
  let tokens = 0;
  for (const piece of all) {
    if (tokens + piece.tokens > ceiling) return { pieces, tokens, cut: true };
    tokens += piece.tokens;
    pieces.push(piece.text);
  }
  return { pieces, tokens, cut: false };
}
