import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { DEPTH } from '../helpers/depth.js';
import { SECRET, SMALL_SECRET, UNKNOWN_SECRET } from '../helpers/gateway-options.js';
import { express5Root } from '../helpers/hosts/express.js';
import { koaRoot } from '../helpers/hosts/koa.js';
import { BARE_HOST, type HostKind } from '../helpers/hosts.js';
import { CALL, MODEL, onBareHost, withScene } from '../helpers/scene.js';

const run = promisify(execFile);
const MB = 1_000_000;
/** Set up by the suite of OpenAI's library for Python. */
const PYTHON = 'test/sdks/python/.venv/bin/python';
const FOLDER = 'test/helpers/refused';
const IS_DEEP = DEPTH >= 10;

/** How each language's own client is run; compilers and machines are there where the suites of the SDKs run. */
const CLIENTS: Readonly<Record<string, readonly string[]>> = {
  'Python’s http.client': ['python3', `${FOLDER}/client.py`],
  ...(IS_DEEP
    ? {
        'Go’s net/http': ['go', 'run', `${FOLDER}/client.go`],
        'Java’s HttpClient': ['java', `${FOLDER}/Client.java`],
      }
    : {}),
};
const KINDS: readonly HostKind[] = IS_DEEP ? [BARE_HOST, express5Root, koaRoot] : [BARE_HOST];
const SIZES = IS_DEEP ? [1, 5, 20, 60] : [5];

/** A body of any size: what stands before and after its filling. */
interface Form {
  readonly path: string;
  readonly type: string;
  readonly head: string;
  readonly tail: string;
}

const UPLOAD: Form = {
  path: '/files',
  type: 'multipart/form-data; boundary=b',
  head: '--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n',
  tail: '\r\n--b--\r\n',
};
const CHAT: Form = {
  path: '/chat/completions',
  type: 'application/json',
  head: `{"model":"${MODEL}","messages":[{"role":"user","content":"`,
  tail: '"}]}',
};
/** Largest body in which a chat is looked at before its limits: what is larger is a 413 in any case. */
const CHAT_MB = 5;

const REFUSALS = [
  ['an upload', UPLOAD, UNKNOWN_SECRET, '401 - error', 'narrow'],
  ['a chat', CHAT, UNKNOWN_SECRET, '401 - error', 'narrow'],
  ['an upload', UPLOAD, SECRET, '413 - error', 'narrow'],
  ['a chat', CHAT, SECRET, '413 - error', 'narrow'],
  ['an upload', UPLOAD, SMALL_SECRET, '429 # error', 'wide'],
  ['a chat', CHAT, SMALL_SECRET, '429 # error', 'wide'],
] as const;

const BOUNDS = { narrow: { maxBodyBytes: 1_000, maxUploadBytes: 1_000 }, wide: {} } as const;

/** Words that a client was told, without the number of seconds. */
const hiding = (line: string): string => line.trim().replace(/ \d+ /, ' # ');

describe('a large body that is refused: every client sees why, and when to come back', () => {
  for (const kind of KINDS) {
    it(`in ${kind.name}`, { timeout: 300_000 }, async (context) => {
      for (const bounds of ['narrow', 'wide'] as const) {
        await withScene(
          kind,
          { small: { requestsPerMinute: 1 }, ...BOUNDS[bounds] },
          async ({ host: { baseUrl }, client }) => {
            if (bounds === 'wide') await client({ apiKey: SMALL_SECRET }).chat.completions.create(CALL);
            const asked = SIZES.flatMap((size) =>
              REFUSALS.filter(
                ([, form, , , where]) => where === bounds && (where === 'narrow' || form !== CHAT || size <= CHAT_MB),
              ).map(([what, form, secret, told]) => ({ what: `${what} of ${size} MB`, size, form, secret, told })),
            );
            const given = asked.flatMap(({ form: { path, type, head, tail }, secret, size }) => [
              ...[baseUrl + path, secret, type, String(size * MB), head, tail],
            ]);
            for (const [name, [command = '', ...args]] of Object.entries(CLIENTS)) {
              const { stdout } = await run(command, [...args, ...given]);
              const lines = stdout.trim().split('\n').map(hiding);
              for (const [at, { what, told }] of asked.entries()) {
                context.diagnostic(`${kind.name} | ${name} | ${what} | ${lines[at]}`);
                assert.equal(lines[at], told, `${name}, ${what}`);
              }
              assert.equal(lines.length, asked.length);
            }
          },
        );
      }
    });
  }
});

if (existsSync(PYTHON)) {
  onBareHost(
    'a large body that is refused: OpenAI’s library for Python sees why, and when to come back',
    () => ({ small: { requestsPerMinute: 1 }, maxBodyBytes: 1_000 }),
    async ({ host, client }) => {
      await client({ apiKey: SMALL_SECRET }).chat.completions.create(CALL);
      for (const size of SIZES) {
        for (const [kind, secret, told] of [
          ['files', UNKNOWN_SECRET, '401 - error'],
          ['chat', UNKNOWN_SECRET, '401 - error'],
          ['chat', SECRET, '413 - error'],
          ['files', SMALL_SECRET, '429 # error'],
        ] as const) {
          const { stdout } = await run(PYTHON, [
            `${FOLDER}/openai_client.py`,
            host.baseUrl,
            secret,
            kind,
            String(size * MB),
          ]);
          assert.equal(hiding(stdout), told, `${size} MB by ${kind}`);
        }
      }
    },
  );
}
