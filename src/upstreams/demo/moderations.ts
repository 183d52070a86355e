import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { moderationId } from '../../wire/ids.js';
import { readModerationRequest } from '../../wire/model-request.js';
import { arrayAboveMaxLength } from '../../wire/request-errors.js';
import { type DemoContext, type DemoReply, fairTurns, hashText } from './context.js';
import { findDemoModel } from './models.js';
import { imagesOf, textOf } from './request.js';

const MAX_INPUTS = 2_048;
/** Characters that are looked at in one go, and more than a phrase has. */
const SLICE_CHARS = 32_000;
const MAX_PHRASE_CHARS = 100;
/** Categories for which OpenAI looks at images too. */
const IMAGE_CATEGORIES = /^(?:sexual|self-harm|violence)(?!\/minors)/;
/** Beginnings of words that a category is flagged by, in the order in which OpenAI sends the categories. */
const WORDS: Readonly<Record<string, string>> = {
  harassment: 'idiot|moron|scumbag|идиот|дебил|白痴|蠢货',
  'harassment/threatening': 'kill you|hurt you|shoot you|убью тебя|тебя убью|杀了你',
  sexual: 'porn|erotic|orgasm|порн|эротик|色情|做爱',
  hate: 'subhuman|inferior race|недочеловек|劣等民族',
  'hate/threatening': 'exterminate all|истребить всех|灭绝所有',
  illicit: 'shoplift|launder money|cook meth|make a bomb|build a bomb|отмыть деньги|сделать бомбу|洗钱|制造炸弹',
  'illicit/violent': 'make a bomb|build a bomb|pipe bomb|сделать бомбу|制造炸弹',
  'self-harm/intent': 'kill myself|hurt myself|want to die|end my life|хочу умереть|убью себя|想死|想自杀',
  'self-harm/instructions': 'how to kill myself|suicide method|способ самоубийства|自杀方法',
  'self-harm':
    'suicid|self-harm|kill myself|hurt myself|want to die|end my life|самоубийств|хочу умереть|убью себя|自杀|想死',
  'sexual/minors': 'child porn|детское порн|儿童色情',
  violence: 'kill|murder|stab|slaughter|tortur|behead|убить|убью|убийств|застрел|杀',
  'violence/graphic': 'behead|dismember|mutilat|расчлен|обезглав|肢解|斩首',
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
    const text = textOf({ content });
    const flagged = new Set<string>();
    for (let at = 0; at < text.length; at += SLICE_CHARS) {
      for (const category of flaggedIn(text.slice(at, at + SLICE_CHARS + MAX_PHRASE_CHARS))) flagged.add(category);
      await turn(SLICE_CHARS);
    }
    const types = [...(text === '' ? [] : ['text']), ...(imagesOf({ content }).length === 0 ? [] : ['image'])];
    results.push(resultOf(hashText(text), flagged, model.includes('text-moderation') ? undefined : types));
    await turn(MAX_PHRASE_CHARS);
  }
  return { kind: 'whole', body: { id: moderationId(context.requestId), model, results } };
}

/** Categories of which a text has a word. */
function flaggedIn(text: string): readonly string[] {
  const words = text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}-]/gu, ' ');
  const isIn = (word: string): boolean => ` ${words}`.includes(/^\p{Script=Han}/u.test(word) ? word : ` ${word}`);
  return Object.keys(WORDS).filter((category) => WORDS[category]?.split('|').some(isIn));
}

/** @param types kinds of the input; `undefined`: the model does not tell by which it judged. */
function resultOf(seed: number, flagged: ReadonlySet<string>, types: readonly string[] | undefined): JsonObject {
  const byCategory = (of: (category: string) => Json): JsonObject =>
    Object.fromEntries(Object.keys(WORDS).map((category) => [category, of(category)]));
  const typesOf = (category: string): Json =>
    (types ?? []).filter((type) => type === 'text' || IMAGE_CATEGORIES.test(category));
  // Plausible numbers, always the same for the same text: above 0.5 when flagged, else below a thousandth.
  const scoreOf = (category: string): number => {
    const noise = hashText(category, seed) / 2 ** 32;
    return flagged.has(category) ? 0.6 + noise * 0.39 : 10 ** (-6 + noise * 3);
  };
  return {
    flagged: flagged.size > 0,
    categories: byCategory((category) => flagged.has(category)),
    category_scores: byCategory(scoreOf),
    ...(types === undefined ? {} : { category_applied_input_types: byCategory(typesOf) }),
  };
}
