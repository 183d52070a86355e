import type { Json, JsonObject } from '../../base/json.js';
import { objectsIn, optionalObject, requiredString, withoutNulls } from '../members.js';
import { invalidValue } from '../request-errors.js';
import { hostedToolNotSupported, toolChoiceNotAmongTools, toolChoiceWithoutTools } from './errors.js';
import type { ResponsesRequest } from './request.js';

/**
 * Tools and the choice among them, as chat completions take them.
 * @throws {GatewayError} 400 for a tool that OpenAI runs itself: the upstream runs none.
 */
export function chatTools({ body, model }: ResponsesRequest): JsonObject {
  const tools = objectsIn('tools', body.tools).map((tool, index) => chatTool(`tools[${index}]`, tool, model));
  const choice = chatToolChoice(body.tool_choice, model);
  if (tools.length === 0) {
    // Chat completions refuse these where there are no tools, responses take them.
    if (choice === undefined || choice === 'auto' || choice === 'none') return {};
    throw toolChoiceWithoutTools(typeof choice === 'string' ? choice : String(choice.type));
  }
  for (const name of chosenNames(choice)) {
    if (!tools.some((tool) => nameOf(tool) === name)) throw toolChoiceNotAmongTools(name);
  }
  const { parallel_tool_calls } = body;
  return withoutNulls({ tools, tool_choice: choice, parallel_tool_calls });
}

/** The same format of text as `response_format`; `undefined` where none is named. */
export function chatResponseFormat({ body }: ResponsesRequest): JsonObject | undefined {
  const format = optionalObject('text.format', optionalObject('text', body.text)?.format);
  if (format?.type !== 'json_schema') return format;
  const { type, ...schema } = withoutNulls(format);
  return { type: 'json_schema', json_schema: schema };
}

function chatTool(param: string, tool: JsonObject, model: string): JsonObject {
  const type = requiredString(`${param}.type`, tool.type);
  if (type !== 'function' && type !== 'custom') throw hostedToolNotSupported(type, model, 'tools');
  requiredString(`${param}.name`, tool.name);
  // The last three are about tools that OpenAI runs or looks for.
  const { type: _, output_schema, defer_loading, allowed_callers, ...flat } = withoutNulls(tool);
  const { name, description, parameters, strict, format, ...rest } = flat;
  if (type === 'function') {
    return { ...rest, type, function: withoutNulls({ name, description, parameters, strict }) };
  }
  return { ...rest, type, custom: withoutNulls({ name, description, format: customFormat(param, format) }) };
}

function customFormat(param: string, value: Json | undefined): JsonObject | undefined {
  const format = optionalObject(`${param}.format`, value);
  if (format?.type !== 'grammar') return format;
  const { type, ...grammar } = format;
  return { type: 'grammar', grammar };
}

function chatToolChoice(choice: Json | undefined, model: string): string | JsonObject | undefined {
  if (choice === undefined || choice === null) return undefined;
  if (typeof choice === 'string') {
    const modes = ['none', 'auto', 'required'];
    if (!modes.includes(choice)) throw invalidValue('tool_choice', choice, modes);
    return choice;
  }
  const given = optionalObject('tool_choice', choice) ?? {};
  if (given.type !== 'allowed_tools') return namedTool('tool_choice', given, model);
  const mode = requiredString('tool_choice.mode', given.mode);
  if (mode !== 'auto' && mode !== 'required') throw invalidValue('tool_choice.mode', mode, ['auto', 'required']);
  const tools = objectsIn('tool_choice.tools', given.tools).map((tool, index) =>
    namedTool(`tool_choice.tools[${index}]`, tool, model),
  );
  return { type: 'allowed_tools', allowed_tools: { mode, tools } };
}

function namedTool(param: string, choice: JsonObject, model: string): JsonObject {
  const type = requiredString(`${param}.type`, choice.type);
  if (type !== 'function' && type !== 'custom') throw hostedToolNotSupported(type, model, 'tool_choice');
  return { type, [type]: { name: requiredString(`${param}.name`, choice.name) } };
}

function chosenNames(choice: string | JsonObject | undefined): readonly string[] {
  if (choice === undefined || typeof choice === 'string') return [];
  const allowed = optionalObject('tool_choice', choice.allowed_tools);
  return allowed === undefined ? [nameOf(choice)] : objectsIn('tool_choice.tools', allowed.tools).map(nameOf);
}

function nameOf(tool: JsonObject): string {
  const named = optionalObject('tools', tool.function ?? tool.custom);
  return typeof named?.name === 'string' ? named.name : '';
}
