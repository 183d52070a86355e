import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { DEPTH } from '../helpers/depth.js';
import { SECRET, SMALL_SECRET, UNKNOWN_SECRET } from '../helpers/gateway-options.js';
import { CALL, onBareHost } from '../helpers/scene.js';

const run = promisify(execFile);
const MB = 1_000_000;
const FORM = 'multipart/form-data; boundary=b';
const JSON_TYPE = 'application/json';
/** Set up by the suite of OpenAI's library for Python. */
const PYTHON = 'test/sdks/python/.venv/bin/python';
const FOLDER = 'test/helpers/refused';

/** How each language's own client is run; compilers and machines are there where the suites of the SDKs run. */
const CLIENTS: Readonly<Record<string, readonly string[]>> =
  DEPTH < 10
    ? { 'Python’s http.client': ['python3', `${FOLDER}/client.py`] }
    : {
        'Python’s http.client': ['python3', `${FOLDER}/client.py`],
        'Go’s net/http': ['go', 'run', `${FOLDER}/client.go`],
        'Java’s HttpClient': ['java', `${FOLDER}/Client.java`],
      };
const SIZES = DEPTH < 10 ? [5] : [1, 5, 20, 60];

const REFUSALS = [
  ['/files', FORM, UNKNOWN_SECRET, '401 - error'],
  ['/chat/completions', JSON_TYPE, UNKNOWN_SECRET, '401 - error'],
  ['/chat/completions', JSON_TYPE, SECRET, '413 - error'],
  ['/files', FORM, SMALL_SECRET, '429 # error'],
  ['/audio/transcriptions', FORM, SMALL_SECRET, '429 # error'],
] as const;

const hiding = (line: string): string => line.trim().replace(/ \d+ /, ' # ');

for (const [name, [command = '', ...args]] of Object.entries(CLIENTS)) {
  onBareHost(
    `a large body that is refused: ${name} sees why, and when to come back`,
    () => ({ small: { requestsPerMinute: 1 }, maxBodyBytes: 1_000 }),
    async ({ host, client }) => {
      await client({ apiKey: SMALL_SECRET }).chat.completions.create(CALL);
      for (const size of SIZES) {
        for (const [path, type, secret, told] of REFUSALS) {
          const given = [...args, `${host.baseUrl}${path}`, secret, type, String(size * MB)];
          const { stdout } = await run(command, given);
          assert.equal(hiding(stdout), told, `${size} MB to ${path}`);
        }
      }
    },
  );
}

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
