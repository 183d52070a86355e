import { hash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** What every secret of ours begins with, so that scanners and people recognise it. */
const PREFIX = 'sk-mega-';
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const SECRET_BYTES = 32;
/** 62^43 > 2^256: every value has a place, so that none need be drawn again. */
const SECRET_CHARS = 43;
/** 62^6 > 2^32. */
const CHECKSUM_CHARS = 6;

const OURS = new RegExp(`^${PREFIX}[0-9A-Za-z]{${SECRET_CHARS + CHECKSUM_CHARS}}$`);
const FOREIGN = /^[\x21-\x7e]{16,256}$/;

/** A new secret: `sk-mega-`, 256 random bits as 43 base62 characters, and 6 more that are the CRC32 of all before. */
export function newSecret(): string {
  const body = PREFIX + base62(bigIntOf(randomBytes(SECRET_BYTES)), SECRET_CHARS);
  return body + checksum(body);
}

/** A new key id: `key_` and 96 random bits. Not secret. */
export function newKeyId(): string {
  return `key_${base62(bigIntOf(randomBytes(12)), 17)}`;
}

/**
 * What key stores know a secret by: its SHA-256 in lower-case hex. Right for random secrets, which nobody can search
 * for; wrong for passwords.
 */
export function hashSecret(secret: string): string {
  return hash('sha256', secret, 'hex');
}

/**
 * Whether a text could be a secret at all, so that guesses and typing errors never reach the key store: one of ours with
 * the right checksum, or a foreign one of 16 to 256 printable ASCII characters without spaces.
 */
export function isWellFormedSecret(secret: string): boolean {
  if (!secret.startsWith(PREFIX)) return FOREIGN.test(secret);
  return OURS.test(secret) && checksum(secret.slice(0, -CHECKSUM_CHARS)) === secret.slice(-CHECKSUM_CHARS);
}

function checksum(text: string): string {
  return base62(BigInt(crc32(text)), CHECKSUM_CHARS);
}

function bigIntOf(bytes: Buffer): bigint {
  return BigInt(`0x${bytes.toString('hex')}`);
}

function base62(value: bigint, chars: number): string {
  let text = '';
  for (let rest = value; text.length < chars; rest /= 62n) text = BASE62.charAt(Number(rest % 62n)) + text;
  return text;
}
