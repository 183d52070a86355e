import { GatewayError } from '../../base/errors.js';
import { badRequest } from '../request-errors.js';

/** 400 for a tool that OpenAI runs itself: the upstream runs none. @param type such as `web_search`. */
export const hostedToolNotSupported = (type: string, model: string, param: 'tools' | 'tool_choice'): GatewayError =>
  badRequest(`Hosted tool '${type}' is not supported with ${model}.`, null, param);

/** 400 for a choice that demands a tool where none is given. */
export const toolChoiceWithoutTools = (choice: string): GatewayError =>
  badRequest(`Tool choice '${choice}' must be specified with 'tools' parameter.`, null, 'tool_choice');

/** 400 for a chosen tool that is not among the given ones. */
export const toolChoiceNotAmongTools = (name: string): GatewayError =>
  badRequest(`Tool choice '${name}' not found in 'tools' parameter.`, null, 'tool_choice');

/** 400 for a call in the conversation that nobody answered. @param kind such as `function call`. */
export const toolCallWithoutOutput = (kind: string, callId: string): GatewayError =>
  badRequest(`No tool output found for ${kind} ${callId}.`, null, 'input');

/** 400 for an answer to a call that nobody made. @param kind such as `function call`. */
export const toolOutputWithoutCall = (kind: string, callId: string): GatewayError =>
  badRequest(`No tool call found for ${kind} output with call_id ${callId}.`, null, 'input');

/** 404 for a reference to an item that is not stored, as OpenAI answers. */
export const itemNotFound = (id: string): GatewayError =>
  new GatewayError({
    status: 404,
    message: `Item with id '${id}' not found.`,
    param: 'input',
    shouldRetry: false,
  });

/** 413 for a conversation that, with its earlier responses, is larger than a body may be. */
export const conversationTooLarge = (maxBytes: number, param: 'previous_response_id' | 'input'): GatewayError =>
  new GatewayError({
    status: 413,
    message: `The conversation is too large: with what it refers to, this request has more than ${maxBytes} bytes. Please begin a new conversation, or summarise this one.`,
    type: 'invalid_request_error',
    code: 'request_too_large',
    param,
    shouldRetry: false,
  });

/** 400 for a response in the background that is not to be stored: nobody could fetch it. */
export const backgroundWithoutStore = (): GatewayError =>
  badRequest("The 'background' parameter is only allowed when 'store' is enabled.", null, 'background');

/** 400 for JSON mode in a conversation that does not mention JSON: the model may write blanks without end. */
export const responsesJsonModeWithoutTheWord = (): GatewayError =>
  badRequest(
    "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'.",
    null,
    'text.format',
  );
