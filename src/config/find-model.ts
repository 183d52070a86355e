import type { ApiKey } from '../keys/key-store.js';
import { modelNotAllowed, modelNotFound } from '../wire/request-errors.js';
import { type Model, mayCall } from './models.js';
import type { Config } from './options.js';

/** Longest name that is told back. */
const MAX_SHOWN = 256;

/** @throws {GatewayError} 404 or 403. */
export function findModel(config: Config, key: ApiKey, name: string): Model {
  const model = config.models.find(name);
  if (model === undefined) throw modelNotFound(name.slice(0, MAX_SHOWN));
  if (!mayCall(key, model, name)) throw modelNotAllowed(name.slice(0, MAX_SHOWN));
  return model;
}

/**
 * The same for what goes to the gateway's own upstream as it comes: neither another name nor another upstream can be given
 * to a form on its way, or to a file.
 * @throws {GatewayError} 404 or 403.
 */
export function findUnrouted(config: Config, key: ApiKey, name: string): Model {
  const model = findModel(config, key, name);
  if (model.upstream !== undefined || model.upstreamModel !== name) throw modelNotFound(name.slice(0, MAX_SHOWN));
  return model;
}
