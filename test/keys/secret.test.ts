import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { hashSecret, isWellFormedSecret, newKeyId, newSecret } from '../../src/keys/secret.js';
import { runs } from '../helpers/depth.js';

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Written apart from the source: most significant digit first, padded with zeros. */
function base62Of(value: number, length: number): string {
  let text = '';
  for (let rest = value; rest > 0; rest = Math.floor(rest / 62)) text = BASE62.charAt(rest % 62) + text;
  return text.padStart(length, '0');
}

describe('newSecret', () => {
  it('A1 makes 100,000 secrets that differ, in base62, with the right checksum', () => {
    const secrets = new Set<string>();
    const counts = new Map<string, number>();
    for (let index = 0; index < 100_000; index += 1) {
      const secret = newSecret();
      assert.match(secret, /^sk-mega-[0-9A-Za-z]{49}$/);
      assert.equal(secret.slice(-6), base62Of(crc32(Buffer.from(secret.slice(0, -6))), 6));
      assert.ok(isWellFormedSecret(secret));
      secrets.add(secret);
      // The first digit of 43 cannot be every one: 62^43 is more than 2^256.
      for (const char of secret.slice(9, -6)) counts.set(char, (counts.get(char) ?? 0) + 1);
    }
    assert.equal(secrets.size, 100_000);
    const expected = (100_000 * 42) / 62;
    const chiSquare = [...BASE62].reduce((sum, char) => sum + ((counts.get(char) ?? 0) - expected) ** 2 / expected, 0);
    // 61 degrees of freedom: above 145 once in 10^8 runs.
    assert.ok(chiSquare < 145, `chi-square ${chiSquare}`);
  });

  it('A2 matches the expression that scanners are told', () => {
    assert.match(`token = "${newSecret()}"`, /\bsk-mega-[0-9A-Za-z]{49}\b/);
  });
});

describe('isWellFormedSecret', () => {
  it('refuses every secret of ours with one character changed behind the prefix', () => {
    const secret = newSecret();
    for (let at = 'sk-mega-'.length; at < secret.length; at += 1) {
      for (let code = 0x20; code <= 0x7f; code += 1) {
        const char = String.fromCharCode(code);
        if (char === secret[at]) continue;
        assert.equal(isWellFormedSecret(secret.slice(0, at) + char + secret.slice(at + 1)), false, `${char} at ${at}`);
      }
    }
  });

  it('refuses secrets of ours cut, lengthened, or with two characters swapped', () => {
    const secret = newSecret();
    for (let length = 'sk-mega-'.length; length < secret.length; length += 1) {
      assert.equal(isWellFormedSecret(secret.slice(0, length)), false);
    }
    for (const more of ['0', '\n', ' ', secret]) assert.equal(isWellFormedSecret(secret + more), false);
    for (let at = 'sk-mega-'.length; at < secret.length - 1; at += 1) {
      const swapped = secret.slice(0, at) + secret.charAt(at + 1) + secret.charAt(at) + secret.slice(at + 2);
      if (swapped !== secret) assert.equal(isWellFormedSecret(swapped), false);
    }
  });

  it('refuses nearly all guesses at secrets of ours', () => {
    const digit = fc.constantFrom(...BASE62);
    const guess = fc.string({ unit: digit, minLength: 49, maxLength: 49 });
    fc.assert(
      fc.property(guess, (digits) => !isWellFormedSecret(`sk-mega-${digits}`)),
      runs(2_000),
    );
  });

  it('takes foreign secrets of 16 to 256 printable ASCII characters without spaces', () => {
    for (const secret of [
      'a'.repeat(16),
      'z'.repeat(256),
      '!"#$%&\'()*+,-./0123456789:;<=>?@[\\]^_`{|}~',
      `SK-MEGA-${'x'.repeat(9)}`,
    ]) {
      assert.equal(isWellFormedSecret(secret), true, secret);
    }
    for (const secret of [
      '',
      'sk-1234',
      'changeme',
      'a'.repeat(15),
      'a'.repeat(257),
      `${'a'.repeat(20)}\n`,
      `a b${'c'.repeat(20)}`,
      `ä${'c'.repeat(20)}`,
      `${'c'.repeat(20)}\u0000`,
      `${'c'.repeat(20)}\u007f`,
      '😀'.repeat(20),
    ]) {
      assert.equal(isWellFormedSecret(secret), false, secret);
    }
  });
});

describe('hashSecret', () => {
  it('is SHA-256 of the whole secret in lower-case hex', () => {
    assert.equal(hashSecret('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (secret) => {
        assert.equal(hashSecret(secret), createHash('sha256').update(secret, 'utf8').digest('hex'));
      }),
    );
  });
});

describe('newKeyId', () => {
  it('makes ids that differ', () => {
    const ids = Array.from({ length: 10_000 }, newKeyId);
    assert.equal(new Set(ids).size, 10_000);
    for (const id of ids) assert.match(id, /^key_[0-9A-Za-z]{17}$/);
  });
});
