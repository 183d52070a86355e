import { GatewayError } from '../../base/errors.js';
import { badRequest } from '../request-errors.js';

/** A tool that OpenAI runs itself, where the upstream runs none. @param type such as `web_search`. */
export const hostedToolNotSupported = (type: string, model: string, param: 'tools' | 'tool_choice'): GatewayError =>
  badRequest(`Hosted tool '${type}' is not supported with ${model}.`, null, param);

/** A tool must be called, and none is given. */
export const toolChoiceWithoutTools = (choice: string): GatewayError =>
  badRequest(`Tool choice '${choice}' must be specified with 'tools' parameter.`, null, 'tool_choice');

/** A tool is chosen that is not given. */
export const toolChoiceNotAmongTools = (name: string): GatewayError =>
  badRequest(`Tool choice '${name}' not found in 'tools' parameter.`, null, 'tool_choice');

/** A call in the conversation that nobody answered. @param kind such as `function call`. */
export const toolCallWithoutOutput = (kind: string, callId: string): GatewayError =>
  badRequest(`No tool output found for ${kind} ${callId}.`, null, 'input');

/** An answer to a call that nobody made. @param kind such as `function call`. */
export const toolOutputWithoutCall = (kind: string, callId: string): GatewayError =>
  badRequest(`No tool call found for ${kind} output with call_id ${callId}.`, null, 'input');

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
  badRequest("The 'background' parameter is only allowed when 'store' is enabled.", null, 'background');

/** OpenAI's JSON mode may write blanks without end where nobody speaks of JSON. */
export const responsesJsonModeWithoutTheWord = (): GatewayError =>
  badRequest(
    "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'.",
    null,
    'text.format',
  );
