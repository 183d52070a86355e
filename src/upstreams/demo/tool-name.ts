import type { Json, JsonObject } from '../../base/json.js';
import { invalidType, missingParameter } from '../../wire/request-errors.js';
import { patternMismatch } from './chat-errors.js';

const NAME = /^[a-zA-Z0-9_-]{1,64}$/;

/** The name of a tool that is offered. @throws {GatewayError} 400 */
export function readToolName({ name }: JsonObject, param: string): string {
  const given: Json | undefined = name;
  if (given === undefined) throw missingParameter(`${param}.name`);
  if (typeof given !== 'string') throw invalidType(`${param}.name`, 'a string', given);
  if (!NAME.test(given)) throw patternMismatch(`${param}.name`, '^[a-zA-Z0-9_-]+$');
  return given;
}
