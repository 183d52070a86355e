import { isJsonObject, type Json, type JsonObject } from '../../json.js';
import {
  arrayAboveMaxLength,
  invalidType,
  invalidValue,
  missingParameter,
  onlyAllowedWith,
  patternMismatch,
  toolChoiceNotFound,
} from '../../request-errors.js';
import { optionalArray, optionalBoolean } from './read-parameter.js';
import { checkStrictSchema } from './strict-schema.js';

/** A function the client offers. */
export interface OfferedFunction {
  readonly name: string;
  /** JSON schema of its arguments; `undefined`: it takes none. */
  readonly parameters: Json | undefined;
}

/** Which functions may be called, and how. */
export interface Tools {
  readonly offered: readonly OfferedFunction[];
  /** `named`: the client chose the one that is offered here. */
  readonly choice: 'none' | 'auto' | 'required' | 'named';
  readonly parallel: boolean;
  /** `functions` and `function_call` of old: one call at most, in `message.function_call`. */
  readonly legacy: boolean;
}

const MAX_TOOLS = 128;
const NAME = /^[a-zA-Z0-9_-]{1,64}$/;

/** Reads `tools` and `tool_choice`, or `functions` and `function_call`. @throws {GatewayError} 400 */
export function readTools(body: JsonObject): Tools {
  const tools = optionalArray(body, 'tools', 'objects');
  const functions = optionalArray(body, 'functions', 'objects');
  const parallel = optionalBoolean(body, 'parallel_tool_calls');
  if (tools === undefined && parallel !== undefined) throw onlyAllowedWith('parallel_tool_calls', 'tools');
  if (tools === undefined && (body.tool_choice ?? 'none') !== 'none') throw onlyAllowedWith('tool_choice', 'tools');
  if (functions === undefined && (body.function_call ?? 'none') !== 'none') {
    throw onlyAllowedWith('function_call', 'functions');
  }
  if (tools !== undefined) {
    const chosen = chooseTools(readOffers(tools, 'tools', readTool), body.tool_choice ?? 'auto');
    return { ...chosen, parallel: parallel ?? true, legacy: false };
  }
  const offers = functions === undefined ? [] : readOffers(functions, 'functions', readFunction);
  return { ...chooseFunction(offers, body.function_call ?? 'auto'), parallel: false, legacy: true };
}

type Chosen = Pick<Tools, 'offered' | 'choice'>;
type ReadOffer = (offer: Json, param: string) => OfferedFunction;

function readOffers(offers: readonly Json[], param: string, read: ReadOffer): readonly OfferedFunction[] {
  if (offers.length > MAX_TOOLS) throw arrayAboveMaxLength(param, MAX_TOOLS, offers.length);
  return offers.map((offer, index) => read(offer, `${param}[${index}]`));
}

function readTool(tool: Json, param: string): OfferedFunction {
  if (!isJsonObject(tool)) throw invalidType(param, 'an object', tool);
  if (tool.type === undefined) throw missingParameter(`${param}.type`);
  if (tool.type !== 'function') throw invalidValue(`${param}.type`, String(tool.type), ['function']);
  if (tool.function === undefined) throw missingParameter(`${param}.function`);
  const offered = readFunction(tool.function, `${param}.function`);
  if (isJsonObject(tool.function) && tool.function.strict === true) {
    checkStrictSchema(offered.parameters, `${param}.function.parameters`, `function '${offered.name}'`);
  }
  return offered;
}

function readFunction(offer: Json, param: string): OfferedFunction {
  if (!isJsonObject(offer)) throw invalidType(param, 'an object', offer);
  const { name, parameters } = offer;
  if (name === undefined) throw missingParameter(`${param}.name`);
  if (typeof name !== 'string') throw invalidType(`${param}.name`, 'a string', name);
  if (!NAME.test(name)) throw patternMismatch(`${param}.name`, '^[a-zA-Z0-9_-]+$');
  if ((parameters ?? null) !== null && !isJsonObject(parameters)) {
    throw invalidType(`${param}.parameters`, 'an object', parameters);
  }
  return { name, parameters: parameters ?? undefined };
}

function chooseTools(offered: readonly OfferedFunction[], choice: Json): Chosen {
  if (choice === 'none' || choice === 'auto' || choice === 'required') return { offered, choice };
  if (typeof choice === 'string') throw invalidValue('tool_choice', choice, ['none', 'auto', 'required']);
  if (!isJsonObject(choice)) throw invalidType('tool_choice', 'one of a string or an object', choice);
  if (choice.type === 'allowed_tools') return allowedTools(offered, choice.allowed_tools);
  if (choice.type !== 'function') {
    throw invalidValue('tool_choice.type', String(choice.type), ['function', 'allowed_tools']);
  }
  return named(offered, nameIn(choice.function, 'tool_choice.function'), 'tool_choice');
}

function allowedTools(offered: readonly OfferedFunction[], allowed: Json | undefined): Chosen {
  if (!isJsonObject(allowed) || !Array.isArray(allowed.tools))
    throw missingParameter('tool_choice.allowed_tools.tools');
  const names = allowed.tools.map((tool, index) => {
    return nameIn(isJsonObject(tool) ? tool.function : undefined, `tool_choice.allowed_tools.tools[${index}].function`);
  });
  const unknown = names.find((name) => !offered.some((one) => one.name === name));
  if (unknown !== undefined) throw toolChoiceNotFound('tool_choice', unknown);
  return {
    offered: offered.filter((one) => names.includes(one.name)),
    choice: allowed.mode === 'required' ? 'required' : 'auto',
  };
}

function chooseFunction(offered: readonly OfferedFunction[], choice: Json): Chosen {
  if (choice === 'none' || choice === 'auto') return { offered, choice };
  if (typeof choice === 'string') throw invalidValue('function_call', choice, ['none', 'auto']);
  return named(offered, nameIn(choice, 'function_call'), 'function_call');
}

function named(offered: readonly OfferedFunction[], name: string, param: 'tool_choice' | 'function_call'): Chosen {
  const found = offered.find((one) => one.name === name);
  if (found === undefined) throw toolChoiceNotFound(param, name);
  return { offered: [found], choice: 'named' };
}

function nameIn(holder: Json | undefined, param: string): string {
  if (!isJsonObject(holder) || holder.name === undefined) throw missingParameter(`${param}.name`);
  if (typeof holder.name !== 'string') throw invalidType(`${param}.name`, 'a string', holder.name);
  return holder.name;
}
