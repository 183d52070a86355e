import type { Json, JsonObject } from '../../base/json.js';
import { moderationId } from '../../wire/ids.js';
import type { DemoContext, DemoReply } from './demo-context.js';
import { hashText } from './hash-text.js';
import {
  flaggedCategories,
  MAX_PHRASE_CHARS,
  MODERATION_CATEGORIES,
  type ModerationCategory,
} from './moderation-words.js';
import { type ModerationInput, type ModerationRequest, readModeration } from './read-moderation.js';
import { fairTurns } from './turns.js';

/** Categories for which OpenAI looks at images too. */
const IMAGE_CATEGORIES: readonly ModerationCategory[] = [
  'sexual',
  'self-harm/intent',
  'self-harm/instructions',
  'self-harm',
  'violence',
  'violence/graphic',
];
/** Characters that are looked at in one go. */
const SLICE_CHARS = 32_000;

/**
 * Answers `/v1/moderations` by a small list of words: a stand-in to develop against, no judgement of any content. Images
 * are taken and not seen.
 * @throws {GatewayError} 400 or 404, in OpenAI's wording
 */
export async function composeModeration(body: JsonObject, context: DemoContext): Promise<DemoReply> {
  const request = readModeration(body);
  const turn = fairTurns(context.signal);
  const results: JsonObject[] = [];
  for (const input of request.inputs) {
    const flagged = new Set<ModerationCategory>();
    for (const slice of input.texts.flatMap(slicesOf)) {
      for (const category of flaggedCategories(slice)) flagged.add(category);
      await turn(slice.length);
    }
    results.push(resultOf(request, input, flagged));
  }
  return {
    kind: 'whole',
    body: {
      id: moderationId(context.requestId),
      model: request.modelId,
      results,
    },
  };
}

function resultOf(
  request: ModerationRequest,
  { texts, hasImages }: ModerationInput,
  flagged: ReadonlySet<ModerationCategory>,
): JsonObject {
  const seed = texts.reduce((hash, text) => hashText(text, hash), 0);
  const typesOf = (category: ModerationCategory): Json => [
    ...(texts.length > 0 ? ['text'] : []),
    ...(hasImages && IMAGE_CATEGORIES.includes(category) ? ['image'] : []),
  ];
  return {
    flagged: flagged.size > 0,
    categories: byCategory((category) => flagged.has(category)),
    category_scores: byCategory((category) => scoreOf(category, seed, flagged.has(category))),
    ...(request.tellsInputTypes ? { category_applied_input_types: byCategory(typesOf) } : {}),
  };
}

function byCategory(of: (category: ModerationCategory) => Json): JsonObject {
  return Object.fromEntries(MODERATION_CATEGORIES.map((category) => [category, of(category)]));
}

/** A plausible number, always the same for the same text: above 0.5 when flagged, else below a thousandth. */
function scoreOf(category: ModerationCategory, seed: number, flagged: boolean): number {
  const noise = hashText(category, seed) / 2 ** 32;
  return flagged ? 0.6 + noise * 0.39 : 10 ** (-6 + noise * 3);
}

/** Parts of a text that overlap, so that no phrase is cut in two. */
function slicesOf(text: string): readonly string[] {
  return Array.from({ length: Math.max(1, Math.ceil(text.length / SLICE_CHARS)) }, (_, index) =>
    text.slice(Math.max(0, index * SLICE_CHARS - MAX_PHRASE_CHARS), (index + 1) * SLICE_CHARS),
  );
}
