/** The text of tokens; `undefined` when it cannot be told. */
export type TokenDecoder = (tokens: readonly number[]) => string | undefined;

/** The highest token of `cl100k_base`, which the models that take tokens share. */
export const MAX_TOKEN = 100_276;

/** Decodes `cl100k_base` with the optional package `gpt-tokenizer`; without it, nothing can be told. */
export async function tokenDecoder(): Promise<TokenDecoder> {
  const codec = await import('gpt-tokenizer/encoding/cl100k_base').catch(() => undefined);
  if (codec === undefined) return () => undefined;
  return (tokens) => {
    try {
      return codec.decode(tokens);
    } catch {
      // A few numbers below the highest are no token.
      return undefined;
    }
  };
}
