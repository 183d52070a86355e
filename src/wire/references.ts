import { isJsonObject, type Json } from '../json.js';
import type { ObjectKind } from '../objects/object-store.js';

/** An object that a request speaks of by its id. */
export interface Reference {
  readonly kind: ObjectKind;
  readonly id: string;
}

/** Members that bear an id, or a list of them. */
const KINDS: Readonly<Record<string, ObjectKind>> = {
  file_id: 'file',
  file_ids: 'file',
  input_file_id: 'file',
  vector_store_id: 'vector_store',
  vector_store_ids: 'vector_store',
  upload_id: 'upload',
  batch_id: 'batch',
};

/** Members whose insides are the client's own: what looks like an id there is text. */
const OPAQUE = new Set(['metadata', 'parameters', 'schema', 'json_schema', 'attributes']);

/** Every object that a body speaks of, wherever it does. Ids in no known member are the upstream's to judge. */
export function referencesIn(value: Json): Reference[] {
  if (Array.isArray(value)) return value.flatMap(referencesIn);
  if (!isJsonObject(value)) return [];
  return Object.entries(value).flatMap(([name, member = null]) => {
    if (OPAQUE.has(name)) return [];
    const kind = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
    return kind === undefined ? referencesIn(member) : idsOf(member).map((id) => ({ kind, id }));
  });
}

function idsOf(member: Json): string[] {
  return (Array.isArray(member) ? member : [member]).filter((id) => typeof id === 'string');
}
