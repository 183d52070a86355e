import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Http1Head } from '../../../src/upstreams/http1/answer-head.js';
import { AnswerParser } from '../../../src/upstreams/http1/answer-parser.js';

interface Seen {
  readonly head: Http1Head | undefined;
  readonly body: string;
  readonly pieces: number;
  /** How it ended: `whole`, `open` if more is to come, or the reason for which it was refused. */
  readonly end: string;
  /** Bytes that were left over after the end. */
  readonly rest: number;
}

interface Asked {
  readonly method?: string;
  /** Whether the connection ends after the bytes. */
  readonly closes?: boolean;
}

/** Reads an answer in pieces that end at those places, through one buffer that is overwritten each time, as sockets read. */
function parse(text: string, cuts: readonly number[], { method = 'POST', closes = false }: Asked = {}): Seen {
  const bytes = Buffer.from(text, 'latin1');
  const buffer = Buffer.alloc(bytes.length);
  let head: Http1Head | undefined;
  let body = '';
  let pieces = 0;
  const parser = new AnswerParser({
    onHead(given) {
      head = given;
    },
    onBody(piece) {
      assert.ok(piece.length > 0, 'no piece is empty');
      body += piece.toString('latin1');
      pieces += 1;
    },
  });
  parser.begin(method);
  const seen = (end: string, rest = 0): Seen => ({ head, body, pieces, end, rest });
  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    const size = bytes.copy(buffer, 0, from, to);
    const read = parser.read(buffer, size);
    buffer.fill(0x5a, 0, size);
    if (typeof read === 'string') return seen(read);
    if (parser.isOver) return seen('whole', bytes.length - from - read);
    assert.equal(read, size, 'all bytes are read until the end');
    from = to;
  }
  if (!closes) return seen('open');
  return seen(parser.end() ? 'whole' : 'cut');
}

/** What must be the same however the bytes are split. */
function essence({ head, body, end, rest }: Seen): unknown {
  return { status: head?.status, fields: head?.fields(), framing: head?.framing, body, end, rest };
}

/** Reads the answer whole, cut in two at every place, and byte by byte. */
function parseEveryWay(text: string, asked?: Asked): Seen {
  const whole = parse(text, [], asked);
  for (let at = 1; at < text.length; at += 1) {
    assert.deepEqual(essence(parse(text, [at], asked)), essence(whole), `cut at ${at}`);
  }
  const bytes = Array.from({ length: text.length - 1 }, (_, at) => at + 1);
  assert.deepEqual(essence(parse(text, bytes, asked)), essence(whole), 'byte by byte');
  return whole;
}

const OK = 'HTTP/1.1 200 OK\r\n';
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;

interface Good extends Asked {
  readonly text: string;
  readonly status?: number;
  readonly body: string;
}

const GOOD: Readonly<Record<string, Good>> = {
  'a length': { text: `${OK}content-length: 5\r\n\r\nhello`, body: 'hello' },
  'a length of nothing': { text: `${OK}content-length: 0\r\n\r\n`, body: '' },
  'a length with blanks around and zeros before': { text: `${OK}content-length:   005 \r\n\r\nhello`, body: 'hello' },
  'no reason': { text: 'HTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx', body: 'x' },
  'no field': { text: `${OK}\r\nuntil the end`, closes: true, body: 'until the end' },
  'HTTP/1.0': { text: 'HTTP/1.0 200 OK\r\n\r\nuntil the end', closes: true, body: 'until the end' },
  'one chunk': { text: `${CHUNKED}5\r\nhello\r\n0\r\n\r\n`, body: 'hello' },
  'chunks, sizes in either case and with zeros before': {
    text: `${CHUNKED}00A\r\n0123456789\r\nb\r\nabcdefghijk\r\n1\r\n!\r\n000\r\n\r\n`,
    body: '0123456789abcdefghijk!',
  },
  'an empty body in chunks': { text: `${CHUNKED}0\r\n\r\n`, body: '' },
  'a chunk that looks like framing': { text: `${CHUNKED}7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n`, body: '\r\n0\r\n\r\n' },
  extensions: { text: `${CHUNKED}5;a;b=c\r\nhello\r\n0;last\r\n\r\n`, body: 'hello' },
  'extensions in quotes': {
    text: `${CHUNKED}5;a="b; =\t\xe9";c="";d="\\"\\\\"\r\nhello\r\n0;last="x y"\r\n\r\n`,
    body: 'hello',
  },
  'a length after a tab': { text: `${OK}content-length:\t 1\r\n\r\nx`, body: 'x' },
  'chunks after a tab': { text: `${OK}transfer-encoding: \tchunked\r\n\r\n1\r\nx\r\n0\r\n\r\n`, body: 'x' },
  trailers: { text: `${CHUNKED}5\r\nhello\r\n0\r\nx-sum: 1\r\nx-more:\r\n\r\n`, body: 'hello' },
  'heads of 1xx before': {
    text: `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${OK}content-length: 1\r\n\r\nx`,
    body: 'x',
  },
  '204 without a body': { text: 'HTTP/1.1 204 No Content\r\n\r\n', status: 204, body: '' },
  '304 with the length of what it does not send': {
    text: 'HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n',
    status: 304,
    body: '',
  },
  'HEAD with the length of what it does not send': { text: `${OK}content-length: 9\r\n\r\n`, method: 'HEAD', body: '' },
  'HEAD with chunks that it does not send': { text: CHUNKED, method: 'HEAD', body: '' },
  'every byte above ASCII in a value and a body': {
    text: `${OK}x: \x80\xff\r\ncontent-length: 2\r\n\r\n\x00\xff`,
    body: '\x00\xff',
  },
};

describe('an answer is read the same however it is split', () => {
  for (const [name, { text, body, status = 200, ...asked }] of Object.entries(GOOD)) {
    it(`with ${name}`, () => {
      const seen = parseEveryWay(text, asked);
      assert.deepEqual([seen.end, seen.head?.status, seen.body, seen.rest], ['whole', status, body, 0]);
      if (body !== '') assert.equal(seen.pieces, 1, 'one read is one piece');
    });
  }
});

const LONG = 'x'.repeat(16_384);

/** Answers that two readers could understand differently, or that have no bound. */
const BAD: Readonly<Record<string, string>> = {
  'another protocol': 'HTTP/2.0 200 OK\r\n\r\n',
  'another version': 'HTTP/1.2 200 OK\r\n\r\n',
  'a protocol in lower case': 'http/1.1 200 OK\r\n\r\n',
  'no protocol': '<html>not found</html>\r\n\r\n',
  'an empty line before': `\r\n${OK}\r\n`,
  'a blank before': ` ${OK}\r\n`,
  'two blanks before the status': 'HTTP/1.1  200 OK\r\n\r\n',
  'a status of two digits': 'HTTP/1.1 20 OK\r\n\r\n',
  'a status of four digits': 'HTTP/1.1 2000 OK\r\n\r\n',
  'a status of zero': 'HTTP/1.1 099 OK\r\n\r\n',
  'a status with letters': 'HTTP/1.1 2x0 OK\r\n\r\n',
  'a bare LF after the status': 'HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n',
  'a bare LF after a field': `${OK}a: b\ncontent-length: 0\r\n\r\n`,
  'a bare LF at the end': `${OK}content-length: 0\r\n\n`,
  'a bare CR in the reason': 'HTTP/1.1 200 O\rK\r\n\r\n',
  'a bare CR in a value': `${OK}a: b\rc\r\n\r\n`,
  'a bare CR for a line': `${OK}a: b\r\r\n\r\n`,
  'a NUL in the reason': 'HTTP/1.1 200 O\x00K\r\n\r\n',
  'a NUL in a name': `${OK}a\x00: b\r\n\r\n`,
  'a NUL in a value': `${OK}a: b\x00\r\n\r\n`,
  'a control character in a value': `${OK}a: b\x1b[0m\r\n\r\n`,
  'a DEL in a value': `${OK}a: \x7f\r\n\r\n`,
  'a blank before the colon': `${OK}content-length : 0\r\n\r\n`,
  'a tab before the colon': `${OK}content-length\t: 0\r\n\r\n`,
  'a folded value': `${OK}a: b\r\n c: d\r\n\r\n`,
  'a folded value by a tab': `${OK}a: b\r\n\tc\r\n\r\n`,
  'a field without a name': `${OK}: b\r\n\r\n`,
  'a field without a colon': `${OK}content-length\r\n\r\n`,
  'a name beyond ASCII': `${OK}\xe9: b\r\n\r\n`,
  'a name in quotes': `${OK}"a": b\r\n\r\n`,
  'two lengths': `${OK}content-length: 1\r\ncontent-length: 2\r\n\r\nx`,
  'two lengths that agree': `${OK}content-length: 1\r\nContent-Length: 1\r\n\r\nx`,
  'a list of lengths that agree': `${OK}content-length: 1, 1\r\n\r\nx`,
  'an empty length': `${OK}content-length:\r\n\r\n`,
  'a negative length': `${OK}content-length: -1\r\n\r\n`,
  'a length with a sign': `${OK}content-length: +1\r\n\r\nx`,
  'a length in hexadecimal': `${OK}content-length: 0x1\r\n\r\nx`,
  'a length with a fraction': `${OK}content-length: 1.0\r\n\r\nx`,
  'a length beyond all numbers': `${OK}content-length: 18446744073709551617\r\n\r\nx`,
  'a length before a tab': `${OK}content-length: 1\t\r\n\r\nx`,
  'a length and chunks': `${OK}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
  'chunks and a length': `${OK}transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n0\r\n\r\n`,
  'another transfer coding': `${OK}transfer-encoding: gzip\r\n\r\n`,
  'another transfer coding before chunks': `${OK}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
  'another transfer coding after chunks': `${OK}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
  'chunks twice': `${OK}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
  'chunks with a tab': `${OK}transfer-encoding: chunked\t\r\n\r\n0\r\n\r\n`,
  'an empty transfer coding': `${OK}transfer-encoding:\r\n\r\n`,
  'chunks in HTTP/1.0': 'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
  'no chunk size': `${CHUNKED}\r\nhello\r\n0\r\n\r\n`,
  'a chunk size that is none': `${CHUNKED}5g\r\nhello\r\n0\r\n\r\n`,
  'a chunk size with a sign': `${CHUNKED}+5\r\nhello\r\n0\r\n\r\n`,
  'a chunk size with a prefix': `${CHUNKED}0x5\r\nhello\r\n0\r\n\r\n`,
  'a blank before a chunk size': `${CHUNKED} 5\r\nhello\r\n0\r\n\r\n`,
  'a blank after a chunk size': `${CHUNKED}5 \r\nhello\r\n0\r\n\r\n`,
  'a chunk size beyond all numbers': `${CHUNKED}fffffffffffffffff\r\nhello\r\n0\r\n\r\n`,
  'a bare LF after a chunk size': `${CHUNKED}5\nhello\r\n0\r\n\r\n`,
  'a bare CR after a chunk size': `${CHUNKED}5\r hello\r\n0\r\n\r\n`,
  'a bare LF after a chunk': `${CHUNKED}5\r\nhello\n0\r\n\r\n`,
  'a chunk that is longer than its size': `${CHUNKED}4\r\nhello\r\n0\r\n\r\n`,
  'an extension without a name': `${CHUNKED}5;\r\nhello\r\n0\r\n\r\n`,
  'an extension without a value': `${CHUNKED}5;a=\r\nhello\r\n0\r\n\r\n`,
  'an extension with two values': `${CHUNKED}5;a=b=c\r\nhello\r\n0\r\n\r\n`,
  'the name of an extension in quotes': `${CHUNKED}5;"a"\r\nhello\r\n0\r\n\r\n`,
  'quotes within the value of an extension': `${CHUNKED}5;a=b"c"\r\nhello\r\n0\r\n\r\n`,
  'more behind the quotes of an extension': `${CHUNKED}5;a="b"c\r\nhello\r\n0\r\n\r\n`,
  'quotes of an extension that do not end': `${CHUNKED}5;a="b\r\nhello\r\n0\r\n\r\n`,
  'an escaped end of quotes': `${CHUNKED}5;a="b\\"\r\nhello\r\n0\r\n\r\n`,
  'an escaped end of the line': `${CHUNKED}5;a="b\\\r\n"\r\nhello\r\n0\r\n\r\n`,
  'quotes with a bare LF': `${CHUNKED}5;a="b\nc"\r\nhello\r\n0\r\n\r\n`,
  'quotes with a NUL': `${CHUNKED}5;a="b\0c"\r\nhello\r\n0\r\n\r\n`,
  'endless quotes': `${CHUNKED}5;a="${'b'.repeat(300)}"\r\nhello\r\n0\r\n\r\n`,
  'an extension with a bare LF': `${CHUNKED}5;a\nhello\r\n0\r\n\r\n`,
  'an endless extension': `${CHUNKED}5;${'a'.repeat(300)}\r\nhello\r\n0\r\n\r\n`,
  'a bare LF at the end of chunks': `${CHUNKED}0\r\n\n`,
  'a trailer that is no field': `${CHUNKED}0\r\nhello\r\n\r\n`,
  'a trailer with a NUL': `${CHUNKED}0\r\na: \x00\r\n\r\n`,
  'a trailer with a bare LF': `${CHUNKED}0\r\na: b\nc: d\r\n\r\n`,
  'a trailer with a length': `${CHUNKED}0\r\ncontent-length: 5\r\n\r\n`,
  'a trailer with a transfer coding': `${CHUNKED}0\r\ntransfer-encoding: chunked\r\n\r\n`,
  'an oversized head': `${OK}a: ${LONG}\r\n\r\n`,
  'a head without an end': `${OK}a: ${LONG}`,
  'heads of 1xx without an end': `HTTP/1.1 100 Continue\r\n\r\n`.repeat(700),
  'oversized trailers': `${CHUNKED}0\r\na: ${LONG}\r\n\r\n`,
  'an interim answer that closes': `HTTP/1.1 100 Continue\r\nconnection: close\r\n\r\n${OK}content-length: 0\r\n\r\n`,
  'another protocol to change to': 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
};

describe('an answer that two readers could understand differently is refused however it is split', () => {
  for (const [name, text] of Object.entries(BAD)) {
    it(`with ${name}`, () => {
      const cuts = text.length > 5_000 ? [1, 20, 4_000] : Array.from({ length: text.length - 1 }, (_, at) => at + 1);
      const bytewise = Array.from({ length: text.length - 1 }, (_, at) => at + 1);
      for (const at of [[], ...cuts.map((cut) => [cut]), bytewise]) {
        const { end } = parse(text, at);
        assert.ok(end !== 'whole' && end !== 'open', `${end}, cut at ${at.length === 1 ? at : at.length}`);
      }
    });
  }
});

describe('an answer that breaks off is not whole', () => {
  for (const text of [`${OK}content-length: 5\r\n\r\nhello`, `${CHUNKED}5\r\nhello\r\n0\r\nx: y\r\n\r\n`]) {
    it(JSON.stringify(text.slice(15, 40)), () => {
      for (let length = 0; length < text.length; length += 1) {
        assert.equal(parse(text.slice(0, length), [], { closes: true }).end, 'cut', `after ${length} bytes`);
      }
    });
  }
});

describe('bytes after the end of an answer', () => {
  for (const text of [
    `${OK}content-length: 5\r\n\r\nhello`,
    `${CHUNKED}5\r\nhello\r\n0\r\n\r\n`,
    'HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n',
  ]) {
    it(`are no part of it: ${JSON.stringify(text.slice(9, 40))}`, () => {
      const { end, rest } = parse(`${text}HTTP/1.1 200 OK\r\n\r\n`, []);
      assert.deepEqual([end, rest], ['whole', 19]);
    });
  }
});

describe('the head of an answer', () => {
  const { head } = parse(`${OK}X-A: 1\r\nx-b:\t 2 \t\r\nx-a: 3\r\nx-empty:\r\ncontent-length: 0\r\n\r\n`, []);

  it('gives the first value of a name, without the blanks around it', () => {
    assert.deepEqual(
      ['x-a', 'x-b', 'x-empty', 'x', 'x-', 'content-length', 'k'].map((name) => head?.get(name)),
      ['1', '2', '', undefined, undefined, '0', undefined],
    );
  });

  it('gives all fields, those that are there twice as well', () => {
    assert.deepEqual(head?.fields(), ['x-a', '1', 'x-b', '2', 'x-a', '3', 'x-empty', '', 'content-length', '0']);
  });

  for (const [fields, closes, keepAliveMs] of [
    ['connection: Close\r\n', true, undefined],
    ['connection: x, close\r\n', true, undefined],
    ['proxy-connection: close\r\n', true, undefined],
    ['connection: keep-alive\r\nkeep-alive: timeout=5, max=100\r\n', false, 5_000],
    ['keep-alive: max=100\r\n', false, undefined],
    ['', false, undefined],
  ] as const) {
    it(`tells how long the connection lives: ${JSON.stringify(fields)}`, () => {
      const framing = parse(`${OK}${fields}content-length: 0\r\n\r\n`, []).head?.framing;
      assert.deepEqual([framing?.closes, framing?.keepAliveMs], [closes, keepAliveMs]);
    });
  }
});

it('the next answer is read as the first was', () => {
  const bodies: string[] = [];
  const parser = new AnswerParser({ onHead() {}, onBody: (piece) => void bodies.push(piece.toString()) });
  for (const text of [GOOD.trailers?.text, GOOD['a length']?.text, GOOD.trailers?.text]) {
    const bytes = Buffer.from(text ?? '');
    parser.begin('GET');
    for (const byte of bytes) assert.equal(parser.read(Buffer.from([byte]), 1), 1);
    assert.equal(parser.isOver, true);
  }
  assert.equal(bodies.join(''), 'hellohellohello');
});
