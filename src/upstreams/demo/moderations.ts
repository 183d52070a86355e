import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { moderationId } from '../../wire/ids.js';
import { readModerationRequest } from '../../wire/model-request.js';
import { arrayAboveMaxLength } from '../../wire/request-errors.js';
import { type DemoContext, type DemoReply, fairTurns } from './context.js';
import { findDemoModel } from './models.js';
import { imagesOf, textOf } from './request.js';

const MAX_INPUTS = 2_048;
/** Characters of an input that are judged. */
const MAX_JUDGED_CHARS = 64_000;
/** Cost of a result beside its text, in characters. */
const WORK_PER_RESULT = 100;
/** Categories for which OpenAI looks at images too. */
const IMAGE_CATEGORIES = /^(?:sexual|self-harm|violence)(?!\/minors)/;
/** Words in three languages that a category is flagged by, in the order in which OpenAI sends the categories. */
const WORDS = {
  harassment: /\b(?:idiot|moron)|идиот|白痴/,
  'harassment/threatening': /\b(?:kill|hurt) you|убью тебя|杀了你/,
  sexual: /\bporn|порн|色情/,
  hate: /\bsubhuman|недочеловек|劣等民族/,
  'hate/threatening': /\bexterminate all|истребить всех|灭绝所有/,
  illicit: /\b(?:shoplift|make a bomb)|сделать бомбу|制造炸弹/,
  'illicit/violent': /\bmake a bomb|сделать бомбу|制造炸弹/,
  'self-harm/intent': /\b(?:kill myself|want to die)|хочу умереть|想死/,
  'self-harm/instructions': /\bsuicide method|способ самоубийства|自杀方法/,
  'self-harm': /\b(?:suicid|kill myself|want to die)|самоубийств|хочу умереть|自杀|想死/,
  'sexual/minors': /\bchild porn|детское порн|儿童色情/,
  violence: /\b(?:kill|murder)|убить|убью|убийств|杀/,
  'violence/graphic': /\bbehead|обезглав|斩首/,
};

/**
 * A moderation by a small list of words: a stand-in to develop against, no judgement of any content. Images are taken and
 * not seen.
 * @throws {GatewayError} 400 or 404
 */
export async function composeModeration(body: JsonObject, context: DemoContext): Promise<DemoReply> {
  const { model } = readModerationRequest({ body, isDecoded: true });
  findDemoModel(model, 'moderations');
  const given: readonly Json[] = Array.isArray(body.input) ? body.input : [body.input ?? ''];
  if (given.length > MAX_INPUTS) throw arrayAboveMaxLength('input', MAX_INPUTS, given.length);
  // Parts of a message are judged as one.
  const inputs = given.some(isJsonObject) ? [given] : given;
  const turn = fairTurns(context.signal);
  const results: JsonObject[] = [];
  for (const content of inputs) {
    const text = textOf({ content }).slice(0, MAX_JUDGED_CHARS);
    const types = imagesOf({ content }).length === 0 ? ['text'] : ['text', 'image'];
    results.push(resultOf(text.toLowerCase(), model.includes('text-moderation') ? undefined : types));
    await turn(text.length + WORK_PER_RESULT);
  }
  return { kind: 'whole', body: { id: moderationId(context.requestId), model, results } };
}

/** @param types kinds of the input; `undefined`: the model does not tell by which it judged. */
function resultOf(text: string, types: readonly string[] | undefined): JsonObject {
  const flags = Object.entries(WORDS).map(([category, words]) => ({ category, isFlagged: words.test(text) }));
  const categories = flags.map(({ category, isFlagged }) => [category, isFlagged]);
  const scores = flags.map(({ category, isFlagged }) => [category, isFlagged ? 0.9 : 0.0001]);
  const typesOf = (category: string): Json =>
    (types ?? []).filter((type) => type === 'text' || IMAGE_CATEGORIES.test(category));
  const applied = flags.map(({ category }) => [category, typesOf(category)]);
  return {
    flagged: flags.some(({ isFlagged }) => isFlagged),
    categories: Object.fromEntries(categories),
    category_scores: Object.fromEntries(scores),
    ...(types === undefined ? {} : { category_applied_input_types: Object.fromEntries(applied) }),
  };
}
