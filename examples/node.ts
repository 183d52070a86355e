// Plain node:http, with the application's own user mapped to a key: no second account system.
import { createServer } from 'node:http';
import { readEnvironment } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';

const llm = megallm({
  identify: ({ headers }) => (headers['x-user'] === 'ann' ? { id: 'ann', owner: 'ann', tier: 'pro' } : undefined),
});

const server = createServer((req, res) => llm(req, res, () => res.end('The application as it was.')));
server.listen(readEnvironment().port, () => {
  console.log('Listening at', server.address());
});
