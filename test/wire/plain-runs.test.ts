import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PlainRuns } from '../../src/base/plain-runs.js';
import { COMPILED } from '../helpers/compiled.js';
import { runs } from '../helpers/depth.js';

/** Byte by byte, as it is meant. */
function endOf(bytes: Buffer, from: number): number {
  const end = bytes.subarray(from).findIndex((byte) => byte === 0x22 || byte === 0x5c || byte < 0x20);
  return end === -1 ? bytes.length : from + end;
}

// Those on both sides of each bound, and the last of all.
const EDGES = [0x00, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x5b, 0x5c, 0x5d, 0x7f, 0x80, 0x9f, 0xa2, 0xdc, 0xff];
const byte = fc.oneof(
  { weight: 30, arbitrary: fc.integer({ min: 0x61, max: 0x7a }) },
  { weight: 1, arbitrary: fc.constantFrom(...EDGES) },
);

describe('plain runs', () => {
  it('end at the first quote, backslash or control character, wherever they begin and lie in memory', () => {
    const pieces = fc.tuple(fc.array(byte, { maxLength: 200 }), fc.integer({ min: 0, max: 20 }));
    fc.assert(
      fc.property(pieces, ([content, offset]) => {
        const memory = Buffer.alloc(offset + content.length + 40, '"');
        memory.set(content, offset);
        const bytes = memory.subarray(offset, offset + content.length);
        const reader = new PlainRuns(bytes);
        for (let from = 0; from <= bytes.length; from += 1) {
          assert.equal(reader.endOf(from), endOf(bytes, from), `from ${from}`);
        }
      }),
      runs(300),
    );
  });

  it('are found across every part of long texts, and at their end', () => {
    for (const length of [65_519, 65_520, 65_521, 131_040, 131_041, 200_000]) {
      const bytes = Buffer.alloc(length, 'x');
      assert.equal(new PlainRuns(bytes).endOf(0), length);
      for (const place of [65_518, 65_519, 65_520, 65_521, length - 1].filter((at) => at < length)) {
        bytes[place] = 0x22;
        const reader = new PlainRuns(bytes);
        assert.equal(reader.endOf(1), place);
        assert.equal(reader.endOf(place + 1), length);
        // And back again.
        assert.equal(reader.endOf(0), place);
        bytes[place] = 0x78;
      }
    }
  });

  it('are those of each text, while several are read by turns', () => {
    const texts = [100, 70_000, 300, 150_000].map((length, nth) => Buffer.alloc(length, `${'y'.repeat(90 + nth)}\\`));
    const readers = texts.map((bytes) => ({ bytes, reader: new PlainRuns(bytes), at: 0 }));
    let isGoingOn = true;
    while (isGoingOn) {
      isGoingOn = false;
      for (const turn of readers.filter(({ bytes, at }) => at < bytes.length)) {
        isGoingOn = true;
        const end = turn.reader.endOf(turn.at);
        assert.equal(end, endOf(turn.bytes, turn.at));
        turn.at = end + 1;
      }
    }
  });

  it('are found in a process that has no WebAssembly, too', () => {
    const program = String.raw`
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
    const args = ['--no-expose-wasm', '--input-type=module', '-e', program];
    const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: COMPILED, encoding: 'utf8' });
    assert.equal(stdout + stderr, 'undefined true true 400 400\n');
  });
});
