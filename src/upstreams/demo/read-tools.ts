import { isJsonObject, type Json, type JsonObject, shownValue } from '../../base/json.js';
import { optionalArray, optionalBoolean } from '../../wire/members.js';
import { arrayAboveMaxLength, invalidType, invalidValue, missingParameter } from '../../wire/request-errors.js';
import { onlyAllowedWith, toolChoiceNotFound } from './chat-errors.js';
import { type OfferedCustomTool, readCustomTool } from './read-custom-tool.js';
import { type GrammarBudget, grammarBudget } from './regex-text.js';
import { checkStrictSchema } from './schema/strict-schema.js';
import { readToolName } from './tool-name.js';

/** A function the client offers. */
export interface OfferedFunction {
  readonly kind: 'function';
  readonly name: string;
  /** JSON schema of its arguments; `undefined`: it takes none. */
  readonly parameters: Json | undefined;
}

/** Something the client offers to be called. */
export type OfferedTool = OfferedFunction | OfferedCustomTool;

/** Which tools may be called, and how. */
export interface Tools {
  readonly offered: readonly OfferedTool[];
  /** `named`: the client chose the one that is offered here. */
  readonly choice: 'none' | 'auto' | 'required' | 'named';
  readonly parallel: boolean;
  /** `functions` and `function_call` of old: one call at most, in `message.function_call`. */
  readonly legacy: boolean;
}

const MAX_TOOLS = 128;

/** Reads `tools` and `tool_choice`, or `functions` and `function_call`. @throws {GatewayError} 400 */
export function readTools(body: JsonObject): Tools {
  const tools = optionalArray('tools', body.tools, 'objects');
  const functions = optionalArray('functions', body.functions, 'objects');
  const parallel = optionalBoolean('parallel_tool_calls', body.parallel_tool_calls);
  if (tools === undefined && parallel !== undefined) throw onlyAllowedWith('parallel_tool_calls', 'tools');
  if (tools === undefined && (body.tool_choice ?? 'none') !== 'none') throw onlyAllowedWith('tool_choice', 'tools');
  if (functions === undefined && (body.function_call ?? 'none') !== 'none') {
    throw onlyAllowedWith('function_call', 'functions');
  }
  if (tools !== undefined) {
    const budget = grammarBudget();
    const offers = readOffers(tools, 'tools', (tool, param) => readTool(tool, param, budget));
    const chosen = chooseTools(offers, body.tool_choice ?? 'auto');
    return { ...chosen, parallel: parallel ?? true, legacy: false };
  }
  const offers = functions === undefined ? [] : readOffers(functions, 'functions', readFunction);
  return { ...chooseFunction(offers, body.function_call ?? 'auto'), parallel: false, legacy: true };
}

type Chosen = Pick<Tools, 'offered' | 'choice'>;
type ReadOffer = (offer: Json, param: string) => OfferedTool;

function readOffers(offers: readonly Json[], param: string, read: ReadOffer): readonly OfferedTool[] {
  if (offers.length > MAX_TOOLS) throw arrayAboveMaxLength(param, MAX_TOOLS, offers.length);
  return offers.map((offer, index) => read(offer, `${param}[${index}]`));
}

function readTool(tool: Json, param: string, budget: GrammarBudget): OfferedTool {
  if (!isJsonObject(tool)) throw invalidType(param, 'an object', tool);
  if (tool.type === undefined) throw missingParameter(`${param}.type`);
  if (tool.type === 'custom') return readCustomTool(tool.custom, `${param}.custom`, budget);
  if (tool.type !== 'function') throw invalidValue(`${param}.type`, shownValue(tool.type), ['function', 'custom']);
  if (tool.function === undefined) throw missingParameter(`${param}.function`);
  const offered = readFunction(tool.function, `${param}.function`);
  if (isJsonObject(tool.function) && tool.function.strict === true) {
    checkStrictSchema(offered.parameters, `${param}.function.parameters`, `function '${offered.name}'`);
  }
  return offered;
}

function readFunction(offer: Json, param: string): OfferedFunction {
  if (!isJsonObject(offer)) throw invalidType(param, 'an object', offer);
  const name = readToolName(offer, param);
  const { parameters } = offer;
  if ((parameters ?? null) !== null && !isJsonObject(parameters)) {
    throw invalidType(`${param}.parameters`, 'an object', parameters);
  }
  return { kind: 'function', name, parameters: parameters ?? undefined };
}

function chooseTools(offered: readonly OfferedTool[], choice: Json): Chosen {
  if (choice === 'none' || choice === 'auto' || choice === 'required') return { offered, choice };
  if (typeof choice === 'string') throw invalidValue('tool_choice', choice, ['none', 'auto', 'required']);
  if (!isJsonObject(choice)) throw invalidType('tool_choice', 'one of a string or an object', choice);
  if (choice.type === 'allowed_tools') return allowedTools(offered, choice.allowed_tools);
  if (choice.type !== 'function' && choice.type !== 'custom') {
    throw invalidValue('tool_choice.type', shownValue(choice.type), ['function', 'custom', 'allowed_tools']);
  }
  return { offered: [chosenTool(offered, choice, 'tool_choice')], choice: 'named' };
}

function allowedTools(offered: readonly OfferedTool[], allowed: Json | undefined): Chosen {
  if (!isJsonObject(allowed) || !Array.isArray(allowed.tools))
    throw missingParameter('tool_choice.allowed_tools.tools');
  const chosen = allowed.tools.map((tool, index) => {
    return chosenTool(offered, isJsonObject(tool) ? tool : {}, `tool_choice.allowed_tools.tools[${index}]`);
  });
  return {
    offered: offered.filter((one) => chosen.includes(one)),
    choice: allowed.mode === 'required' ? 'required' : 'auto',
  };
}

function chooseFunction(offered: readonly OfferedTool[], choice: Json): Chosen {
  if (choice === 'none' || choice === 'auto') return { offered, choice };
  if (typeof choice === 'string') throw invalidValue('function_call', choice, ['none', 'auto']);
  const name = nameIn(choice, 'function_call');
  const found = offered.find((one) => one.name === name);
  if (found === undefined) throw toolChoiceNotFound('function_call', name);
  return { offered: [found], choice: 'named' };
}

/** The tool that an object such as `{type, function: {name}}` chooses: names of functions and of custom tools may be the same. */
function chosenTool(offered: readonly OfferedTool[], chosen: JsonObject, param: string): OfferedTool {
  const kind = chosen.type === 'custom' ? 'custom' : 'function';
  const name = nameIn(chosen[kind], `${param}.${kind}`);
  const found = offered.find((one) => one.kind === kind && one.name === name);
  if (found === undefined) throw toolChoiceNotFound('tool_choice', name);
  return found;
}

function nameIn(holder: Json | undefined, param: string): string {
  if (!isJsonObject(holder) || holder.name === undefined) throw missingParameter(`${param}.name`);
  if (typeof holder.name !== 'string') throw invalidType(`${param}.name`, 'a string', holder.name);
  return holder.name;
}
