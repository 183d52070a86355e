import { isJsonObject, type JsonObject } from '../base/json.js';

/** Members by which an object in a stream tells an error where it has none called `error`. */
const ERROR_MEMBERS = ['message', 'code', 'detail', 'details', 'error_message', 'error_code', 'errors'];

/** Whether an object in place of a chunk or an event is an error: it says so, or it has no choices but a message. */
export function isToldError(object: JsonObject): boolean {
  if ((object.error !== undefined && object.error !== null) || object.object === 'error') return true;
  if (object.choices !== undefined || isJsonObject(object.usage)) return false;
  return ERROR_MEMBERS.some((name) => object[name] !== undefined && object[name] !== null && object[name] !== '');
}
