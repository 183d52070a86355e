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
/** Words that forbid to call a tool that is named up to three words later, as in "don't ever use". */
const NEGATION = / (?:not|t|never|without)(?: \S+){0,3} $/;
const VERB = / (?:use|using|call|calling|invoke|run|tool|function)(?: the)? $/;
/** An order to use tools: at the beginning of a sentence, or after words such as "please" and "you must". */
const ORDER =
  /(?:^| please| you| now| just| then| you (?:to|must|should|can|may)) (?:use|call)((?: \S+){0,3}) (?:tool|function)(s?) /;

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
  const parts = said.slice(-MAX_LOOKED_AT).split(/[.!?:;,\n]/);
  const sentences = parts.map(wordsOf).filter((sentence) => sentence !== '  ');
  const named = offered.filter((tool) => {
    const name = wordsOf(tool.name);
    return sentences.some((sentence) => sentence.includes(name) && isNamed(name, sentence));
  });
  if (named.length > 0) return named;
  return sentences.map((sentence) => toolsOfOrder(offered, sentence)).find((tools) => tools.length > 0) ?? [];
}

/** Tells whether a sentence names a tool: `get_weather`, "get weather". A name of one word must be called a tool as well. */
function isNamed(name: string, sentence: string): boolean {
  const [first = '', ...rest] = sentence.split(name);
  let before = first;
  for (const after of rest) {
    const isOneWord = !name.trim().includes(' ');
    const isCalledTool = VERB.test(`${before} `) || /^(?:tool|function) /.test(after);
    if (!NEGATION.test(`${before} `) && (isCalledTool || !isOneWord)) return true;
    before = after;
  }
  return false;
}

/**
 * The tools that a sentence orders to be used: "please use your tools" means all, "call the weather tool" that one. "My
 * program calls a function" orders nothing.
 */
function toolsOfOrder(offered: readonly OfferedTool[], sentence: string): readonly OfferedTool[] {
  const order = ORDER.exec(sentence);
  if (order === null) return [];
  const [, object = '', plural] = order;
  if (plural === 's') return offered;
  const words = object.split(' ');
  const meant = offered.find(({ name }) => words.some((word) => word !== '' && wordsOf(name).includes(` ${word} `)));
  return [meant ?? offered[0]].filter((tool) => tool !== undefined);
}

/** The words of a text or a name in lower case, each between spaces: `getWeather` and `get_weather` are two. */
function wordsOf(text: string): string {
  const spaced = text.replace(/(\p{Ll})(\p{Lu})/gu, '$1 $2').toLowerCase();
  return ` ${spaced.replace(/[^\p{L}\p{N}]+/gu, ' ').trim()} `;
}
