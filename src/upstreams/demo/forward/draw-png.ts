import { createHash } from 'node:crypto';
import { crc32, deflateSync } from 'node:zlib';

/** What a picture is drawn from. */
export interface Drawing {
  /** The same seed always gives the same picture. */
  readonly seed: string;
  readonly width: number;
  readonly height: number;
  /** How many cells it has on a side, up to 8: fewer show it before it is finished. @default 8 */
  readonly cells?: number;
  /** Whether its background lets through what is behind it. @default false */
  readonly transparent?: boolean;
}

const CELLS = 8;
const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const PIXELS_PER_BYTE = 4;

/**
 * A PNG of a pattern in four colours, symmetrical and determined by the seed. Two bits a pixel and few different rows:
 * a megapixel packs to a few hundred bytes, within a few milliseconds.
 */
export function drawPng({ seed, width, height, cells = CELLS, transparent = false }: Drawing): Buffer {
  const digest = createHash('sha512').update(seed).digest();
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // Two bits a pixel, indices into a palette; the last three bytes are the only method, filter and order but one.
  header.set([2, 3, 0, 0, 0], 8);
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('PLTE', digest.subarray(0, 12)),
    ...(transparent ? [chunk('tRNS', Buffer.from([0]))] : []),
    chunk('IDAT', deflateSync(pixels(digest.subarray(12), { width, height, cells }), { level: 6 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

interface Grid {
  readonly width: number;
  readonly height: number;
  readonly cells: number;
}

function pixels(pattern: Buffer, { width, height, cells }: Grid): Buffer {
  const stride = 1 + Math.ceil(width / PIXELS_PER_BYTE);
  const image = Buffer.alloc(stride * height);
  const rows = Array.from({ length: cells }, (_, row) => pixelRow(pattern, row, { width, height, cells }));
  for (let y = 0; y < height; y += 1) rows[Math.floor((y * cells) / height)]?.copy(image, y * stride);
  return image;
}

/** One row of pixels, with the filter type 0 before it. */
function pixelRow(pattern: Buffer, row: number, { width, cells }: Grid): Buffer {
  const bytes = Buffer.alloc(1 + Math.ceil(width / PIXELS_PER_BYTE));
  // Cells of a coarse grid have the colour of the first fine one that they cover.
  const fine = CELLS / cells;
  for (let x = 0; x < width; x += 1) {
    const column = Math.floor((x * cells) / width) * fine;
    const mirrored = Math.min(column, CELLS - 1 - column);
    const colour = (pattern[Math.floor(row * fine) * (CELLS / 2) + mirrored] ?? 0) & 3;
    const at = 1 + Math.floor(x / PIXELS_PER_BYTE);
    bytes[at] = (bytes[at] ?? 0) | (colour << (6 - 2 * (x % PIXELS_PER_BYTE)));
  }
  return bytes;
}

function chunk(type: string, data: Buffer): Buffer {
  const content = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const framed = Buffer.alloc(content.length + 8);
  framed.writeUInt32BE(data.length, 0);
  content.copy(framed, 4);
  framed.writeUInt32BE(crc32(content), framed.length - 4);
  return framed;
}
