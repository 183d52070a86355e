// A process whose usage store fails for a while after its server is gone: nothing but `close()` keeps it alive.
import { createServer } from 'node:http';
import { memoryKeys, memoryUsage, type UsageStore } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';

const SECRET = 'test-secret-0123456789';
let isUp = false;
let taken = 0;
const usage: UsageStore = {
  open: memoryUsage().open,
  async settle() {
    if (!isUp) throw new Error('The store is away');
    taken += 1;
  },
};
const handle = megallm({
  usage,
  keys: memoryKeys([{ secret: SECRET, id: 'k' }]),
  hooks: { onError: () => {} },
  environment: { NODE_ENV: 'test' },
});
const server = createServer(handle).listen(0, '127.0.0.1', async () => {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json', connection: 'close' },
    body: '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}',
  });
  await response.text();
  server.close();
  server.closeAllConnections();
  setTimeout(() => {
    isUp = true;
  }, 900).unref();
  await handle.gateway.close();
  console.log(`taken ${taken}`);
});
