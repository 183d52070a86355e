import { hash } from 'node:crypto';
import { isRecord, refuseOthers } from '../base/checks.js';
import type { Environment } from './environment.js';

/** How administrators of the host are known. */
export interface AdminOptions {
  /** At least 32 characters that nobody can guess, such as `openssl rand -hex 32` prints. Opens the admin routes and nothing else. */
  readonly secret: string;
}

const EXPECTED = 'to be a random text of at least 32 printable characters, such as `openssl rand -hex 32` prints';
const WELL_FORMED = /^[\x21-\x7e]{32,256}$/;
/** Texts that stand in examples and are forgotten there. */
const PLACEHOLDER =
  /change.?me|replace.?me|placeholder|your.?\w{0,20}.?(?:secret|key|token)|example|default|password|sk-1234/i;
const SEQUENCE = /0123456789|1234567890|abcdefghij/i;
/** A short text again and again. */
const REPETITION = /^(.{1,16}?)\1+.{0,15}$/;
const LEAST_CHARACTERS = 8;

/**
 * The SHA-256 of the admin's secret; `undefined`: there is none, and no admin route.
 * @throws {TypeError} for a secret that can be guessed, or that is a key too. It is not repeated.
 */
export function checkedAdmin(
  admin: AdminOptions | undefined,
  { adminSecret, keys }: Pick<Environment, 'adminSecret' | 'keys'>,
): Buffer | undefined {
  if (admin === undefined && adminSecret === undefined) return undefined;
  if (isRecord(admin)) refuseOthers('admin', admin, { secret: true });
  const secretHash =
    admin === undefined ? hashed('MEGALLM_ADMIN_SECRET', adminSecret) : hashed('admin.secret', admin?.secret);
  if (keys.some(({ secret }) => hash('sha256', secret, 'buffer').equals(secretHash))) {
    throw new TypeError('Expected the admin secret to be none of MEGALLM_KEYS');
  }
  return secretHash;
}

function hashed(name: string, secret: unknown): Buffer {
  if (typeof secret !== 'string' || !WELL_FORMED.test(secret) || isPlaceholder(secret)) {
    throw new TypeError(`Expected \`${name}\` ${EXPECTED}; what is given can be guessed`);
  }
  return hash('sha256', secret, 'buffer');
}

function isPlaceholder(secret: string): boolean {
  const isPattern = [PLACEHOLDER, SEQUENCE, REPETITION].some((pattern) => pattern.test(secret));
  return isPattern || new Set(secret).size < LEAST_CHARACTERS;
}
