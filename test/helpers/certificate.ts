import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { isIP } from 'node:net';

/** A certificate and its key, in PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

const SEQUENCE = 0x30;
const SET = 0x31;
const BOOLEAN = 0x01;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_ID = 0x06;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;

const COMMON_NAME = [0x55, 0x04, 0x03];
const ECDSA_WITH_SHA256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const SUBJECT_ALT_NAME = [0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS = [0x55, 0x1d, 0x13];

/** One value in DER (X.690): its tag, its length, and its parts. */
function der(tag: number, ...parts: readonly (Uint8Array | readonly number[] | string)[]): Buffer {
  const content = Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part))),
  );
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

/** Holder and bounds of a certificate. */
interface CertificateWishes {
  /** Host names and IPv4 addresses. @default ['localhost', '127.0.0.1'] */
  readonly names?: readonly string[];
  /** First and last moment, as UTCTime. @default 2020 to 2049 */
  readonly valid?: readonly [from: string, until: string];
}

/** A certificate authority of a test. */
interface Authority {
  readonly cert: string;
  issue(wishes?: CertificateWishes): Certificate;
}

/** Makes a certificate that a server signed for itself. */
export function selfSigned(wishes: CertificateWishes = {}): Certificate {
  const { privateKey, publicKey } = keyPair();
  const extensions = subjectNames(wishes);
  const cert = signedBy(privateKey, { issuer: 'localhost', subject: 'localhost', publicKey, extensions, ...wishes });
  return { cert, key: pemOf(privateKey) };
}

/** Makes an authority, whose certificate a client must be handed to trust what it issues. */
export function authority(issuer = 'Authority of a test'): Authority {
  const own = keyPair();
  const isAuthority = der(OCTET_STRING, der(SEQUENCE, der(BOOLEAN, [0xff])));
  const extensions = der(SEQUENCE, der(OBJECT_ID, BASIC_CONSTRAINTS), der(BOOLEAN, [0xff]), isAuthority);
  return {
    cert: signedBy(own.privateKey, { issuer, subject: issuer, publicKey: own.publicKey, extensions }),
    issue(wishes = {}) {
      const { privateKey, publicKey } = keyPair();
      const named = { issuer, subject: 'Server of a test', publicKey, extensions: subjectNames(wishes) };
      return { cert: signedBy(own.privateKey, { ...named, ...wishes }), key: pemOf(privateKey) };
    },
  };
}

function keyPair(): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function subjectNames({ names = ['localhost', '127.0.0.1'] }: CertificateWishes): Buffer {
  const encoded = names.map((name) => (isIP(name) === 4 ? der(0x87, name.split('.').map(Number)) : der(0x82, name)));
  return der(SEQUENCE, der(OBJECT_ID, SUBJECT_ALT_NAME), der(OCTET_STRING, der(SEQUENCE, ...encoded)));
}

interface Signed {
  readonly issuer: string;
  readonly subject: string;
  readonly publicKey: KeyObject;
  readonly extensions: Buffer;
  readonly valid?: CertificateWishes['valid'];
}

let serials = 0;

/** Makes a certificate (RFC 5280, 4.1). */
function signedBy(signer: KeyObject, { issuer, subject, publicKey, extensions, valid }: Signed): string {
  serials += 1;
  const [from, until] = valid ?? ['200101000000Z', '491231235959Z'];
  const algorithm = der(SEQUENCE, der(OBJECT_ID, ECDSA_WITH_SHA256));
  const signed = der(
    SEQUENCE,
    der(0xa0, der(INTEGER, [2])),
    der(INTEGER, [1, serials >> 8, serials & 0xff]),
    algorithm,
    commonName(issuer),
    der(SEQUENCE, der(UTC_TIME, from), der(UTC_TIME, until)),
    commonName(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, der(SEQUENCE, extensions)),
  );
  const certificate = der(SEQUENCE, signed, algorithm, der(BIT_STRING, [0], sign('sha256', signed, signer)));
  const lines = certificate.toString('base64').replace(/.{64}/g, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

function commonName(name: string): Buffer {
  return der(SEQUENCE, der(SET, der(SEQUENCE, der(OBJECT_ID, COMMON_NAME), der(UTF8_STRING, name))));
}
