import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

/** Texts that clients hold for us, and can neither read nor change. */
export interface Sealer {
  /** The text as base64url. @param boundTo who alone may give it back. */
  seal(text: string, boundTo: string): string;
  /** The text in it; `undefined`: it is not ours, of another secret or version, bound to somebody else, or was changed. */
  open(sealed: string, boundTo: string): string | undefined;
}

const VERSION = 1;
const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const LEAST_CHARACTERS = 32;

/**
 * Seals texts with a key derived from a secret.
 * @param secret `undefined`: a random one, which nobody else has.
 * @throws {TypeError} for a secret that is too short. It is not repeated.
 */
export function sealerOf(secret: string | undefined): Sealer {
  if (secret !== undefined && (typeof secret !== 'string' || secret.length < LEAST_CHARACTERS)) {
    throw new TypeError(`Expected \`sealingSecret\` to be a random text of at least ${LEAST_CHARACTERS} characters`);
  }
  const key = Buffer.from(hkdfSync('sha256', secret ?? randomBytes(32), '', `megallm sealed texts ${VERSION}`, 32));
  return {
    seal(text, boundTo) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(Buffer.from(boundTo));
      const sealed = [Buffer.from([VERSION]), nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()];
      return Buffer.concat(sealed).toString('base64url');
    },
    open(sealed, boundTo) {
      const bytes = Buffer.from(sealed, 'base64url');
      if (bytes[0] !== VERSION || bytes.length < 1 + NONCE_BYTES + TAG_BYTES) return undefined;
      const nonce = bytes.subarray(1, 1 + NONCE_BYTES);
      const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(Buffer.from(boundTo));
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
      try {
        const text = decipher.update(bytes.subarray(1 + NONCE_BYTES, -TAG_BYTES));
        return Buffer.concat([text, decipher.final()]).toString('utf8');
      } catch {
        return undefined;
      }
    },
  };
}
