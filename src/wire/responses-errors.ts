import { GatewayError } from '../errors.js';

/** A text longer than OpenAI takes. */
export const stringAboveMaxLength = (param: string, max: number, got: number): GatewayError =>
  invalid(
    `Invalid '${param}': string too long. Expected a string with maximum length ${max}, but got a string with length ${got} instead.`,
    'string_above_max_length',
    param,
  );

/** An object with more members than OpenAI takes. */
export const objectAboveMaxProperties = (param: string, max: number, got: number): GatewayError =>
  invalid(
    `Invalid '${param}': too many properties. Expected an object with at most ${max} properties, but got an object with ${got} properties instead.`,
    'object_above_max_properties',
    param,
  );

/** A tool that OpenAI runs itself, where the upstream runs none. @param type such as `web_search`. */
export const hostedToolNotSupported = (type: string, model: string, param: 'tools' | 'tool_choice'): GatewayError =>
  invalid(`Hosted tool '${type}' is not supported with ${model}.`, null, param);

/** A tool must be called, and none is given. */
export const toolChoiceWithoutTools = (choice: string): GatewayError =>
  invalid(`Tool choice '${choice}' must be specified with 'tools' parameter.`, null, 'tool_choice');

/** A tool is chosen that is not given. */
export const toolChoiceNotAmongTools = (name: string): GatewayError =>
  invalid(`Tool choice '${name}' not found in 'tools' parameter.`, null, 'tool_choice');

/** A call in the conversation that nobody answered. @param kind such as `function call`. */
export const toolCallWithoutOutput = (kind: string, callId: string): GatewayError =>
  invalid(`No tool output found for ${kind} ${callId}.`, null, 'input');

/** An answer to a call that nobody made. @param kind such as `function call`. */
export const toolOutputWithoutCall = (kind: string, callId: string): GatewayError =>
  invalid(`No tool call found for ${kind} output with call_id ${callId}.`, null, 'input');

/** OpenAI answers 404 to an item that is referred to and not stored. */
export const itemNotFound = (id: string): GatewayError =>
  new GatewayError({
    status: 404,
    message: `Item with id '${id}' not found.`,
    param: 'input',
    shouldRetry: false,
  });

/** What is made in the background can only be fetched if it is kept. */
export const backgroundWithoutStore = (): GatewayError =>
  invalid("The 'background' parameter is only allowed when 'store' is enabled.", null, 'background');

/** OpenAI's JSON mode may write blanks without end where nobody speaks of JSON. */
export const responsesJsonModeWithoutTheWord = (): GatewayError =>
  invalid(
    "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'.",
    null,
    'text.format',
  );

function invalid(message: string, code: string | null, param: string): GatewayError {
  return new GatewayError({ status: 400, message, code, param, shouldRetry: false });
}
