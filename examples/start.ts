// A gateway on its own: `npm start`. Inside your application it is one line, see express.ts.
import { createServer } from 'node:http';
import express from 'express';
import { createKey, memoryKeys, readEnvironment } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/express';

const environment = readEnvironment();
const [given] = environment.keys;
const made = given === undefined && !environment.production ? createKey({ id: 'development' }) : undefined;

const llm = megallm(made === undefined ? {} : { keys: memoryKeys([{ ...made.key, hash: made.hash }]) });
const app = express();
app.use(llm);

const server = createServer(app);
server.on('listening', () => {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : environment.port;
  printNextSteps(`http://localhost:${port}/v1`, made?.secret ?? given?.secret);
});
server.on('error', (error) => {
  console.error(`The server cannot start: ${error.message}. Set PORT to another port.`);
  process.exitCode = 1;
});
server.keepAliveTimeout = 65_000;
server.listen(environment.port);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    server.close();
    void llm.gateway.close().then(() => server.closeAllConnections());
  });
}

function printNextSteps(baseUrl: string, secret: string | undefined): void {
  const key = secret ?? 'YOUR_KEY';
  const nobody = environment.production ? 'nobody: set OPENAI_API_KEY' : 'the built-in demo (no account needed)';
  const upstream = environment.openaiApiKey === undefined ? nobody : 'OpenAI';
  console.log(`megallm is listening.

  Base URL   ${baseUrl}
  API key    ${secret ?? 'none: set MEGALLM_KEYS="secret[:tier[:id]],…"'}
  Answers    ${upstream}

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
