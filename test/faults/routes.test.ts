import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createGateway, demo } from 'megallm-middleware';
import { toFile } from 'openai';
import { ROUTES } from '../../src/endpoints/routes.js';
import { ownersKeys, SECRETS } from '../helpers/forward-scene.js';
import { HOSTS } from '../helpers/hosts.js';
import { inParallel } from '../helpers/in-parallel.js';
import { rawClient, rawRequest } from '../helpers/raw-client.js';
import { CALL, MODEL, onBareHost, type Scene } from '../helpers/scene.js';

const ADMIN = 'c7Yq0bV1xRz8mKp4TnW2sLd9hGf6jA3e';
const METHODS = ['GET', 'POST', 'DELETE', 'PUT', 'PATCH', 'OPTIONS'];
const CALLERS = ['nobody', 'ann', 'bob', 'admin'] as const;
const CREDENTIALS: Readonly<Record<(typeof CALLERS)[number], Readonly<Record<string, string>>>> = {
  nobody: {},
  ann: { authorization: `Bearer ${SECRETS.ann}` },
  bob: { authorization: `Bearer ${SECRETS.bob}` },
  admin: { authorization: `Bearer ${ADMIN}` },
};

/** A key's own route for requests that any key may make: what they are refused for afterwards is not their caller. */
const OPEN = { nobody: 401, ann: 200, bob: 200, admin: 401 };
/** A body with a name and metadata alone is no call; whoever is told so got in. */
const OPEN_CALL = { nobody: 401, ann: 400, bob: 400, admin: 401 };
/** Ann's object: hers alone. */
const OWN = { nobody: 401, ann: 200, bob: 404, admin: 401 };
const OWN_CALL = { nobody: 401, ann: 400, bob: 404, admin: 401 };
const ADMINS = { nobody: 401, ann: 401, bob: 401, admin: 200 };

/** Read by a person: what each caller gets from each route. A route that is not here fails. */
const EXPECTED: Readonly<Record<string, Readonly<Record<(typeof CALLERS)[number], number>>>> = {
  'POST /chat/completions': OPEN_CALL,
  'GET /chat/completions': OPEN,
  'GET /chat/completions/{id}': OWN,
  'POST /chat/completions/{id}': OWN,
  'DELETE /chat/completions/{id}': OWN,
  'GET /chat/completions/{id}/messages': OWN,
  'POST /completions': OPEN_CALL,
  'POST /embeddings': OPEN_CALL,
  'POST /moderations': OPEN_CALL,
  'POST /responses': OPEN_CALL,
  'POST /responses/input_tokens': OPEN_CALL,
  'GET /responses/{id}': OWN,
  'DELETE /responses/{id}': OWN,
  'POST /responses/{id}/cancel': OWN_CALL,
  'GET /responses/{id}/input_items': OWN,
  'GET /models': OPEN,
  'GET /models/*': OPEN,
  'GET /usage': OPEN,
  'POST /images/generations': OPEN_CALL,
  'POST /images/edits': OPEN_CALL,
  'POST /images/variations': OPEN_CALL,
  'POST /audio/speech': OPEN_CALL,
  'POST /audio/transcriptions': OPEN_CALL,
  'POST /audio/translations': OPEN_CALL,
  'POST /files': OPEN_CALL,
  'GET /files': OPEN,
  'GET /files/{id}': OWN,
  'DELETE /files/{id}': OWN,
  'GET /files/{id}/content': OWN,
  'POST /uploads': OPEN_CALL,
  'POST /uploads/{id}/parts': OWN_CALL,
  'POST /uploads/{id}/complete': OWN_CALL,
  'POST /uploads/{id}/cancel': OWN,
  'POST /batches': OPEN_CALL,
  'GET /batches': OPEN,
  'GET /batches/{id}': OWN,
  'POST /batches/{id}/cancel': OWN_CALL,
  // Its members may all be left out.
  'POST /vector_stores': OPEN,
  'GET /vector_stores': OPEN,
  'GET /vector_stores/{id}': OWN,
  'POST /vector_stores/{id}': OWN,
  'DELETE /vector_stores/{id}': OWN,
  'GET /vector_stores/{id}/*': OWN,
  'POST /vector_stores/{id}/*': OWN_CALL,
  // Ann's store has no such file.
  'DELETE /vector_stores/{id}/*': { nobody: 401, ann: 404, bob: 404, admin: 401 },
  'GET /organization/usage/completions': ADMINS,
  'GET /organization/usage/embeddings': ADMINS,
  'GET /organization/usage/moderations': ADMINS,
  'GET /organization/usage/images': ADMINS,
  'GET /organization/usage/audio_speeches': ADMINS,
  'GET /organization/usage/audio_transcriptions': ADMINS,
  'GET /organization/usage/vector_stores': ADMINS,
  'GET /organization/usage/code_interpreter_sessions': ADMINS,
  'GET /organization/usage/file_search_calls': ADMINS,
  'GET /organization/usage/web_search_calls': ADMINS,
  'GET /organization/costs': ADMINS,
};

const nameOf = ({ method, segments }: (typeof ROUTES)[number]): string => `${method} /${segments.join('/')}`;
/** All ask from one address, and most of them in vain. */
const given = () => ({ admin: { secret: ADMIN }, keys: ownersKeys(), upstream: demo(), wrongKeysPerMinute: 1_000_000 });

/** One object of each kind, Ann's, by the first segment of its path. */
async function annsObjects({ client }: Scene): Promise<Readonly<Record<string, string>>> {
  const ann = client({ apiKey: SECRETS.ann });
  const line = { custom_id: 'a', method: 'POST', url: '/v1/chat/completions', body: CALL };
  const file = await ann.files.create({
    file: await toFile(Buffer.from(JSON.stringify(line)), 'a.jsonl'),
    purpose: 'batch',
  });
  const batch = { input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' } as const;
  const upload = { bytes: 1, filename: 'a', mime_type: 'text/plain', purpose: 'assistants' } as const;
  return {
    files: file.id,
    batches: (await ann.batches.create(batch)).id,
    uploads: (await ann.uploads.create(upload)).id,
    vector_stores: (await ann.vectorStores.create({ name: 'a' })).id,
    chat: (await ann.chat.completions.create({ ...CALL, store: true })).id,
    responses: (await ann.responses.create({ model: MODEL, input: 'x' })).id,
  };
}

/** The path of a route, with an object of its kind. */
function pathOf({ segments }: (typeof ROUTES)[number], ids: Readonly<Record<string, string>>): string {
  const [first = ''] = segments;
  const rest = first === 'models' ? 'gpt-4' : 'files';
  const path = segments
    .map((segment) => (segment === '{id}' ? ids[first] : segment === '*' ? rest : segment))
    .join('/');
  return first === 'organization' ? `/${path}?start_time=1800000000` : `/${path}`;
}

interface Told {
  readonly status: number;
  readonly body: string;
}

async function ask({ host }: Scene, method: string, path: string, caller: keyof typeof CREDENTIALS): Promise<Told> {
  const json =
    method === 'POST' ? { headers: { 'content-type': 'application/json' }, body: '{"metadata":{},"name":"a"}' } : {};
  const headers = { ...json.headers, ...CREDENTIALS[caller] };
  const response = await fetch(host.baseUrl + path, { method, ...json, headers });
  return { status: response.status, body: await response.text() };
}

describe('B1 the authorization matrix of the route table', () => {
  it('has a row for each route, and the only routes without a key are the admin’s', () => {
    assert.deepEqual(Object.keys(EXPECTED).sort(), ROUTES.map(nameOf).sort());
    for (const route of ROUTES) {
      assert.equal(route.opens === 'admin', route.segments[0] === 'organization', nameOf(route));
    }
  });

  onBareHost('each caller gets from each route what the table says', given, async (scene) => {
    const ids = await annsObjects(scene);
    const found: Record<string, Record<string, number>> = {};
    // What cancels or deletes goes last, and whose the object is after everybody else.
    const rank = (route: (typeof ROUTES)[number]): number =>
      route.method === 'DELETE' ? 2 : route.segments.includes('cancel') ? 1 : 0;
    for (const route of [...ROUTES].sort((one, other) => rank(one) - rank(other))) {
      const statuses: Record<string, number> = {};
      for (const caller of ['nobody', 'bob', 'admin', 'ann'] as const)
        statuses[caller] = (await ask(scene, route.method, pathOf(route, ids), caller)).status;
      found[nameOf(route)] = statuses;
    }
    assert.deepEqual(found, EXPECTED);
  });

  onBareHost(
    'other methods open nothing: a 405 for whom the path is for, a 401 for all others',
    given,
    async (scene) => {
      const ids = await annsObjects(scene);
      for (const route of ROUTES) {
        const isAdmins = route.opens === 'admin';
        const path = pathOf(route, ids);
        const own = new Set(ROUTES.filter((other) => pathOf(other, ids) === path).map((other) => other.method));
        // `POST /responses/input_tokens` is a `GET /responses/{id}` too.
        if (path === '/responses/input_tokens') continue;
        for (const method of METHODS.filter((name) => name !== 'OPTIONS' && !own.has(name as 'GET'))) {
          for (const caller of CALLERS) {
            const isTheirs = isAdmins === (caller === 'admin') && caller !== 'nobody';
            const { status } = await ask(scene, method, path, caller);
            assert.equal(status, isTheirs ? 405 : 401, `${method} ${path} of ${caller}`);
          }
        }
      }
    },
  );
});

describe('B2 nobody writes their own privileges', () => {
  it('no route that a request can write to is an admin’s, and none is about keys', () => {
    for (const route of ROUTES) {
      if (route.opens === 'admin') assert.equal(route.method, 'GET');
      assert.doesNotMatch(nameOf(route), /key|tier|limit|owner|admin/);
    }
  });

  onBareHost(
    'what a request says of its owner, tier, limits or rights changes nothing of them',
    () => ({ admin: { secret: ADMIN }, keys: ownersKeys() }),
    async (scene) => {
      const claims = {
        ...{ owner: 'bob', tier: 'enterprise', keyId: 'key_bob', key: 'key_bob', id: 'key_bob', role: 'admin' },
        ...{ limits: {}, debug: true, models: ['*'], admin: true, is_admin: true, project: 'bob', user: 'bob' },
      };
      const headers = {
        ...{ 'x-owner': 'bob', 'x-tier': 'enterprise', 'x-admin': ADMIN, 'openai-organization': 'bob' },
        ...{ 'openai-project': 'bob', 'x-user-id': 'bob', cookie: `admin=${ADMIN}; owner=bob` },
      };
      const query = Object.fromEntries(Object.entries(claims).map(([name, value]) => [name, String(value)]));
      const ann = scene.client({ apiKey: SECRETS.ann });
      await ann.chat.completions.create({ ...CALL, ...claims }, { headers, query });
      const [record] = scene.setup.records;
      assert.deepEqual([record?.keyId, record?.owner, record?.tier], ['key_ann', 'owner:ann', 'open']);
      const search = new URLSearchParams({ ...query, group_by: 'key' });
      const usage = await fetch(`${scene.host.baseUrl}/usage?${search}`, {
        headers: { ...headers, ...CREDENTIALS.bob },
      });
      assert.deepEqual(JSON.parse(await usage.text()).data, []);
      const costs = await fetch(`${scene.host.baseUrl}/organization/costs?start_time=0&${search}`, {
        headers: { ...headers, ...CREDENTIALS.ann },
      });
      assert.equal(costs.status, 401);
    },
  );
});

describe('B3 two tenants do not meet', () => {
  // The upstream's side of files, batches, uploads and vector stores: test/hosts/forward-ownership.test.ts.
  onBareHost('whatever is read by another’s id is answered as if it had never been', given, async (scene) => {
    const ids = await annsObjects(scene);
    const never = Object.fromEntries(Object.entries(ids).map(([kind, id]) => [kind, id.replace(/\w{6}$/, 'zzzzzz')]));
    const about = ROUTES.filter(({ method, segments }) => method === 'GET' && segments.includes('{id}'));
    assert.ok(about.length >= 9, String(about.length));
    for (const route of about) {
      const kind = route.segments[0] ?? '';
      const others = await ask(scene, 'GET', pathOf(route, ids), 'bob');
      const absent = await ask(scene, 'GET', pathOf(route, never), 'bob');
      assert.equal(others.status, 404, nameOf(route));
      const nameless = ({ status, body }: Told, id = ''): Told => ({ status, body: body.replaceAll(id, '(id)') });
      assert.deepEqual(nameless(others, ids[kind]), nameless(absent, never[kind]), nameOf(route));
    }
  });

  onBareHost('no list and no report of one tenant shows anything of another', given, async (scene) => {
    const ids = await annsObjects(scene);
    const lists = ROUTES.filter(
      ({ method, segments, opens }) => method === 'GET' && opens !== 'admin' && !segments.some((s) => /[{*]/.test(s)),
    );
    assert.ok(lists.length >= 6, String(lists.length));
    const words = [...Object.values(ids), 'key_ann', '"ann"'];
    for (const query of ['', '?user_ids=ann', '?group_by=key,model', `?after=${ids.files}`, '?limit=100&order=asc']) {
      for (const route of lists) {
        const { body } = await ask(scene, 'GET', pathOf(route, ids) + query, 'bob');
        // An error repeats the cursor that was sent.
        if (body.startsWith('{"error"')) continue;
        for (const word of words) assert.ok(!body.includes(word), `${nameOf(route)}${query}: ${word}`);
      }
    }
    const { body } = await ask(scene, 'GET', '/usage?group_by=key', 'ann');
    assert.match(body, /"key":"key_ann"/, 'whose it is does see it');
  });
});

const TARGETS = ['usage/completions', 'costs'];

/** Ways to write a path that somebody on the way may take for an admin's. */
function spellings(prefix: string): string[] {
  const paths = TARGETS.flatMap((target) => {
    const path = `${prefix}/v1/organization/${target}`;
    const [head = '', tail = ''] = [`${prefix}/v1`, `organization/${target}`];
    const inserted = [
      '/',
      '//',
      '/.',
      '/./',
      '/..',
      '/../',
      '/%2e/',
      '/%2e%2e/',
      '/%252e%252e/',
      ';/',
      ';a=b/',
      '\\',
      '/\\',
      '%2f',
      '%2F',
      '%252f',
      '%5c',
      '%00',
      '%20',
      '/%20/',
      '/*/',
      '/%2a/',
      '/%c0%af',
      '/%ef%bc%8f',
      '/x/../',
      '/x/%2e%2e/',
      '/models/../',
      '/models/..%2f',
      '/models/%2e%2e%2f',
      '/files/../',
      '//evil.test/',
      '/@',
      '/:',
      '/~',
      '?/',
      '#/',
    ];
    const ended = [
      '/',
      '//',
      '/.',
      '/..',
      '/../costs',
      '%2f',
      '%00',
      '%20',
      '%09',
      '.json',
      ';',
      ';.js',
      ';jsessionid=1',
      '?',
      '??',
      '#',
      '%3f',
      '%23',
      '/%2e',
      '*',
      '%2500',
      '.',
      '..',
      '\\',
      '/x',
      `/${'a/'.repeat(50)}`,
    ];
    return [
      path,
      ...inserted.map((text) => head + text + tail),
      ...ended.map((text) => path + text),
      ...[
        path.toUpperCase(),
        path.replace('organization', 'Organization'),
        path.replace('v1', 'V1'),
        path.replace('organization', '%6frganization'),
        path.replace('organization', 'o%72ganization'),
        path.replace('v1', 'v%31'),
        path.replace('v1/', 'v1/v1/'),
        path.replaceAll('/', '//'),
        path.replace('organization/', 'organization//'),
        path.replace('organization/', 'organization/./'),
        path.replace('organization/', 'organization/x/../'),
      ],
      ...[
        'http://localhost',
        'http://evil.test',
        'http://evil.test:80',
        'https://admin@localhost',
        '//evil.test',
        'HTTP://test',
      ].map((origin) => origin + path),
    ];
  });
  return [...new Set(paths)].flatMap((path) => [path, `${path}${path.includes('?') ? '&' : '?'}start_time=0`]);
}

const start = (path: string): string => `${path}?start_time=0&limit=1`;

/** Ways to say who one is, or where one comes from, without the secret in its place. */
function disguises(): Readonly<Record<string, string>>[] {
  const user = { authorization: `Bearer ${SECRETS.ann}` };
  const places = [
    'localhost',
    '127.0.0.1',
    '[::1]',
    'admin',
    'evil.test',
    'evil.test/v1/organization',
    'test@localhost',
    'localhost:0',
    'api.openai.com',
    '',
  ];
  const forwarded = [
    'x-forwarded-host',
    'x-forwarded-for',
    'x-real-ip',
    'forwarded',
    'x-original-url',
    'x-rewrite-url',
    'x-forwarded-prefix',
    'x-forwarded-path',
    'x-original-uri',
    'x-http-method-override',
    'x-forwarded-user',
    'x-remote-user',
  ];
  const tokens = [
    ADMIN,
    `Basic ${Buffer.from(`admin:${ADMIN}`).toString('base64')}`,
    `Token ${ADMIN}`,
    `Bearer${ADMIN}`,
    `Bearer ${ADMIN.toUpperCase()}`,
    `Bearer ${ADMIN}\u00a0`,
    `Bearer ${ADMIN} x`,
    `Bearer x ${ADMIN}`,
    `Bearer ${ADMIN},${ADMIN}`,
    `Bearer "${ADMIN}"`,
    `Bearer ${ADMIN.slice(0, -1)}`,
    `Bearer ${ADMIN}0`,
    'Bearer',
    'Bearer ',
    'Bearer undefined',
    'Bearer null',
    'Bearer [object Object]',
    'Bearer 0',
    '',
  ];
  return [
    {},
    user,
    ...places.flatMap((host) => [{ host }, { host, ...user }]),
    ...forwarded.flatMap((name) =>
      ['127.0.0.1', '/v1/models', 'GET', 'admin'].map((value) => ({ [name]: value, ...user })),
    ),
    ...tokens.map((authorization) => ({ authorization })),
    ...[
      'x-api-key',
      'api-key',
      'x-admin-key',
      'x-admin-secret',
      'openai-admin-key',
      'cookie',
      'proxy-authorization',
    ].map((name) => ({ [name]: ADMIN })),
    { 'x-api-key': ADMIN, ...user },
  ];
}

describe('B4 no spelling of a path and no header opens an admin route without its secret', () => {
  for (const kind of HOSTS) {
    it(`in ${kind.name}`, { timeout: 60_000 }, async () => {
      const host = await kind.start({
        ...given(),
        environment: { NODE_ENV: 'test' },
        tiers: { open: {} },
        basePath: '',
        hooks: { onError: (error) => assert.fail(String(error)) },
      });
      try {
        const prefix = new URL(host.baseUrl).pathname.slice(0, -'/v1'.length);
        const plain = start(`${prefix}/v1/organization/costs`);
        const requests: { path: string; headers: Readonly<Record<string, string>> }[] = [
          ...spellings(prefix).flatMap((path) => [
            { path, headers: {} },
            { path, headers: { authorization: `Bearer ${SECRETS.ann}` } },
          ]),
          ...disguises().map((headers) => ({ path: plain, headers })),
          { path: `${plain}&key=${ADMIN}&api_key=${ADMIN}&access_token=${ADMIN}`, headers: {} },
        ];
        assert.ok(requests.length > 300, String(requests.length));
        await inParallel(requests, 8, async ({ path, headers }) => {
          for (const method of ['GET', 'HEAD', 'POST']) {
            const status = await statusOf(host.origin, rawRequest(method, path, headers));
            assert.ok(status === undefined || status >= 300, `${method} ${path} ${JSON.stringify(headers)}: ${status}`);
          }
        });
        const opened = { authorization: `Bearer ${ADMIN}` };
        assert.equal(await statusOf(host.origin, rawRequest('GET', plain, opened)), 200, 'the secret does');
        assert.equal(await statusOf(host.origin, rawRequest('GET', plain, { ...opened, host: 'evil.test' })), 200);
      } finally {
        await host.close();
      }
    });
  }
});

/** The status of the answer; `undefined`: the connection was closed without one. */
async function statusOf(origin: string, bytes: Uint8Array): Promise<number | undefined> {
  const client = await rawClient(origin);
  client.send(bytes);
  try {
    await client.until((received) => /^HTTP\/1\.1 \d{3} /.test(received), 'a status line');
    return Number(client.received().toString().slice('HTTP/1.1 '.length).slice(0, 3));
  } catch (error) {
    if (!/^Error: Closed before/.test(String(error))) throw error;
    return undefined;
  } finally {
    client.destroy();
  }
}

describe('A13 the admin’s secret', () => {
  const bad: readonly unknown[] = [
    ...['', ' ', 'changeme', 'sk-1234', 'admin', 'secret', ADMIN.slice(0, 31), 'x'.repeat(32), '0'.repeat(64)],
    ...[
      'changeme'.repeat(4),
      'sk-1234'.repeat(5),
      'abcdefghijklmnopqrstuvwxyzabcdef',
      '01234567890123456789012345678901',
    ],
    ...[
      'please-change-me-0a9f8e7d6c5b4a3f2e',
      'CHANGE_ME_7c1d9e0f3b5a2846c1d9e0f3',
      'your-admin-secret-4f3c2b1a0d9e8f7c',
    ],
    ...[
      'my-default-secret-7c1d9e0f3b5a2846',
      'password-7c1d9e0f3b5a2846c1d9e0f3b',
      'abababababababababababababababababab',
    ],
    ...[
      `${ADMIN} `,
      ` ${ADMIN}`,
      `${ADMIN}\n`,
      ADMIN.replace('7', 'ü'),
      ADMIN.replace('7', '\0'),
      `${ADMIN}`.repeat(9),
    ],
    ...[undefined, null, 42, true, {}, [ADMIN], Buffer.from(ADMIN)],
  ];

  it('is refused when it can be guessed, and not repeated', () => {
    for (const secret of bad) {
      const make = () => createGateway({ environment: {}, hooks: { onNotice: () => {} }, admin: { secret } as never });
      assert.throws(make, (error) => {
        assert.ok(error instanceof TypeError && /`admin\.secret`/.test(error.message), String(error));
        assert.ok(
          typeof secret !== 'string' ||
            secret.trim().length < 'changeme'.length ||
            !error.message.includes(secret.trim()),
        );
        return true;
      });
    }
    for (const secret of bad.filter((value) => typeof value === 'string')) {
      const make = () =>
        createGateway({ environment: { MEGALLM_ADMIN_SECRET: secret }, hooks: { onNotice: () => {} } });
      assert.throws(make, /MEGALLM_ADMIN_SECRET/);
    }
    for (const admin of [null, 'x', 7])
      assert.throws(
        () => createGateway({ environment: {}, hooks: { onNotice: () => {} }, admin: admin as never }),
        TypeError,
      );
  });

  it('is taken when it is random, and refused when it is a key as well', () => {
    const hooks = { onNotice: () => {} };
    for (const secret of [ADMIN, '9f86d081884c7d659a2feaa0c55ad015', `${ADMIN}${ADMIN.split('').reverse().join('')}`]) {
      createGateway({ environment: {}, hooks, admin: { secret } });
      createGateway({ environment: { MEGALLM_ADMIN_SECRET: secret }, hooks });
      const both = { MEGALLM_ADMIN_SECRET: secret, MEGALLM_KEYS: `${SECRETS.ann},${secret}:pro:x` };
      assert.throws(() => createGateway({ environment: both, hooks }), TypeError);
    }
  });

  onBareHost(
    'while there is none, its routes are not there, for anybody',
    () => ({ keys: ownersKeys() }),
    async (scene) => {
      for (const route of ROUTES.filter(({ opens }) => opens === 'admin')) {
        for (const caller of CALLERS) {
          for (const method of METHODS.filter((name) => name !== 'OPTIONS')) {
            const { status, body } = await ask(scene, method, pathOf(route, {}), caller);
            assert.equal(status, 404, `${nameOf(route)} of ${caller}`);
            assert.match(JSON.parse(body).error.message, /^Invalid URL/);
          }
        }
      }
    },
  );
});
