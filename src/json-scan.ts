/** Byte offsets, `end` exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Bounds within which parsing cannot block the process (2 MB of `[` block `JSON.parse` for 1.5 s). */
export interface JsonBounds {
  readonly maxDepth: number;
  /** Most `:` outside strings. */
  readonly maxKeys: number;
  /** Most `,` outside strings. */
  readonly maxItems: number;
  /**
   * Whether names standing twice or reaching a prototype are refused and lone surrogates replaced, as for what strangers
   * send. What upstreams answer is only read, and must pass as it came.
   */
  readonly strict: boolean;
}

/** Why a text is no document. `name`: the member that stands there twice. */
export type JsonRefusal =
  | { readonly kind: 'refused'; readonly reason: 'syntax' | 'not-an-object' | 'depth' | 'keys' | 'poisoned' }
  | { readonly kind: 'refused'; readonly reason: 'duplicate'; readonly name: string };

/**
 * Walks over the bytes without recursion: counts depth, keys and items, and notes where the top-level values stand. What
 * is not valid JSON comes out as nonsense here and is refused by `JSON.parse` after.
 */
export function scanTopLevel(bytes: Buffer, bounds: JsonBounds): Map<string, Span> | JsonRefusal {
  const members = new Map<string, Span>();
  let depth = 0;
  let keys = 0;
  let items = 0;
  let name: string | undefined;
  let valueStart = 0;
  let lastString: Span | undefined;
  let valueEnd = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    switch (byte) {
      case 0x22: {
        const end = stringEnd(bytes, at);
        if (depth === 1) lastString = { start: at, end };
        at = end - 1;
        break;
      }
      case 0x7b: // {
      case 0x5b: // [
        depth += 1;
        if (depth > bounds.maxDepth) return refused('depth');
        break;
      case 0x3a: // :
        keys += 1;
        if (keys > bounds.maxKeys) return refused('keys');
        if (depth === 1 && name === undefined && lastString !== undefined) {
          name = memberName(bytes, lastString);
          valueStart = at + 1;
        }
        break;
      case 0x2c: // ,
        items += 1;
        if (items > bounds.maxItems) return refused('keys');
        break;
      case 0x7d: // }
      case 0x5d: // ]
        depth -= 1;
        break;
      case 0x20:
      case 0x0a:
      case 0x0d:
      case 0x09:
        continue;
    }
    const closes = byte === 0x2c ? depth === 1 : byte === 0x7d && depth === 0;
    if (closes && name !== undefined) {
      if (bounds.strict && members.has(name)) return { kind: 'refused', reason: 'duplicate', name };
      members.set(name, { start: firstVisible(bytes, valueStart), end: valueEnd });
      name = undefined;
    }
    valueEnd = at + 1;
  }
  return members;
}

/** Offset after the closing quote. Short strings by a loop, long ones by `indexOf`, which is C. */
function stringEnd(bytes: Buffer, start: number): number {
  const near = Math.min(bytes.length, start + 24);
  for (let at = start + 1; at < near; at += 1) {
    if (bytes[at] === 0x5c) at += 1;
    else if (bytes[at] === 0x22) return at + 1;
  }
  let from = start + 1;
  for (;;) {
    const quote = bytes.indexOf(0x22, from);
    if (quote === -1) return bytes.length;
    let slashes = 0;
    while (bytes[quote - 1 - slashes] === 0x5c) slashes += 1;
    if (slashes % 2 === 0) return quote + 1;
    from = quote + 1;
  }
}

function memberName(bytes: Buffer, span: Span): string {
  const quoted = bytes.toString('utf8', span.start, span.end);
  if (!quoted.includes('\\')) return quoted.slice(1, -1);
  try {
    return String(JSON.parse(quoted));
  } catch {
    return quoted;
  }
}

function firstVisible(bytes: Buffer, from: number): number {
  let at = from;
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at += 1;
  return at;
}

export function refused(reason: 'syntax' | 'not-an-object' | 'depth' | 'keys' | 'poisoned'): JsonRefusal {
  return { kind: 'refused', reason };
}
