import cluster from 'node:cluster';
import { isRecord, unexpected } from '../base/checks.js';
import { checkName } from '../keys/key-fields.js';
import type { ApiKey } from '../keys/key-store.js';
import { hashSecret, isWellFormedSecret } from '../keys/secret.js';

/** The settings that the environment holds. */
export interface Environment {
  /** `NODE_ENV` is `production`. */
  readonly production: boolean;
  /** `PORT`, for stand-alone servers; 0 is any free one. @default 3_000 */
  readonly port: number;
  /** `MEGALLM_KEYS`: `secret[:tier[:id]]`, separated by commas. */
  readonly keys: readonly (ApiKey & { readonly secret: string })[];
  /** `MEGALLM_DB`, where stand-alone servers keep keys, usage and limits. @default 'megallm.db' */
  readonly databaseFile: string;
  /** `MEGALLM_ADMIN_SECRET`, as it stands there. */
  readonly adminSecret: string | undefined;
  /** `OPENAI_API_KEY`. */
  readonly openaiApiKey: string | undefined;
  /** `OPENAI_BASE_URL`. @default 'https://api.openai.com/v1' */
  readonly openaiBaseUrl: string;
  /** This process is one of several workers of `node:cluster`, as in PM2's cluster mode; no variable says so. */
  readonly clusterWorker: boolean;
}

/** The variables that are read. */
const NAMES = [
  'NODE_ENV',
  'PORT',
  'MEGALLM_KEYS',
  'MEGALLM_DB',
  'MEGALLM_ADMIN_SECRET',
  'OPENAI_API_KEY',
  'OPENAI_BASE_URL',
];

/**
 * Reads the variables we know; the only place that does.
 * @throws {TypeError} for a bad port or key, never showing the key.
 */
export function readEnvironment(variables: Readonly<Record<string, string | undefined>> = process.env): Environment {
  if (!isRecord(variables)) throw unexpected('environment', 'to be an object of variables', variables);
  for (const name of NAMES) {
    const value: unknown = variables[name];
    if (value !== undefined && typeof value !== 'string') throw unexpected(name, 'to be a text', value);
  }
  return {
    production: variables.NODE_ENV === 'production',
    port: portNumber(variables.PORT),
    keys: (variables.MEGALLM_KEYS ?? '')
      .split(',')
      .map((entry) => entry.trim())
      .filter((entry) => entry !== '')
      .map(environmentKey),
    databaseFile: variables.MEGALLM_DB || 'megallm.db',
    adminSecret: variables.MEGALLM_ADMIN_SECRET,
    openaiApiKey: variables.OPENAI_API_KEY || undefined,
    openaiBaseUrl: variables.OPENAI_BASE_URL || 'https://api.openai.com/v1',
    clusterWorker: cluster.isWorker,
  };
}

function portNumber(text: string | undefined): number {
  const port = Number(text || 3_000);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw unexpected('PORT', 'to be a port number', text);
}

function environmentKey(entry: string): ApiKey & { secret: string } {
  const [secret = '', tier, id, ...more] = entry.split(':');
  if (more.length > 0) throw new TypeError('Expected `MEGALLM_KEYS` to hold `secret[:tier[:id]]`, separated by commas');
  if (!isWellFormedSecret(secret)) {
    throw new TypeError(
      `Expected each secret of \`MEGALLM_KEYS\` to be 16 to 256 printable ASCII characters, or one that createKey made, unchanged; got one of ${secret.length}`,
    );
  }
  if (id) checkName('MEGALLM_KEYS, an id', id);
  return {
    secret,
    // Named after the hash, so that usage and limits follow the key when the list is reordered.
    id: id || `env_${hashSecret(secret).slice(0, 12)}`,
    ...(tier ? { tier } : {}),
  };
}
