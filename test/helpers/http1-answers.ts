import { gzipSync } from 'node:zlib';
import type { Seeded } from './seeded.js';

/** Bytes of an answer over HTTP/1.1, and the method that asked for it. */
export interface WireAnswer {
  readonly method: 'POST' | 'HEAD';
  readonly bytes: Buffer;
}

const TYPES = ['application/json', 'text/event-stream; charset=utf-8', 'text/plain', 'audio/mpeg'] as const;

const OTHER_HEADERS = [
  'date: Sat, 28 Nov 2026 22:00:00 GMT',
  'server: nginx/1.27.0',
  'x-request-id: req_0123456789abcdef',
  'retry-after: 7',
  'Retry-After-Ms: 1500',
  'set-cookie: a=b; path=/',
  'set-cookie: c=d',
  'vary: Origin',
  'x-empty:',
  'x-blanks: \t padded \t ',
  'x-latin: caf\xe9',
  'keep-alive: timeout=5, max=100',
  'OpenAI-Processing-Ms: 12',
  'alt-svc: h3=":443"; ma=86400',
] as const;

const STATUSES = [200, 200, 200, 200, 201, 202, 206, 204, 304, 400, 404, 429, 500, 503] as const;

/** A good answer of any kind that servers send. */
export function goodAnswer(random: Seeded): WireAnswer {
  const method = random.oneIn(20) ? 'HEAD' : 'POST';
  const status = random.pick(STATUSES);
  const isBodiless = method === 'HEAD' || status === 204 || status === 304;
  const lines: string[] = [];
  if (!random.oneIn(5)) lines.push(`${random.pick(['content-type', 'Content-Type'])}: ${random.pick(TYPES)}`);
  for (let more = random.below(4); more > 0; more -= 1) lines.push(random.pick(OTHER_HEADERS));
  let content = random.oneIn(3)
    ? random.bytes(random.below(60))
    : Buffer.from('{"choices":[]}'.repeat(random.below(5)));
  if (random.oneIn(6)) {
    lines.push('content-encoding: gzip');
    content = gzipSync(content);
  }
  const isOld = random.oneIn(12);
  const connection = random.pick(['', '', '', 'close', 'keep-alive', 'Close', 'Keep-Alive', 'x-other, close']);
  if (connection !== '') lines.push(`connection: ${connection}`);
  const framing = isOld
    ? random.pick(['length', 'close'])
    : random.pick(['length', 'length', 'chunked', 'chunked', 'close']);
  const name = random.oneIn(2) ? ['content-length', 'transfer-encoding'] : ['Content-Length', 'Transfer-Encoding'];
  const isSilent = status === 204 || (status === 304 && random.oneIn(2));
  const blank = random.pick([' ', ' ', ' ', '\t', '']);
  if (framing === 'length' && !isSilent) lines.push(`${name[0]}:${blank}${content.length}`);
  if (framing === 'chunked' && !isSilent) lines.push(`${name[1]}:${blank}${random.pick(['chunked', 'Chunked'])}`);
  const headLines = [
    `HTTP/1.${isOld ? 0 : 1} ${status} ${random.pick(['OK', '', 'Not So Good', 'Caf\xe9'])}`,
    ...shuffled(lines, random),
  ];
  const head = Buffer.from(`${headLines.join('\r\n')}\r\n\r\n`, 'latin1');
  const body = isBodiless ? Buffer.alloc(0) : framing === 'chunked' ? chunked(content, random) : content;
  return { method, bytes: Buffer.concat([interim(random), head, body]) };
}

function interim(random: Seeded): Buffer {
  const one = (): string =>
    random.pick([
      'HTTP/1.1 100 Continue\r\n\r\n',
      'HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n',
      'HTTP/1.1 102 Processing\r\nx-a: b\r\n\r\n',
    ]);
  return Buffer.from(random.oneIn(8) ? Array.from({ length: 1 + random.below(3) }, one).join('') : '');
}

function chunked(content: Buffer, random: Seeded): Buffer {
  const parts: (Buffer | string)[] = [];
  for (let at = 0; at < content.length; ) {
    const chunk = content.subarray(at, at + 1 + random.below(random.oneIn(2) ? 6 : 80));
    at += chunk.length;
    const size = chunk.length.toString(16);
    parts.push(
      random.pick([size, size, size.toUpperCase(), `0${size}`, `000${size}`]),
      extension(random),
      '\r\n',
      chunk,
      '\r\n',
    );
  }
  parts.push('0', extension(random), '\r\n');
  if (random.oneIn(4))
    parts.push(random.pick(['x-trailer: 1\r\n', 'x-checksum: abc\r\nx-other:\r\n', 'Server-Timing: a;dur=1\r\n']));
  parts.push('\r\n');
  return Buffer.concat(parts.map((part) => Buffer.from(part)));
}

function extension(random: Seeded): string {
  return random.oneIn(5)
    ? random.pick([';a', ';a=b', ';a=b;c=d', ';sig=0123456789abcdef', ';a="b; c"', ';a="\\"\\\\";b=""'])
    : '';
}

function shuffled<T>(items: readonly T[], random: Seeded): T[] {
  const left = [...items];
  const order: T[] = [];
  while (left.length > 0) order.push(...left.splice(random.below(left.length), 1));
  return order;
}

const ODD_BYTES = [
  '\0',
  '\r',
  '\n',
  '\t',
  ' ',
  ':',
  ';',
  ',',
  '"',
  '+',
  '-',
  '_',
  '0',
  'x',
  'F',
  '\x0b',
  '\x7f',
  '\x80',
  '\xff',
] as const;

const ODD_LINES = [
  'content-length: 0',
  'content-length: 2',
  'Content-Length: 14',
  'content-length: +14',
  'content-length: -1',
  'content-length: 14, 14',
  'content-length: 0x0e',
  'content-length: 14 14',
  'content-length: 1e1',
  'content-length:',
  'content-length: 14;',
  'content-length: 0014',
  'content-length: 18446744073709551616',
  'content-length: 99999999999999999999999999',
  'content-length: 9007199254740993',
  'content-length\t: 14',
  'content-length : 14',
  'content_length: 14',
  'transfer-encoding: chunked',
  'transfer-encoding: identity',
  'transfer-encoding: gzip, chunked',
  'transfer-encoding: chunked, gzip',
  'transfer-encoding: chunked, chunked',
  'transfer-encoding: chunked,',
  'transfer-encoding: , chunked',
  'transfer-encoding: xchunked',
  'transfer-encoding: chunkedx',
  'transfer-encoding: chunked;q=1',
  'transfer-encoding: "chunked"',
  'transfer-encoding:\tchunked\t',
  'transfer-encoding:\x0bchunked',
  'transfer-encoding:',
  'transfer-encoding : chunked',
  'Transfer-Encoding: CHUNKED',
  'connection: close',
  'connection: keep-alive',
  'connection: keep-alive, close',
  'connection: close, keep-alive',
  'connection: upgrade',
  'connection: closed',
  'connection:,close,',
  'connection:',
  'proxy-connection: close',
  'upgrade: websocket',
  'upgrade: h2c',
  'keep-alive: timeout=0',
  'content-encoding: gzip',
  'content-encoding: br',
  'trailer: content-length',
  'x-nul: a\0b',
  'x-cr: a\rb',
  'x-del: a\x7fb',
  'x-control: a\x01b',
  ' folded: at the start',
  '\tfolded',
  ' ',
  ':',
  ': no name',
  'no colon',
  'x(y): z',
  'x y: z',
  'x\0y: z',
  'caf\xe9: z',
  'x-a: b\r\n folded',
  'x-a: b\r\n\tfolded',
  'x-a: b\nx-c: d',
  'x-a: b\n',
  'x-a: b\r',
  `x-long: ${'y'.repeat(9_000)}`,
  `x-longer: ${'y'.repeat(20_000)}`,
  `${'n'.repeat(17_000)}: y`,
  Array.from({ length: 300 }, (_, index) => `x-${index}: y`).join('\r\n'),
] as const;

const ODD_STARTS = [
  'HTTP/1.1 200\r\n',
  'HTTP/1.1 200 \r\n',
  'HTTP/1.1  200 OK\r\n',
  'HTTP/1.1\t200 OK\r\n',
  'HTTP/1.1 200\tOK\r\n',
  'HTTP/1.1 2000 OK\r\n',
  'HTTP/1.1 20 OK\r\n',
  'HTTP/1.1 0200 OK\r\n',
  'HTTP/1.1 +200 OK\r\n',
  'HTTP/1.1 099 OK\r\n',
  'HTTP/1.1 999 OK\r\n',
  'HTTP/1.1 600 OK\r\n',
  'HTTP/1.1 000 OK\r\n',
  'HTTP/1.1 200OK\r\n',
  'HTTP/1.1 200 O\0K\r\n',
  'HTTP/1.1 200 O\rK\r\n',
  'HTTP/1.1 200 OK\n',
  'HTTP/1.1 200 OK\r',
  'HTTP/1.1 200 OK\r\r\n',
  ' HTTP/1.1 200 OK\r\n',
  '\r\nHTTP/1.1 200 OK\r\n',
  '\nHTTP/1.1 200 OK\r\n',
  '\r\n\r\n\r\nHTTP/1.1 200 OK\r\n',
  'http/1.1 200 OK\r\n',
  'Http/1.1 200 OK\r\n',
  'HTTP/1.0 200 OK\r\n',
  'HTTP/0.9 200 OK\r\n',
  'HTTP/1.2 200 OK\r\n',
  'HTTP/2.0 200 OK\r\n',
  'HTTP/2 200 OK\r\n',
  'HTTP/11 200 OK\r\n',
  'HTTP/1.10 200 OK\r\n',
  'HTTP/01.1 200 OK\r\n',
  'HTTP 1.1 200 OK\r\n',
  'HTTP/1,1 200 OK\r\n',
  'HTTPS/1.1 200 OK\r\n',
  'RTSP/1.0 200 OK\r\n',
  'ICE/1.0 200 OK\r\n',
  'ICY 200 OK\r\n',
  'HTTP/1.1 101 Switching Protocols\r\n',
  'HTTP/1.1 100 Continue\r\n',
  'HTTP/1.1 199 Odd\r\n',
  'HTTP/1.1 204 No Content\r\n',
  'HTTP/1.1 205 Reset Content\r\n',
  'HTTP/1.1 304 Not Modified\r\n',
  `HTTP/1.1 200 ${'y'.repeat(20_000)}\r\n`,
  'GET / HTTP/1.1\r\n',
  'SSH-2.0-OpenSSH_9.2\r\n',
  '',
] as const;

const ODD_SIZES = [
  '',
  '-1',
  '+5',
  '0x5',
  ' 5',
  '5 ',
  '5\t',
  '5;',
  '5 ;a',
  '5; a',
  '5;a ',
  '5;a=',
  '5;a="b',
  '5;a="b c"',
  '5;a="b\\"c"',
  '5;a=b\0',
  '5;a="\n"',
  '5;\x80',
  '5_',
  '5.',
  '5,5',
  'g',
  '00',
  '00000000000000005',
  'ffffffff',
  '100000005',
  'fffffffffffffff',
  'ffffffffffffffff',
  '10000000000000005',
  '5\r',
  `5;${'a'.repeat(20_000)}`,
] as const;

const NEW_LINES = ['\n', '\r', '\r\r\n', '\n\r', '\r\n\r\n', '\r\n ', '\r\n\t', ' \r\n', '\0\r\n', ''] as const;

const ODD_ENDS = [
  '\r\n',
  '\n',
  'x',
  '0\r\n\r\n',
  'HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison',
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n',
] as const;

/** One way to make something else of an answer; the text has one character for each byte. */
type Mutation = (text: string, random: Seeded) => string;

const MUTATIONS: readonly [Mutation, ...Mutation[]] = [
  // A bit, a byte.
  (text, random) => {
    const at = random.below(text.length);
    return splice(text, at, 1, String.fromCharCode(text.charCodeAt(at) ^ (1 << random.below(8))));
  },
  (text, random) => splice(text, random.below(text.length), 1, random.pick(ODD_BYTES)),
  (text, random) => splice(text, random.below(text.length + 1), 0, random.pick(ODD_BYTES)),
  (text, random) => splice(text, random.below(text.length), 1, ''),
  // A run of bytes, gone or twice.
  (text, random) => splice(text, random.below(text.length), 1 + random.below(12), ''),
  (text, random) => {
    const at = random.below(text.length);
    return splice(text, at, 0, text.slice(at, at + 1 + random.below(40)));
  },
  (text, random) => text.slice(0, random.below(text.length)),
  // Line ends: one of them, or all.
  (text, random) => {
    const ends = [...text.matchAll(/\r\n/g)].map(({ index }) => index);
    const at = ends[random.below(ends.length)];
    return at === undefined ? text : splice(text, at, 2, random.pick(NEW_LINES));
  },
  (text, random) => (random.oneIn(4) ? text.replaceAll('\r\n', random.pick(['\n', '\r', '\r\r\n'])) : text),
  // Lines of the head.
  (text, random) => inHead(text, random, random.pick(ODD_LINES)),
  (text, random) => inHead(text, random, random.pick(ODD_LINES)),
  (text, random) => inHead(text, random, lineOf(text, random)),
  (text, random) => `${random.pick(ODD_STARTS)}${text.slice(text.indexOf('\r\n') + 2)}`,
  // Sizes.
  (text, random) =>
    text.replace(/(content-length: )(\d+)/i, (_all, name, size) => `${name}${oddLength(Number(size), random)}`),
  (text, random) => {
    const sizes = [...text.matchAll(/(?<=\r\n)[\da-f]{1,4}(?=;|\r\n)/gi)];
    const size = sizes[random.below(sizes.length)];
    if (size === undefined) return text;
    const changed = (Number.parseInt(size[0], 16) + random.below(5) - 2).toString(16);
    return splice(text, size.index, size[0].length, random.oneIn(3) ? changed : random.pick(ODD_SIZES));
  },
  // The trailers, and what comes after the end.
  (text, random) => text.replace(/0\r\n\r\n$/, `0\r\n${random.pick(ODD_LINES)}\r\n\r\n`),
  (text, random) => text + random.pick(ODD_ENDS),
];

/** The answer with one to three things wrong with it. */
export function mutated({ method, bytes }: WireAnswer, random: Seeded): WireAnswer {
  let text = bytes.toString('latin1');
  for (let times = random.pick([1, 1, 2, 3]); times > 0 && text !== ''; times -= 1) {
    text = random.pick(MUTATIONS)(text, random);
  }
  return { method, bytes: Buffer.from(text, 'latin1') };
}

function splice(text: string, at: number, removed: number, put: string): string {
  return text.slice(0, at) + put + text.slice(at + removed);
}

/** Puts a line somewhere into the last head. */
function inHead(text: string, random: Seeded, line: string): string {
  const ends = [...text.slice(0, text.lastIndexOf('HTTP/') + 400).matchAll(/\r\n/g)].map(({ index }) => index + 2);
  const at = ends[random.below(ends.length)] ?? 0;
  return splice(text, at, 0, `${line}\r\n`);
}

function lineOf(text: string, random: Seeded): string {
  const lines = text.split('\r\n', 12);
  return lines[random.below(lines.length)] ?? '';
}

function oddLength(length: number, random: Seeded): string {
  return random.pick([
    String(length + 1),
    String(Math.max(0, length - 1)),
    `${length}0`,
    `0${length}`,
    `+${length}`,
    `-${length}`,
    `${length} `,
    `${length}, ${length}`,
    `${length},${length + 1}`,
    `0x${length.toString(16)}`,
    `${length}.0`,
    `${length}\0`,
  ]);
}

/** Bytes as one line of text that shows all of them. */
export function shown(bytes: Uint8Array): string {
  const text = JSON.stringify(Buffer.from(bytes).toString('latin1'));
  return text.length <= 1_500 ? text : `${text.slice(0, 1_000)} … ${text.slice(-400)}`;
}
