import { guarded } from '../base/awaitable.js';
import type { Clock } from '../base/clock.js';
import { causeOf, unavailable } from '../base/errors.js';
import type { Json, JsonObject } from '../base/json.js';
import type { ObjectKind } from '../wire/operations.js';
import { referencesIn } from '../wire/references.js';
import { objectNotFound } from '../wire/request-errors.js';
import type { ObjectStore, StoredObject } from './object-store.js';

/** The gateway's objects. */
export interface Objects {
  readonly objects: ObjectStore;
}

/** Name of one object, and the owner who asks for it. */
export interface ObjectName {
  readonly owner: string;
  readonly kind: ObjectKind;
  readonly id: string;
}

/** @throws {GatewayError} 503 when the store fails. */
export async function findOwned(
  { objects }: Objects,
  { owner, kind, id }: ObjectName,
): Promise<StoredObject | undefined> {
  const found = await guarded(() => objects.find(owner, kind, id), storeFailure);
  // Stores without types say `null` for an absent object.
  return found ?? undefined;
}

/** The ids of the owner's objects of one kind. @throws {GatewayError} 503 when the store fails. */
export async function ownedIds(
  { objects }: Objects,
  { owner, kind }: Pick<ObjectName, 'owner' | 'kind'>,
): Promise<ReadonlySet<string>> {
  return new Set(await listedIds({ objects }, { owner, kind }));
}

/** The same ids in the order in which their objects were first put. @throws {GatewayError} 503 when the store fails. */
export async function listedIds(
  { objects }: Objects,
  { owner, kind }: Pick<ObjectName, 'owner' | 'kind'>,
): Promise<readonly string[]> {
  if (objects.listIds !== undefined) return guarded(async () => objects.listIds?.(owner, kind) ?? [], storeFailure);
  return (await guarded(() => objects.list(owner, kind), storeFailure)).map(({ id }) => id);
}

/** @throws {GatewayError} 404, the same for another owner's object and for one that does not exist. */
export async function checkOwned(objects: Objects, name: ObjectName): Promise<StoredObject> {
  const found = await findOwned(objects, name);
  if (found === undefined) throw objectNotFound(name.kind, name.id);
  return found;
}

/** @throws {GatewayError} 404 when the body refers to an object that is not this owner's. */
export async function checkReferences(objects: Objects, owner: string, body: Json): Promise<void> {
  for (const { kind, id } of referencesIn(body)) await checkOwned(objects, { owner, kind, id });
}

/** Makes the object this owner's; its body is `{}` where only the owner is to be known. */
export async function own(
  { objects, clock }: Objects & { readonly clock: Pick<Clock, 'wallMs'> },
  { owner, kind, id }: ObjectName,
  body: JsonObject = {},
): Promise<void> {
  const object = { owner, kind, id, createdAt: clock.wallMs(), body };
  await guarded(() => objects.put(object), storeFailure);
}

/** Makes the object nobody's. */
export async function disown({ objects }: Objects, { owner, kind, id }: ObjectName): Promise<void> {
  await guarded(() => objects.remove(owner, kind, id), storeFailure);
}

/** @throws {GatewayError} 503, in place of the store's error. */
export function storeFailure(error: unknown): never {
  throw unavailable('objects_unavailable', 'Stored objects cannot be reached right now. Please retry.', causeOf(error));
}
