import { findKnownModel, type KnownModel } from '../../models/known-models.js';
import type { ModelOperation } from '../../wire/operations.js';
import { modelNotFound } from '../../wire/request-errors.js';
import { findDemoModel } from './demo-models.js';

/**
 * The well-known model of that id, with or without a vendor before it; `undefined` when it is there for something else.
 * @throws {GatewayError} 404 when the id is made up
 */
export function modelFor(operation: ModelOperation, id: string): KnownModel | undefined {
  const tuned = /^ft:([^:]+):[\w:-]*$/.exec(id)?.[1];
  const known = findKnownModel(tuned ?? id.slice(id.lastIndexOf('/') + 1));
  if (known?.operation === operation) return known;
  if (known === undefined && findDemoModel(id) === undefined) throw modelNotFound(id);
  return undefined;
}
