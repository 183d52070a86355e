import { isJsonObject, type Json, type JsonObject, shownValue } from '../../base/json.js';
import type { ToolKind } from '../../wire/chat/tool-calls.js';
import { objectsIn, optionalBoolean, optionalObject, requiredString } from '../../wire/members.js';
import { badRequest, invalidValue, unsupportedParameter } from '../../wire/request-errors.js';
import { type SchemaBudget, sampleSchema } from './schema.js';
import { checkStrictSchema } from './strict.js';

/** Something the client offers to be called. */
export interface OfferedTool {
  readonly kind: ToolKind;
  readonly name: string;
  /** Makes the arguments of a function or the input of a custom tool. @throws {GatewayError} 400 where none can be made. */
  text(budget: SchemaBudget): string;
}

/** The tools that may be called, and how. */
export interface Tools {
  readonly offered: readonly OfferedTool[];
  /** `named`: the client chose the one that is offered here. */
  readonly choice: 'none' | 'auto' | 'required' | 'named';
  readonly parallel: boolean;
  /** `functions` and `function_call` of old: one call at most, in `message.function_call`. */
  readonly legacy: boolean;
}

/** Most calls in one answer. */
const MAX_CALLS = 128;
/** Characters at the end of a message in which tools may be named. */
const MAX_LOOKED_AT = 16_000;
/** The last word of "don't" is among them. */
const NEGATIONS = ['not', 't', 'never', 'without'];
const VERBS = ['use', 'using', 'call', 'calling', 'invoke', 'run', 'tool', 'function'];

/** Reads `tools` and `tool_choice`, or `functions` and `function_call`. @throws {GatewayError} 400 */
export function readTools(body: JsonObject): Tools {
  const legacy = (body.tools ?? null) === null && (body.functions ?? null) !== null;
  const param = legacy ? 'functions' : 'tools';
  const offered = objectsIn(param, body[param]).map((one, index) =>
    legacy ? readFunction(one, `functions[${index}]`) : readTool(one, `tools[${index}]`),
  );
  const chosen = choose(offered, (legacy ? body.function_call : body.tool_choice) ?? 'auto');
  const parallel = optionalBoolean('parallel_tool_calls', body.parallel_tool_calls) ?? true;
  return { ...chosen, parallel: parallel && !legacy, legacy };
}

/**
 * The tools that an answer to these words calls. A client that leaves the choice gets calls only of tools that the words
 * name, or where they say to use one: agents run the calls that they get, made-up arguments and all.
 * @param said the user's last message; `undefined`: something else came last, such as the results of tools.
 */
export function toolsToCall({ offered, choice, parallel }: Tools, said: string | undefined): readonly OfferedTool[] {
  if (choice === 'named') return offered;
  if (choice === 'none' || said === undefined) return [];
  const called = choice === 'required' ? offered : toolsAskedFor(offered.slice(0, MAX_CALLS), said);
  return called.slice(0, parallel ? MAX_CALLS : 1);
}

function readTool(tool: JsonObject, param: string): OfferedTool {
  const kind = requiredString(`${param}.type`, tool.type);
  if (kind !== 'function' && kind !== 'custom') throw invalidValue(`${param}.type`, kind, ['function', 'custom']);
  const offer = optionalObject(`${param}.${kind}`, tool[kind]) ?? {};
  if (kind === 'function') return readFunction(offer, `${param}.function`);
  const name = requiredString(`${param}.custom.name`, offer.name);
  const format = optionalObject(`${param}.custom.format`, offer.format);
  const text = (): string => {
    if (format?.type !== 'grammar') return `Input for ${name}, made up by the demo model.`;
    const message = 'The demo model cannot follow grammars of custom tools.';
    throw unsupportedParameter(message, `${param}.custom.format`);
  };
  return { kind, name, text };
}

function readFunction(offer: JsonObject, place: string): OfferedTool {
  const name = requiredString(`${place}.name`, offer.name);
  const param = `${place}.parameters`;
  // `{}` is any value to JSON Schema; arguments are an object all the same.
  const schema = { type: 'object', ...optionalObject(param, offer.parameters) };
  if (offer.strict === true) checkStrictSchema(schema, param, `function '${name}'`);
  return { kind: 'function', name, text: (budget) => JSON.stringify(sampleSchema(schema, param, budget)) };
}

function choose(offered: readonly OfferedTool[], choice: Json): Pick<Tools, 'offered' | 'choice'> {
  if (choice === 'none' || choice === 'auto' || choice === 'required') return { offered, choice };
  if (!isJsonObject(choice)) throw invalidValue('tool_choice', shownValue(choice), ['none', 'auto', 'required']);
  if (choice.type !== 'allowed_tools') return { offered: [chosenTool(offered, choice)], choice: 'named' };
  const { tools, mode } = optionalObject('tool_choice.allowed_tools', choice.allowed_tools) ?? {};
  const chosen = objectsIn('tool_choice.allowed_tools.tools', tools).map((one) => chosenTool(offered, one));
  return { offered: offered.filter((one) => chosen.includes(one)), choice: mode === 'required' ? mode : 'auto' };
}

/** The tool that an object such as `{type, function: {name}}`, or of old `{name}`, chooses. */
function chosenTool(offered: readonly OfferedTool[], choice: JsonObject): OfferedTool {
  const kind = choice.type === 'custom' ? 'custom' : 'function';
  const holder = choice[kind] ?? choice;
  const name = isJsonObject(holder) ? holder.name : holder;
  const found = offered.find((one) => one.kind === kind && one.name === name);
  if (found !== undefined) return found;
  const message = `Invalid value for 'tool_choice': no function named '${shownValue(name)}' was specified.`;
  throw badRequest(message, null, 'tool_choice');
}

function toolsAskedFor(offered: readonly OfferedTool[], said: string): readonly OfferedTool[] {
  const sentences = said
    .slice(-MAX_LOOKED_AT)
    .split(/[.!?:;,\n]/)
    .map(wordsOf);
  const named = offered.filter(({ name }) => sentences.some((words) => isNamed(wordsOf(name), words)));
  if (named.length > 0) return named;
  return sentences.map((words) => toolsOfOrder(offered, words)).find((tools) => tools.length > 0) ?? [];
}

/** Tells whether words name a tool: `get_weather`, "get weather". A name of one word must be called a tool as well. */
function isNamed(parts: readonly string[], words: readonly string[]): boolean {
  return words.some((_, at) => {
    const before = words.slice(Math.max(0, at - 4), at);
    if (parts.length === 0 || parts.some((part, index) => words[at + index] !== part)) return false;
    if (before.some((word) => NEGATIONS.includes(word))) return false;
    const last = before.at(-1) === 'the' ? before.at(-2) : before.at(-1);
    return parts.length > 1 || VERBS.includes(last ?? '') || ['tool', 'function'].includes(words[at + 1] ?? '');
  });
}

/** The tools that a sentence orders to be used: "please use your tools" means all, "call the weather tool" that one. */
function toolsOfOrder(offered: readonly OfferedTool[], words: readonly string[]): readonly OfferedTool[] {
  const at = words.findIndex((word, place) => (word === 'use' || word === 'call') && isOrder(words.slice(0, place)));
  const object = at === -1 ? [] : words.slice(at + 1, at + 5);
  const end = object.findIndex((word) => /^(?:tool|function)s?$/.test(word));
  if (end === -1) return [];
  if (object[end]?.endsWith('s')) return offered;
  const meant = offered.filter(({ name }) => wordsOf(name).some((part) => object.slice(0, end).includes(part)));
  return meant.length > 0 ? meant : offered.slice(0, 1);
}

/** Whether a verb after these words is an order: programs that "call a function" are spoken of, too. */
function isOrder(before: readonly string[]): boolean {
  const [last = 'please', second] = before.toReversed();
  const isToYou = second === 'you' && ['to', 'must', 'should', 'can', 'may'].includes(last);
  return isToYou || ['please', 'you', 'now', 'just', 'then'].includes(last);
}

/** The words of a text or a name in lower case: `getWeather` and `get_weather` are two. */
function wordsOf(text: string): readonly string[] {
  const spaced = text.replace(/(\p{Ll})(\p{Lu})/gu, '$1 $2').toLowerCase();
  return spaced.split(/[^\p{L}\p{N}]/u).filter((word) => word !== '');
}
