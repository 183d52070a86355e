import type { JsonObject } from '../../base/json.js';
import { optionalArray } from '../../wire/members.js';
import { arrayAboveMaxLength, invalidType } from '../../wire/request-errors.js';

const MAX_STOPS = 4;

/** Where answers are to stop: `stop` as one text or at most four, empty ones left out. @throws {GatewayError} 400 */
export function readStop(body: JsonObject): readonly string[] {
  if (typeof body.stop === 'string') return body.stop === '' ? [] : [body.stop];
  const expected = 'one of a string or array of strings';
  if ((body.stop ?? null) !== null && !Array.isArray(body.stop)) throw invalidType('stop', expected, body.stop);
  const stops = optionalArray('stop', body.stop, 'strings') ?? [];
  if (stops.length > MAX_STOPS) throw arrayAboveMaxLength('stop', MAX_STOPS, stops.length);
  return stops.flatMap((stop, index) => {
    if (typeof stop !== 'string') throw invalidType(`stop[${index}]`, 'a string', stop);
    return stop === '' ? [] : [stop];
  });
}
