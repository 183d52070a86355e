import { guarded } from '../base/awaitable.js';
import { causeOf, unavailable } from '../base/errors.js';
import type { Json, JsonObject } from '../base/json.js';
import type { Config } from '../config/options.js';
import type { ObjectKind } from '../wire/operations.js';
import { referencesIn } from '../wire/references.js';
import { objectNotFound } from '../wire/request-errors.js';
import type { StoredObject } from './object-store.js';

/** One object as somebody asks for it. */
export interface ObjectName {
  readonly owner: string;
  readonly kind: ObjectKind;
  readonly id: string;
}

/** @throws {GatewayError} 503 when the store fails. */
export async function findOwned(
  { objects }: Config,
  { owner, kind, id }: ObjectName,
): Promise<StoredObject | undefined> {
  const found = await guarded(() => objects.find(owner, kind, id), storeFailure);
  // Stores without types say `null` for what is not there.
  return found ?? undefined;
}

/** The ids of everything of a kind that is this owner's. @throws {GatewayError} 503 when the store fails. */
export async function ownedIds(
  { objects }: Config,
  { owner, kind }: Pick<ObjectName, 'owner' | 'kind'>,
): Promise<ReadonlySet<string>> {
  const owned = await guarded(() => objects.list(owner, kind), storeFailure);
  return new Set(owned.map(({ id }) => id));
}

/** @throws {GatewayError} 404 for what is another's, as for what is not there at all. */
export async function checkOwned(config: Config, name: ObjectName): Promise<StoredObject> {
  const found = await findOwned(config, name);
  if (found === undefined) throw objectNotFound(name.kind, name.id);
  return found;
}

/** @throws {GatewayError} 404 when the body speaks of anything that is not this owner's. */
export async function checkReferences(config: Config, owner: string, body: Json): Promise<void> {
  for (const { kind, id } of referencesIn(body)) await checkOwned(config, { owner, kind, id });
}

/** Makes the object this owner's; `{}` where no more than that is to be known. */
export async function put(config: Config, { owner, kind, id }: ObjectName, body: JsonObject = {}): Promise<void> {
  const object = { owner, kind, id, createdAt: config.clock.wallMs(), body };
  await guarded(() => config.objects.put(object), storeFailure);
}

/** Makes the object nobody's. */
export async function disown({ objects }: Config, { owner, kind, id }: ObjectName): Promise<void> {
  await guarded(() => objects.remove(owner, kind, id), storeFailure);
}

export function storeFailure(error: unknown): never {
  throw unavailable('objects_unavailable', 'Stored objects cannot be reached right now. Please retry.', causeOf(error));
}
