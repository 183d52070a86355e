import type { GatewayError } from '../../base/errors.js';
import { badRequest } from '../../wire/request-errors.js';

// 400, of single parameters of chat completions.

export const jsonModeWithoutTheWord = (): GatewayError =>
  badRequest(
    "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
    null,
    'messages',
  );

export const maxTokensTooLarge = (param: string, max: number, got: number): GatewayError =>
  badRequest(
    `${param} is too large: ${got}. This model supports at most ${max} completion tokens, whereas you provided ${got}.`,
    'invalid_value',
    param,
  );

/** A value the API has, but this model has not. */
export const unsupportedValue = (param: string, got: unknown): GatewayError =>
  badRequest(
    `Unsupported value: '${param}' does not support ${JSON.stringify(got)} with this model. Only the default (1) value is supported.`,
    'unsupported_value',
    param,
  );

export const patternMismatch = (param: string, pattern: string): GatewayError =>
  badRequest(
    `Invalid '${param}': string does not match pattern. Expected a string that matches the pattern '${pattern}'.`,
    'invalid_value',
    param,
  );

/** @param needs the parameter without which this one means nothing. */
export const onlyAllowedWith = (param: string, needs: string): GatewayError =>
  badRequest(`Invalid value for '${param}': '${param}' is only allowed when '${needs}' are specified.`, null, param);

export const topLogprobsWithoutLogprobs = (): GatewayError =>
  badRequest("The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", null, 'top_logprobs');

export const toolChoiceNotFound = (param: 'tool_choice' | 'function_call', name: string): GatewayError =>
  badRequest(`Invalid value for '${param}': no function named '${name}' was specified.`, null, param);

/** @param where the schema's parameter. @param what such as `function 'f'`. @param reason from `In context=` on. */
export const invalidStrictSchema = (where: string, what: string, reason: string): GatewayError =>
  badRequest(
    `Invalid schema for ${what}: ${reason}`,
    where === 'response_format' ? 'invalid_json_schema' : 'invalid_function_parameters',
    where,
  );

/** @param index of the message where the answers should have been. */
export const toolCallsUnanswered = (index: number, ids: readonly string[]): GatewayError =>
  badRequest(
    `An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ${ids.join(', ')}`,
    null,
    `messages.[${index}].role`,
  );

export const toolMessageWithoutCall = (index: number): GatewayError =>
  badRequest(
    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
    null,
    `messages.[${index}].role`,
  );

export const toolCallIdNotFound = (index: number, id: string): GatewayError =>
  badRequest(
    `Invalid parameter: 'tool_call_id' of '${id}' not found in 'tool_calls' of previous message.`,
    null,
    `messages.[${index}].tool_call_id`,
  );

export const imageOutsideUserMessage = (index: number, role: string): GatewayError =>
  badRequest(
    `Invalid 'messages[${index}]'. Image URLs are only allowed for messages with role 'user', but this message with role '${role}' contains an image URL.`,
    'invalid_value',
    `messages[${index}]`,
  );

export const imagesNotSupported = (param: string): GatewayError =>
  badRequest('Invalid content type. image_url is only supported by certain models.', null, param);
