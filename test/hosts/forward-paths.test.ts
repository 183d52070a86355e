import assert from 'node:assert/strict';
import fc from 'fast-check';
import { toFile } from 'openai';
import { runs } from '../helpers/depth.js';
import { forwardsOnBareHost, forwardsOnEveryHost, ownersKeys, SECRETS } from '../helpers/forward-scene.js';
import { objectUpstream } from '../helpers/object-upstream.js';
import { rawExchange, rawRequest } from '../helpers/raw-client.js';

const owned = () => ({ start: objectUpstream, keys: ownersKeys() });
const authorization = `Bearer ${SECRETS.bob}`;

/** What could lead from one's own object to another. */
const tricks = (own: string, other: string): string[] => [
  `/files/../files/${other}`,
  `/files/${own}/../${other}`,
  `/files/${own}/../../vector_stores`,
  `/files/${own}/content/../../${other}/content`,
  `/files/%2e%2e/files/${other}`,
  `/files/${own}%2f..%2f${other}`,
  `/files/${own}%2F%2E%2E%2F${other}`,
  `/files/${own}%252f..%252f${other}`,
  `/files/${own}/%2e%2e/${other}/content`,
  `/files/${own}\\..\\${other}`,
  `/files/${own}%5c..%5c${other}`,
  `/files/${own}%00/../${other}`,
  `/files/${own}%00`,
  `/files/${own}%0d%0aX-Injected:%20yes`,
  `/files/${own}%20HTTP/1.1`,
  `/files/${own};${other}`,
  `/files/${own},${other}`,
  `/files/${own}%23`,
  `/files/${own}%3fid=${other}`,
  `/files/${other.toUpperCase()}`,
  `/files/${other}%20`,
  `/files/.${other}`,
  `/files/${other}.`,
  `/files/${other}/`,
  `/files//${other}`,
  `//files/${other}`,
  `/files/./${other}`,
  `/files/${'a'.repeat(10_000)}`,
  `/files/${encodeURIComponent('ﬁle-00000001')}`,
  `/files/${encodeURIComponent('file-0000000１')}`,
  `/files/${other}%CC%81`,
  '/files/%ff%fe',
  '/files/%',
  '/files/__proto__',
  '/files/constructor',
  '/files/*',
  '/files/%2a',
];

forwardsOnEveryHost('no path leads to another object or another place', owned, async ({ host, client, upstream }) => {
  const other = (await client(SECRETS.ann).files.create({ file: await toFile(Buffer.from('a')), purpose: 'batch' })).id;
  const own = (await client(SECRETS.bob).files.create({ file: await toFile(Buffer.from('b')), purpose: 'batch' })).id;
  const asked = upstream.arrivals.length;
  const below = new URL(host.baseUrl).pathname;
  for (const path of tricks(own, other)) {
    for (const method of ['GET', 'DELETE']) {
      const response = await rawExchange(host.origin, rawRequest(method, below + path, { authorization }));
      assert.ok([400, 404, 405].includes(response.status), `${method} ${path}: ${response.status}`);
    }
  }
  assert.equal(upstream.arrivals.length, asked, 'the upstream was not asked');
  assert.equal(upstream.objects('files').length, 2);
});

forwardsOnBareHost('nor below a vector store', owned, async ({ host, client, upstream }) => {
  const own = (await client(SECRETS.bob).vectorStores.create({})).id;
  const other = (await client(SECRETS.ann).vectorStores.create({})).id;
  const asked = upstream.arrivals.length;
  const rests = [
    '..',
    '../',
    `../${other}`,
    `files/../../${other}`,
    `%2e%2e/${other}`,
    `..%2f${other}`,
    `files%2f..%2f..%2f${other}`,
  ];
  const more = [
    `%252e%252e/${other}`,
    `..%255c${other}`,
    `..%00/${other}`,
    `.%2e/${other}`,
    'files//x',
    'files/%20',
    'files/a;b',
    '\\..',
  ];
  for (const rest of [...rests, ...more]) {
    for (const method of ['GET', 'POST', 'DELETE']) {
      const path = `/v1/vector_stores/${own}/${rest}`;
      const response = await rawExchange(host.origin, rawRequest(method, path, { authorization }));
      // Two slashes are one.
      if (rest !== 'files//x') assert.equal(response.status, 404, `${method} ${path}`);
    }
  }
  const urls = upstream.arrivals.slice(asked).map(({ url }) => url);
  assert.deepEqual(new Set(urls), new Set([`/v1/vector_stores/${own}/files/x`]));
});

forwardsOnBareHost(
  'whatever the path, the upstream is asked below it for the own object only',
  owned,
  async (scene) => {
    const { host, client, upstream } = scene;
    const own = (await client(SECRETS.bob).vectorStores.create({})).id;
    const other = (await client(SECRETS.ann).vectorStores.create({})).id;
    const segment = fc.constantFrom(
      ...[
        own,
        other,
        'files',
        'vector_stores',
        'v1',
        '..',
        '.',
        '',
        '%2e%2e',
        '%2f',
        '%5c',
        '%00',
        'é',
        '%C3%A9',
        '#',
        '?',
        '%3f',
        ';',
        'content',
        'x',
      ],
    );
    const asked = upstream.arrivals.length;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(segment, fc.constantFrom('/', '//', '\\', '')), { maxLength: 7 }),
        async (parts) => {
          const path = `/v1/${parts.flat().join('')}`;
          await rawExchange(
            host.origin,
            rawRequest('GET', encodeURI(decodeURI(encodeURI(path))).replaceAll('%25', '%'), { authorization }),
          );
        },
      ),
      runs(40),
    );
    for (const { url } of upstream.arrivals.slice(asked)) {
      const { pathname } = new URL(url, 'http://upstream');
      const isOwn = pathname === `/v1/vector_stores/${own}` || pathname.startsWith(`/v1/vector_stores/${own}/`);
      assert.ok(isOwn || pathname === '/v1/vector_stores' || pathname === '/v1/files', url);
      assert.equal(pathname, url.split('?')[0], 'nothing in it is to be resolved');
    }
  },
);
