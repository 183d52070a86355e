import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { SECRET } from '../helpers/gateway-options.js';
import { rawChat, rawClient, rawExchange, rawRequest } from '../helpers/raw-client.js';
import { CALL, onBareHost } from '../helpers/scene.js';

const TEXT = JSON.stringify(CALL);
const nested = (depth: number): string => {
  // The object itself is the first level.
  const arrays = depth - 1;
  return `{"model":"m","messages":[{"role":"user"}],"x":${'['.repeat(arrays)}${']'.repeat(arrays)}}`;
};
const withMember = (text: string): string => `{"model":"m","messages":[{"role":"user","content":"Hi"}],${text}}`;

interface Case {
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  readonly code?: string | null;
  readonly param?: string;
}

const GOOD = { status: 200 };
const INVALID_JSON = { status: 400, code: 'invalid_json' };
const TOO_DEEP = { status: 400, code: 'json_too_deep' };
const TOO_MANY = { status: 400, code: 'json_too_many_keys' };
const INVALID = { status: 400, code: 'invalid_request' };
const TOO_LARGE = { status: 413, code: 'request_too_large' };
const ENCODED = { status: 415, code: 'unsupported_content_encoding' };
const BAD_TYPE = { status: 400, code: 'unsupported_content_type' };

const CASES: Record<string, Record<string, Case>> = {
  'C1 size': {
    'one byte more than allowed': { body: TEXT.padEnd(20_001), ...TOO_LARGE },
    'exactly what is allowed': { body: TEXT.padEnd(20_000), ...GOOD },
  },
  'C3 depth': {
    '64 levels': { body: nested(64), ...GOOD },
    '65 levels': { body: nested(65), ...TOO_DEEP },
    'brackets alone': { body: '['.repeat(20_000), ...TOO_DEEP },
    'objects alone': { body: '{"a":'.repeat(3_999), ...TOO_DEEP },
    'arrays and objects in turns': { body: '[{"a":'.repeat(3_000), ...TOO_DEEP },
    'brackets inside a string': { body: withMember(`"x":"${'[{'.repeat(5_000)}"`), ...GOOD },
    'brackets after an escaped quote': { body: withMember(`"x":"\\"${'['.repeat(500)}"`), ...GOOD },
    'brackets after an escaped backslash': { body: withMember(`"x":"\\\\","y":${'['.repeat(500)}`), ...TOO_DEEP },
  },
  'C5 poisoned names': {
    'the name __proto__': { body: withMember('"__proto__":{"polluted":1}'), ...INVALID },
    '__proto__ deep inside': { body: withMember('"x":[{"y":{"__proto__":{"polluted":1}}}]'), ...INVALID },
    '__proto__ spelt with escapes': { body: withMember('"\\u005f_proto__":{"polluted":1}'), ...INVALID },
    'constructor.prototype': { body: withMember('"constructor":{"prototype":{"polluted":1}}'), ...INVALID },
    'a harmless constructor': { body: withMember('"x":{"constructor":"Ford","prototype":1}'), ...GOOD },
    '__proto__ as a value': { body: withMember('"x":"__proto__"'), ...GOOD },
  },
  'C8 members twice': {
    'max_tokens twice': { body: withMember('"max_tokens":1,"max_tokens":99999'), ...INVALID, param: 'max_tokens' },
    'twice, once with escapes': { body: withMember('"n":1,"\\u006e":2'), ...INVALID, param: 'n' },
    'model twice': { body: withMember('"model":"other"'), ...INVALID, param: 'model' },
    'twice, but not at the top': { body: withMember('"x":{"a":1,"a":2}'), ...GOOD },
    'in another case, which servers in Go take for the same': {
      body: withMember('"Model":"other"'),
      ...INVALID,
      param: 'Model',
    },
    'another name in whatever case': { body: withMember('"Modelling":"other"'), ...GOOD },
  },
  'C10 encodings': {
    gzip: { body: gzipSync(TEXT), headers: { 'content-encoding': 'gzip' }, ...ENCODED },
    br: { body: brotliCompressSync('x'.repeat(1_000_000)), headers: { 'content-encoding': 'br' }, ...ENCODED },
    deflate: { body: deflateSync(TEXT), headers: { 'content-encoding': 'deflate' }, ...ENCODED },
    'gzip twice': { body: TEXT, headers: { 'content-encoding': 'gzip, gzip' }, ...ENCODED },
    identity: { body: TEXT, headers: { 'content-encoding': 'identity' }, ...GOOD },
  },
  'C11 types and characters': {
    'text/plain': { body: TEXT, headers: { 'content-type': 'text/plain' }, ...BAD_TYPE },
    multipart: { body: TEXT, headers: { 'content-type': 'multipart/form-data; boundary=x' }, ...BAD_TYPE },
    'a form': { body: TEXT, headers: { 'content-type': 'application/x-www-form-urlencoded' }, ...BAD_TYPE },
    'another charset': { body: TEXT, headers: { 'content-type': 'application/json; charset=utf-16' }, ...BAD_TYPE },
    'charset=utf-8': { body: TEXT, headers: { 'content-type': 'application/json; charset=UTF-8' }, ...GOOD },
    'a byte order mark': { body: `\ufeff${TEXT}`, ...GOOD },
    'bytes that are no UTF-8': { body: Buffer.from(withMember('"x":"\xff"'), 'latin1'), ...INVALID_JSON },
    'an overlong encoding': { body: Buffer.from(withMember('"x":"\xc0\xaf"'), 'latin1'), ...INVALID_JSON },
    'a lone surrogate': { body: withMember('"x":"\\ud800"'), ...GOOD },
    'no body at all': { body: '', ...INVALID_JSON },
    'spaces alone': { body: '   ', ...INVALID_JSON },
    'half a body': { body: TEXT.slice(0, -1), ...INVALID_JSON },
    'something after it': { body: `${TEXT}{}`, ...INVALID_JSON },
    null: { body: 'null', ...INVALID_JSON },
    'an array': { body: '[]', ...INVALID_JSON },
    'a string': { body: '"model"', ...INVALID_JSON },
    NaN: { body: withMember('"temperature":NaN'), ...INVALID_JSON },
  },
  'C12 numbers': Object.fromEntries(
    ['n', 'max_tokens', 'max_completion_tokens'].flatMap((param) =>
      (
        [
          ['1e400', 'integer_above_max_value'],
          ['-1', 'integer_below_min_value'],
          ['0', 'integer_below_min_value'],
          ['0.5', 'invalid_type'],
          ['9007199254740993', 'integer_above_max_value'],
          ['"10"', 'invalid_type'],
          ['true', 'invalid_type'],
          ['[1]', 'invalid_type'],
          ['1', undefined],
          ['1.0', undefined],
          ['null', undefined],
        ] as const
      ).map(([value, code]): [string, Case] => [
        `${param}: ${value}`,
        { body: withMember(`"${param}":${value}`), ...(code === undefined ? GOOD : { status: 400, code, param }) },
      ]),
    ),
  ),
};

for (const [group, cases] of Object.entries(CASES)) {
  describe(`the body is answered exactly, and the process lives: ${group}`, () => {
    for (const [what, { body, headers, status, code, param }] of Object.entries(cases)) {
      onBareHost(
        what,
        () => ({ maxBodyBytes: 20_000 }),
        async ({ host, upstream }) => {
          const response = await rawExchange(host.origin, rawChat(SECRET, body, headers));
          assert.equal(response.status, status, response.body);
          assert.equal(upstream.requests.length, status === 200 ? 1 : 0);
          if (status !== 200) {
            const { error } = JSON.parse(response.body);
            assert.deepEqual([error.code, error.param], [code, param ?? null], response.body);
          } else assert.ok(isValidUtf8(upstream.requests[0]?.body ?? ''));
          assert.equal(Reflect.get({}, 'polluted'), undefined);
          assert.equal((await rawExchange(host.origin, rawChat(SECRET, CALL))).status, 200, 'the next call is served');
        },
      );
    }
  });
}

onBareHost(
  'C4 200,000 members or more values are refused, long token lists are not',
  () => ({}),
  async ({ host }) => {
    const members = Array.from({ length: 200_000 }, (_, index) => `"k${index}":1`).join();
    const refused = await rawExchange(host.origin, rawChat(SECRET, withMember(members)));
    assert.deepEqual([refused.status, JSON.parse(refused.body).error.code], [TOO_MANY.status, TOO_MANY.code]);
    for (const [count, status] of [
      [199_000, 200],
      [200_100, TOO_MANY.status],
    ]) {
      const tokens = Array.from({ length: Number(count) }, (_, index) => index).join();
      assert.equal((await rawExchange(host.origin, rawChat(SECRET, withMember(`"x":[${tokens}]`)))).status, status);
    }
  },
);

onBareHost(
  'C1 C2 an upload without end is refused early and not swallowed',
  () => ({ lingering: { idleMs: 100 } }),
  async ({ host, upstream }) => {
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65_536, 0x20), Buffer.from('\r\n')]);
    const endless: [string, Record<string, string>, number][] = [
      ['wrong-secret-0123456789', { 'transfer-encoding': 'chunked' }, 401],
      ['wrong-secret-0123456789', { 'content-length': '2000000000' }, 401],
      [SECRET, { 'content-length': '2000000000' }, 413],
      [SECRET, { 'transfer-encoding': 'chunked' }, 413],
    ];
    for (const [secret, headers, status] of endless) {
      const client = await rawClient(host.origin);
      const type = { 'content-type': 'application/json', authorization: `Bearer ${secret}` };
      const { 'content-length': _, ...none } = { 'content-length': '', ...type };
      client.send(requestHead({ ...none, ...headers }));
      let sent = 0;
      let answered = false;
      const answer = client.response().then((response) => {
        answered = true;
        return response;
      });
      while (!answered && sent < 200_000_000) {
        client.send('content-length' in headers ? chunk.subarray(7, -2) : chunk);
        sent += 65_536;
        await new Promise((resolve) => setImmediate(resolve));
      }
      const response = await answer;
      assert.equal(response.status, status);
      assert.equal(response.headers.connection, 'close');
      assert.ok(sent < 40_000_000, `${sent} bytes were taken`);
      await client.closed;
    }
    assert.equal(upstream.requests.length, 0);
  },
);

onBareHost(
  'C9 a body that trickles in is a 408',
  () => ({ bodyTimeoutMs: 200 }),
  async ({ host }) => {
    const client = await rawClient(host.origin);
    client.send(rawChat(SECRET, CALL, { 'content-length': '5000' }));
    const response = await client.response();
    assert.deepEqual([response.status, JSON.parse(response.body).error.code], [408, 'request_timeout']);
    await client.closed;
  },
);

onBareHost(
  'C11 lone surrogates reach the upstream as U+FFFD',
  () => ({}),
  async ({ host, upstream }) => {
    await rawExchange(host.origin, rawChat(SECRET, withMember('"x":"a\\ud800b","y\\udc00":["\\ud83d\\ude00"]')));
    const body = (await upstream.request(0)).json();
    assert.deepEqual([body.x, body['y\ufffd']], ['a\ufffdb', ['😀']]);
  },
);

describe('size options that cannot be right are refused at the start', () => {
  for (const maxBodyBytes of [Number.NaN, -1, 0, 1.5, Number.POSITIVE_INFINITY, '10mb', '']) {
    it(String(maxBodyBytes), async () => {
      const { createGateway } = await import('megallm-middleware');
      assert.throws(() => createGateway(JSON_OPTIONS(maxBodyBytes)), TypeError);
    });
  }
});

/** As from a host without types. */
function JSON_OPTIONS(maxBodyBytes: unknown): object {
  return { maxBodyBytes, environment: { NODE_ENV: 'test' }, hooks: { onNotice: () => {} } };
}

function requestHead(headers: Readonly<Record<string, string>>): Buffer {
  const bytes = rawRequest('POST', '/v1/chat/completions', headers).toString('latin1');
  return Buffer.from('content-length' in headers ? bytes : bytes.replace(/content-length: 0\r\n/, ''), 'latin1');
}

function isValidUtf8(text: string): boolean {
  return text.isWellFormed();
}
