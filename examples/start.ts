// A gateway on its own: `npm start`. Inside an application it is one line: see express.ts.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { resolve } from 'node:path';
import express from 'express';
import { keyRegistry, readEnvironment } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/express';
import { sqliteStore } from 'megallm-middleware/sqlite';

const DEVELOPMENT_KEY = 'development';

const environment = environmentOrEnd();
const file = resolve(environment.databaseFile);
const store = await sqliteStore({ file });
const { usage, limiter, objects, idempotency } = store;
const keys = keyRegistry(store.keys);
const [given] = environment.keys;
const isOwn = given === undefined && !environment.production;

const llm = megallm({ usage, limiter, objects, idempotency, ...(isOwn ? { keys } : {}) });
const app = express();
app.use(llm);

const server = createServer(app);
server.on('listening', async () => {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : environment.port;
  printNextSteps(`http://localhost:${port}/v1`, await secretToShow());
});
server.on('error', (error) => {
  console.error(`The server cannot start: ${error.message}. Set PORT to another port.`);
  process.exitCode = 1;
  void store.close();
});
server.keepAliveTimeout = 65_000;
server.listen(environment.port);

/** Ends with one line where a variable cannot be right: nobody needs a stack trace for that. */
function environmentOrEnd(): ReturnType<typeof readEnvironment> {
  try {
    return readEnvironment();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}

/** A terminal signals the server, and `npm` passes the signal on: what follows so soon is the same wish. */
const ECHO_MS = 1_000;
let stoppedAt: number | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    const now = performance.now();
    if (stoppedAt === undefined) void stop();
    else if (now - stoppedAt > ECHO_MS) process.exit(1);
    stoppedAt ??= now;
  });
}

/** Lets running calls end, for half a minute at most, and keeps what they used. Asked twice, the server ends at once. */
async function stop(): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  await llm.gateway.close({ graceMs: 30_000 });
  // The last answers may still be on their way out, and connections that are kept alive end with nobody's help.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  setTimeout(() => server.closeAllConnections(), 5_000).unref();
  await closed;
  clearInterval(sweep);
  await store.close();
}

/** The secret of a key that was made here; those of `MEGALLM_KEYS` are known, and what is printed stands in logs. */
async function secretToShow(): Promise<string | undefined> {
  return isOwn ? makeDevelopmentKey() : undefined;
}

/** @returns its secret at the first start with this file: of later starts only the hash is known. */
async function makeDevelopmentKey(): Promise<string | undefined> {
  if ((await keys.get(DEVELOPMENT_KEY)) !== undefined) return undefined;
  try {
    const { secret } = await keys.create({ id: DEVELOPMENT_KEY }, { by: 'npm start' });
    return secret;
  } catch (error) {
    // Another process has made it in the meantime.
    if ((await keys.get(DEVELOPMENT_KEY)) !== undefined) return undefined;
    throw error;
  }
}

/** Where to get a key of which the secret is not known. */
const noSecret = isOwn
  ? `the one of the first start, which alone showed it; a new file, or MEGALLM_KEYS="secret[:tier[:id]],…", makes another`
  : given === undefined
    ? 'none: set MEGALLM_KEYS="secret[:tier[:id]],…"'
    : 'one of MEGALLM_KEYS';

function printNextSteps(baseUrl: string, secret: string | undefined): void {
  const key = secret ?? 'YOUR_KEY';
  const nobody = environment.production ? 'nobody: set OPENAI_API_KEY' : 'the built-in demo (no account needed)';
  const upstream = environment.openaiApiKey === undefined ? nobody : 'OpenAI';
  console.log(`megallm is listening.

  Base URL   ${baseUrl}
  API key    ${secret ?? noSecret}
  Answers    ${upstream}
  Database   ${file}

Paste one of these into another shell.

curl:

curl ${baseUrl}/chat/completions -H ${inShell(`Authorization: Bearer ${key}`)} -H 'Content-Type: application/json' -d '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Say hello"}]}'

Python (pip install openai):

python3 - <<'EOF'
from openai import OpenAI
client = OpenAI(base_url="${baseUrl}", api_key=${JSON.stringify(key)})
messages = [{"role": "user", "content": "Say hello"}]
answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
print(answer.choices[0].message.content)
EOF

Node (npm install openai):

node --input-type=module <<'EOF'
import OpenAI from 'openai';
const client = new OpenAI({ baseURL: '${baseUrl}', apiKey: ${JSON.stringify(key)} });
const messages = [{ role: 'user', content: 'Say hello' }];
const answer = await client.chat.completions.create({ model: 'gpt-4o-mini', messages });
console.log(answer.choices[0].message.content);
EOF
`);
}

function inShell(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
