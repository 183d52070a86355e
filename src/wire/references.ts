import { isJsonObject, type Json } from '../base/json.js';
import type { ObjectKind } from './operations.js';

/** An object that a request names by its id. */
export interface Reference {
  readonly kind: ObjectKind;
  readonly id: string;
}

/** Members that bear an id, or a list of them. */
const KINDS: ReadonlyMap<string, ObjectKind> = new Map(
  Object.entries({
    file_id: 'file',
    file_ids: 'file',
    input_file_id: 'file',
    vector_store_id: 'vector_store',
    vector_store_ids: 'vector_store',
    upload_id: 'upload',
    batch_id: 'batch',
  } satisfies Record<string, ObjectKind>),
);

/** Names that may bear an id, in their one plain spelling. */
export const REFERRING: readonly string[] = [...KINDS.keys(), 'container'];

/** Names in lower-case ASCII. A reader that ignores case takes them for no other names. */
export const PLAIN_NAME = /^[a-z0-9_]*$/;

/** Members whose contents are the client's own: an id in there is text. */
export const OPAQUE: ReadonlySet<string> = new Set(['metadata', 'parameters', 'schema', 'json_schema', 'attributes']);

/** Every object that a body names, once, at any depth. Ids in unknown members are the upstream's to judge. */
export function referencesIn(body: Json): Reference[] {
  const found = new Map<string, Reference>();
  collectReferences(body, undefined, found);
  return [...found.values()];
}

/** Adds the objects that a value names. @param kind the kind of object that a text means here; `undefined`: none. */
function collectReferences(value: Json, kind: ObjectKind | undefined, found: Map<string, Reference>): void {
  if (typeof value === 'string') {
    if (kind !== undefined) found.set(`${kind} ${value}`, { kind, id: value });
  } else if (Array.isArray(value)) {
    for (const item of value) collectReferences(item, kind, found);
  } else if (isJsonObject(value)) {
    for (const [name, member = null] of Object.entries(value)) {
      if (OPAQUE.has(name)) continue;
      // A container is named by its id, or described by an object whose texts are no ids.
      const isContainer = name.toLowerCase() === 'container' && typeof member === 'string';
      collectReferences(member, isContainer ? 'container' : (kindOf(name) ?? kind), found);
    }
  }
}

/** Servers in Go take names in any case, and some letters for others. */
function kindOf(name: string): ObjectKind | undefined {
  return KINDS.get(name) ?? (PLAIN_NAME.test(name) ? undefined : KINDS.get(name.toUpperCase().toLowerCase()));
}

/** Whether `referencesIn` finds anything, at a tenth of its cost where there is nothing. */
export function hasReferences(body: Json): boolean {
  if (Array.isArray(body)) return body.some(hasReferences);
  if (!isJsonObject(body)) return false;
  for (const name in body) {
    if (OPAQUE.has(name)) continue;
    if (mayRefer(name)) return true;
    const member = body[name];
    if (typeof member === 'object' && member !== null && hasReferences(member)) return true;
  }
  return false;
}

/** Whether a member of that name may bear an id. */
function mayRefer(name: string): boolean {
  // First, as `toLowerCase` copies each name that needs no change.
  if (PLAIN_NAME.test(name)) return KINDS.has(name) || name === 'container';
  // An outline writes names beyond ASCII byte by byte: nobody can tell what they are.
  return kindOf(name) !== undefined || name.toLowerCase() === 'container' || BEYOND_ASCII.test(name);
}

const BEYOND_ASCII = /[^ -~]/;
