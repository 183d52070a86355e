/** Share of all bytes that one owner may hold. */
export const OWNER_SHARE = 4;
/** Bytes that a row takes besides its body and its name, in its table and the indexes. */
export const ROW_BYTES = 512;
/** Parts of a bound after which a store adds up anew what it holds: adding up at each write would cost more than the write. */
const PARTS = 64;
/** Owners whose writes are counted at once. */
const MAX_OWNERS = 10_000;

/** Tells when a store on disk should look whether it holds too much. */
export interface ByteBounds {
  /** Most bytes in all. */
  readonly all: number;
  /** Most bytes of one owner. */
  readonly owner: number;
  /** Counts a write. @returns whether it is time to look at this owner, and at all. */
  written(owner: string, bytes: number): { readonly ofOwner: boolean; readonly ofAll: boolean };
}

export function byteBounds(maxBytes: number): ByteBounds {
  const owner = Math.max(1, Math.floor(maxBytes / OWNER_SHARE));
  const sinceLook = new Map<string, number>();
  /** Others may have written before this process began. */
  let allSinceLook = maxBytes;

  return {
    all: maxBytes,
    owner,
    written(name, bytes) {
      allSinceLook += bytes;
      const ofAll = allSinceLook >= maxBytes / PARTS;
      if (ofAll) allSinceLook = 0;
      const since = (sinceLook.get(name) ?? owner) + bytes;
      const ofOwner = since >= owner / PARTS;
      if (sinceLook.size >= MAX_OWNERS && !sinceLook.has(name)) sinceLook.clear();
      sinceLook.set(name, ofOwner ? 0 : since);
      return { ofOwner, ofAll };
    },
  };
}
