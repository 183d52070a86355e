// A process that makes calls over `http()` as its arguments say, and does nothing to end itself.
import { http } from 'megallm-middleware';
import { CALL } from './scene.js';
import { callWith } from './upstream-call.js';

const [, , baseUrl = '', ...ways] = process.argv;
const upstream = http({ baseUrl, headersTimeoutMs: ways.includes('late') ? 50 : undefined });
for (const way of ways) {
  const leaving = new AbortController();
  const call = upstream.send(callWith({ ...CALL, way, stream: way !== 'whole' }, { signal: leaving.signal }));
  if (way === 'leave') setTimeout(() => leaving.abort(new Error('gone')), 20);
  const reply = await call.catch((error: Error) => error.message);
  if (typeof reply === 'string' || reply.kind !== 'bytes') continue;
  const reading = reply.body[Symbol.asyncIterator]();
  if (way === 'half') await reading.next().then(() => reading.return?.());
  else if (way !== 'unread') for (let step = await reading.next(); step.done !== true; ) step = await reading.next();
}
console.log('done');
