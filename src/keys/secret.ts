import { hash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { ApiKey } from './key-store.js';

/** Fields of a new key. @see ApiKey */
export type NewKeyFields = Omit<ApiKey, 'id'> & {
  /** @default `key_` and 17 random characters */
  readonly id?: string | undefined;
};

/** A key that was just made. */
export interface CreatedKey {
  /** For the user, to be shown once: it cannot be had again. */
  readonly secret: string;
  /** For the key store: lower-case hex SHA-256 of `secret`. */
  readonly hash: string;
  /** For the key store, under `hash`. */
  readonly key: ApiKey;
}

/** Beginning of every secret of ours, by which scanners and people recognise it. */
const PREFIX = 'sk-mega-';
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const SECRET_BYTES = 32;
/** 62^43 > 2^256: every value has a place, and none need be drawn again. */
const SECRET_CHARS = 43;
/** 62^6 > 2^32. */
const CHECKSUM_CHARS = 6;

const OURS = new RegExp(`^${PREFIX}[0-9A-Za-z]{${SECRET_CHARS + CHECKSUM_CHARS}}$`);
const FOREIGN = /^[\x21-\x7e]{16,256}$/;

/** A new secret: `sk-mega-`, 256 random bits as 43 base62 characters, and 6 more that are the CRC32 of all before. */
export function newSecret(): string {
  const body = PREFIX + base62(bigIntOf(randomBytes(SECRET_BYTES)), SECRET_CHARS);
  return body + base62(BigInt(crc32(body)), CHECKSUM_CHARS);
}

/** A new key id: `key_` and 96 random bits. Not secret. */
export function newKeyId(): string {
  return `key_${base62(bigIntOf(randomBytes(12)), 17)}`;
}

/**
 * Makes an API key. Show `secret` to its user once and store only `hash` and `key`. SHA-256 without salt is right here,
 * as the secret is 256 random bits and cannot be guessed. For passwords it would be wrong.
 */
export function createKey(fields: NewKeyFields = {}): CreatedKey {
  const secret = newSecret();
  return { secret, hash: hashSecret(secret), key: { ...fields, id: fields.id ?? newKeyId() } };
}

/**
 * SHA-256 of a secret in lower-case hex, by which key stores know it. Right for random secrets, as they cannot be
 * guessed; wrong for passwords.
 */
export function hashSecret(secret: string): string {
  return hash('sha256', secret, 'hex');
}

/**
 * Whether a text could be a secret at all: one of ours with the right checksum, or a foreign one of 16 to 256 printable
 * ASCII characters without spaces. Guesses and typing errors thus never reach the key store.
 */
export function isWellFormedSecret(secret: string): boolean {
  if (!secret.startsWith(PREFIX)) return FOREIGN.test(secret);
  return OURS.test(secret) && crc32(secret.slice(0, -CHECKSUM_CHARS)) === checksumOf(secret);
}

/** The number in the last characters of a secret. Read as a number rather than written as a text: that takes 350 bytes. */
function checksumOf(secret: string): number {
  let value = 0;
  for (let at = secret.length - CHECKSUM_CHARS; at < secret.length; at += 1) {
    value = value * BASE62.length + BASE62.indexOf(secret.charAt(at));
  }
  return value;
}

function bigIntOf(bytes: Buffer): bigint {
  return BigInt(`0x${bytes.toString('hex')}`);
}

function base62(value: bigint, chars: number): string {
  let text = '';
  for (let rest = value; text.length < chars; rest /= 62n) text = BASE62.charAt(Number(rest % 62n)) + text;
  return text;
}
