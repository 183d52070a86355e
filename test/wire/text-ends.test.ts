import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { JsonBytes } from '../../src/base/json-bytes.js';
import { TextEnds } from '../../src/base/text-ends.js';
import { COMPILED } from '../helpers/compiled.js';
import { runs } from '../helpers/depth.js';

const PLAIN_ESCAPES = Buffer.from('"\\/bfnrt');

/** Byte by byte, as it is meant: the places where one may stop from there on, with the plain escapes passed over. The last one is a must. */
function stops(bytes: Buffer, from: number): [place: number, escapes: number][] {
  const found: [number, number][] = [];
  for (let at = from; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte !== 0x22 && byte !== 0x5c && byte >= 0x20) continue;
    found.push([at, found.length]);
    if (byte !== 0x5c || !PLAIN_ESCAPES.includes(bytes[at + 1] ?? 0)) return found;
    at += 1;
  }
  found.push([bytes.length, found.length]);
  return found;
}

function assertStops(reader: TextEnds, bytes: Buffer, from: number): number {
  reader.escapes = 0;
  const place = reader.after(from);
  const expected = stops(bytes, from);
  assert.ok(
    expected.some(([end, escapes]) => end === place && escapes === reader.escapes),
    `from ${from} of ${bytes.toString('latin1', 0, 300)}: at ${place}, ${reader.escapes} escapes`,
  );
  return place;
}

// Those on both sides of each bound, and the last of all.
const EDGES = [0x00, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x5b, 0x5c, 0x5d, 0x7f, 0x80, 0x9f, 0xa2, 0xdc, 0xff];
const byte = fc.oneof(
  { weight: 30, arbitrary: fc.integer({ min: 0x61, max: 0x7a }) },
  { weight: 1, arbitrary: fc.constantFrom(...EDGES) },
);

describe('ends of texts', () => {
  it('are where the first quote, control character or odd escape is, wherever texts begin and lie in memory', () => {
    const pieces = fc.tuple(fc.array(byte, { maxLength: 200 }), fc.integer({ min: 0, max: 20 }));
    fc.assert(
      fc.property(pieces, ([content, offset]) => {
        const memory = Buffer.alloc(offset + content.length + 40, '"');
        memory.set(content, offset);
        const bytes = memory.subarray(offset, offset + content.length);
        const reader = new TextEnds(bytes);
        for (let from = 0; from <= bytes.length; from += 1) {
          assertStops(reader, bytes, from);
        }
      }),
      runs(300),
    );
  });

  it('are found across every part of long texts, and at their end', () => {
    for (const length of [65_519, 65_520, 65_521, 131_040, 131_041, 200_000]) {
      const bytes = Buffer.alloc(length, 'x');
      assert.equal(new TextEnds(bytes).after(0), length);
      for (const place of [65_518, 65_519, 65_520, 65_521, length - 1].filter((at) => at < length)) {
        bytes[place] = 0x22;
        const reader = new TextEnds(bytes);
        assert.equal(reader.after(1), place);
        assert.equal(reader.after(place + 1), length);
        // And back again.
        assert.equal(reader.after(0), place);
        bytes[place] = 0x78;
      }
    }
  });

  it('are not lost where an escape lies on both sides of a part', () => {
    for (let before = 65_500; before < 65_524; before += 1) {
      const text = Buffer.from(`${'z'.repeat(before)}\\"\\\\\\n\\u00e9"`);
      const json = new JsonBytes(Buffer.concat([Buffer.from('"'), text]));
      assert.ok(json.takeText());
      assert.equal(json.textSize, before + 5);
      assert.equal(json.at, json.bytes.length);
    }
  });

  it('are those of each text, while several are read by turns', () => {
    const texts = [100, 70_000, 300, 150_000].map((length, nth) =>
      Buffer.alloc(length, `${'y'.repeat(90 + nth)}\\n\\x`),
    );
    const readers = texts.map((bytes) => ({ bytes, reader: new TextEnds(bytes), at: 0 }));
    let isGoingOn = true;
    while (isGoingOn) {
      isGoingOn = false;
      for (const turn of readers.filter(({ bytes, at }) => at < bytes.length)) {
        isGoingOn = true;
        turn.at = assertStops(turn.reader, turn.bytes, turn.at) + 2;
      }
    }
  });

  it('are found in a process that has no WebAssembly, too', () => {
    const program = String.raw`
      delete globalThis.WebAssembly;
      const { createGateway, memoryKeys } = await import('megallm-middleware');
      const secret = 'sk-plain-runs-0123456789';
      const content = 'Well, \\"said\\"\\n'.repeat(1_000);
      const choices = '[{"index":0,"message":{"role":"assistant","content":"' + content + '"},"finish_reason":"stop"}]';
      const answer = '{"choices":' + choices + ',"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}';
      const upstream = { name: 'u', send: async () => ({ kind: 'whole', body: Buffer.from(answer) }) };
      const gateway = createGateway({ upstream, keys: memoryKeys([{ secret, id: 'a' }]), environment: {} });
      const ask = async (text) => {
        const body = Buffer.from('{"model":"m","messages":[{"role":"user","content":"' + text + '"}]}');
        const headers = { authorization: 'Bearer ' + secret, 'content-type': 'application/json' };
        const signal = new AbortController().signal;
        const call = { method: 'POST', url: '/v1/chat/completions', mountPath: '', headers, signal };
        const { status, body: told } = await gateway.handle({ ...call, body: { parsed: body }, native: undefined });
        return status === 200 ? String(told) === answer : status;
      };
      const text = 'all is plain, '.repeat(100);
      const texts = [text, text + '\\n', text + '\n', text + '\\x'];
      console.log(typeof WebAssembly, ...(await Promise.all(texts.map(ask))));
      process.exit();
    `;
    const args = ['--input-type=module', '-e', program];
    const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: COMPILED, encoding: 'utf8' });
    assert.equal(stdout + stderr, 'undefined true true 400 400\n');
  });
});
