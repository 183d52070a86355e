// Stores of the host's own: keys from a table it already has, usage appended to a file.
import { appendFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ApiKey,
  cachedKeys,
  hashSecret,
  type KeyStore,
  readEnvironment,
  type UsageStore,
} from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';

const table = new Map<string, ApiKey>([
  [hashSecret('sk-example-of-a-host-key'), { id: 'k1', owner: 'ann', tier: 'pro' }],
]);

const keys: KeyStore = { find: async (hash) => table.get(hash) };

const file = join(tmpdir(), `usage-${process.pid}.jsonl`);
const usage: UsageStore = {
  open: (start) => appendFile(file, `${JSON.stringify({ open: start })}\n`),
  settle: (record) => appendFile(file, `${JSON.stringify({ settled: record })}\n`),
};

const server = createServer(megallm({ keys: cachedKeys(keys), usage }));
server.listen(readEnvironment().port, () => {
  console.log('Listening at', server.address(), 'with usage in', file);
});
