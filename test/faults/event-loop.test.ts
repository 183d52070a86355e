import assert from 'node:assert/strict';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { it } from 'node:test';
import { ANSWER_BOUNDS, replaceMembers, scanDocument } from '../../src/base/json-document.js';
import { resolveOptions } from '../../src/config/options.js';
import { checkBatchLines } from '../../src/endpoints/forward/batches.js';
import { multipartModels, parametersOf } from '../../src/http/multipart.js';
import { SECRET } from '../helpers/gateway-options.js';
import { MODEL, onBareHost } from '../helpers/scene.js';

/** Far above what is promised, 50 and 100 ms: machines of a test are slow and busy. What was wrong took from one second to minutes. */
const MOST_MS = 1_000;

/** Longest time for which the loop stood still. */
async function stillMs(what: string, run: () => Promise<unknown>): Promise<void> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  await new Promise((resolve) => setTimeout(resolve, 20));
  delay.enable();
  await run();
  await new Promise((resolve) => setTimeout(resolve, 5));
  delay.disable();
  const longest = delay.max / 1e6;
  console.log(`${what}: the loop stood still for ${longest.toFixed(1)} ms`);
  assert.ok(longest < MOST_MS, `${what}: ${longest} ms`);
}

const chat = (content: string, more = ''): string =>
  `{"model":"${MODEL}","messages":[{"role":"user","content":"${content}"}]${more}}`;
const BODIES: [what: string, path: string, body: string, statuses: readonly number[]][] = [
  ['8 MB of lone surrogates', '/chat/completions', chat('\\ud800'.repeat(1_400_000)), [200, 400]],
  ['10 MB of escaped line feeds', '/chat/completions', chat('\\n'.repeat(4_900_000)), [200]],
  ['900,000 numbers', '/chat/completions', chat('Hi', `,"x":[${'1,'.repeat(899_999)}1]`), [400]],
  ['a million tokens to embed', '/embeddings', `{"model":"${MODEL}","input":[${'1,'.repeat(999_999)}1]}`, [400]],
  ['150,000 numbers', '/chat/completions', chat('Hi', `,"x":[${'1,'.repeat(149_999)}1]`), [200]],
  ['an enum of 400,000', '/chat/completions', chat('Hi', `,"x":{"enum":[${'"a",'.repeat(399_999)}"a"]}`), [400]],
  ['49,000 members', '/chat/completions', chat('Hi', `,"x":{${'"a":1,'.repeat(48_999)}"b":1}`), [200]],
];

onBareHost(
  'no body that is accepted blocks the loop, and none that is refused',
  () => ({}),
  async ({ host }) => {
    for (const [what, path, body, statuses] of BODIES) {
      const bytes = Buffer.from(body);
      await stillMs(what, async () => {
        const headers = { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' };
        const response = await fetch(host.baseUrl + path, { method: 'POST', headers, body: bytes });
        const text = await response.text();
        assert.ok(statuses.includes(response.status), `${what}: ${response.status} ${text.slice(0, 200)}`);
      });
    }
  },
);

it('a member is cut out of an event in linear time, whatever stands in its texts', async () => {
  for (const text of ['\\"usage\\":null,', '\\\\', ' ', ',', '\\" : ', '{']) {
    const content = text.repeat(100_000);
    const bytes = Buffer.from(`{"content":"${content}" ,\n "usage" : null , "z":1}`);
    await stillMs(JSON.stringify(text), async () => {
      const document = scanDocument(bytes, ANSWER_BOUNDS);
      assert.ok('bytes' in document);
      const cut = replaceMembers(document, {}, 'usage').toString();
      assert.deepEqual(JSON.parse(cut), { content: JSON.parse(`"${content}"`), z: 1 });
    });
  }
});

it('the only, first and last member and names with quotes are cut out with one comma', () => {
  const without = (json: string, name: string): string => {
    const document = scanDocument(Buffer.from(json), ANSWER_BOUNDS);
    assert.ok('bytes' in document);
    return replaceMembers(document, {}, name).toString();
  };
  assert.equal(without('{"a" : 1}', 'a'), '{}');
  assert.equal(without(`{"a":1${' '.repeat(100)},"b":2}`, 'a'), '{"b":2}');
  assert.equal(without('{"b":2 , "a":1 }', 'a'), '{"b":2  }');
  assert.equal(without('{"x\\"y\\\\":1,"b":2}', 'x"y\\'), '{"b":2}');
  assert.equal(without('{"\\"":"\\\\","a":[{"a":1}],"c":3}', 'a'), '{"\\"":"\\\\","c":3}');
});

it('forms of dashes whose boundary is a dash, and heads of spaces, are read in linear time', async () => {
  await stillMs('10 MB of dashes', async () => {
    const form = multipartModels('-');
    form.takePiece(Buffer.from('---\r\ncontent-disposition: form-data; name="a"\r\n\r\nx'));
    for (let piece = 0; piece < 160; piece += 1) {
      form.takePiece(Buffer.alloc(65_536, '-'));
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(form.state, 'open');
  });
  await stillMs('parameters between spaces', async () => {
    for (let part = 0; part < 1_000; part += 1)
      parametersOf(`form-data; name="a"${' '.repeat(3_900)};${' '.repeat(100)}x`);
  });
  assert.deepEqual(
    [...(parametersOf('form-data; name="a" ; b=c ;  ')?.parameters ?? [])],
    [
      ['name', 'a'],
      ['b', 'c'],
    ],
  );
  assert.equal(parametersOf('form-data; name="a";;'), undefined);
});

it("a batch's lines get their turns, however many are empty or how long one is", async () => {
  const config = resolveOptions({ keys: undefined, models: { m: {} }, hooks: { onNotice() {} } });
  const key = { id: 'k', tier: 'basic' } as const;
  async function* pieces(bytes: Buffer): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
  }
  const line = (content: string) =>
    `{"custom_id":"1","body":{"model":"m","messages":[{"role":"user","content":"${content}"}]}}\n`;
  for (const [what, text] of [
    ['line feeds', '\n'.repeat(16_000_000)],
    ['lines of spaces', ' \r\n'.repeat(5_000_000)],
    ['a line of 9.9 MB', line('a\\"'.repeat(3_300_000))],
    ['lines', line('Hi').repeat(20_000)],
  ] as const) {
    const bytes = Buffer.from(text);
    await stillMs(`16 MB: ${what}`, () => checkBatchLines(pieces(bytes), { config, key }));
  }
  const tooMany = Buffer.from(line('Hi').repeat(50_001));
  await assert.rejects(checkBatchLines(pieces(tooMany), { config, key }), /at most 50000 requests/);
  const second = Buffer.from(`\n \n${line('Hi')}\n[]\n`);
  await assert.rejects(checkBatchLines(pieces(second), { config, key }), /Line 5 /);
});
