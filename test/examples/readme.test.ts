import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import {
  defaultModels,
  hashSecret,
  memoryIdempotency,
  memoryLimiter,
  memoryObjects,
  memoryUsage,
  systemClock,
} from 'megallm-middleware';
import type { Config, GatewayOptions } from '../../src/config/config.js';
import { resolveOptions } from '../../src/config/options.js';
import { PAGES, programsOf, tableRows } from '../helpers/pages.js';

const MAX_README_BYTES = 8_192;
const PAGE_OF_OPTIONS = 'docs/options.md';

const read = (page: string): string => readFileSync(page, 'utf8');

describe('the README', () => {
  it('fits into 8 kB, and begins with how to install and to mount the package', () => {
    const text = read('README.md');
    assert.ok(Buffer.byteLength(text) <= MAX_README_BYTES, `${Buffer.byteLength(text)} bytes`);
    const [title, sentence, command, mount] = text.split('\n\n');
    assert.match(title ?? '', /^# megallm-middleware$/);
    assert.match(sentence ?? '', /^[^.]+\.$/s);
    assert.equal(command, '```sh\nnpm install megallm-middleware\n```');
    assert.match(mount ?? '', /^\*\*Mount it before body parsers\*\*/);
  });

  it('shows a program for each host', () => {
    const programs = programsOf('README.md').filter(({ code }) => /\.listen\(3000/.test(code));
    const hosts = programs.map(({ code }) => /megallm-middleware\/(\w+)/.exec(code)?.[1]);
    assert.deepEqual(hosts, ['express', 'koa', 'node']);
  });
});

describe('README and docs', () => {
  it('leave tests out of the way of users', () => {
    assert.deepEqual(
      PAGES.filter((page) => /\btest\/|\.test\.ts/.test(read(page))),
      [],
    );
  });

  it('link to pages and headings that are there, and every page is linked from the README', () => {
    const broken: string[] = [];
    for (const page of [...PAGES, 'CHANGELOG.md', 'SECURITY.md']) {
      for (const [, target = ''] of read(page).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
        const [path = '', heading] = target.split('#');
        const file = path === '' ? page : join(dirname(page), path);
        const isThere = statSync(file, { throwIfNoEntry: false }) !== undefined;
        if (!isThere || (heading !== undefined && !headingsOf(file).includes(heading)))
          broken.push(`${page}: ${target}`);
      }
    }
    assert.deepEqual(broken, []);
    const unlinked = readdirSync('docs').filter((name) => !read('README.md').includes(`(docs/${name})`));
    assert.deepEqual(unlinked, []);
  });
});

/** As GitHub names the headings of a page in links. */
function headingsOf(page: string): string[] {
  return [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

/** The options of a page's tables, and how their defaults are told. */
function optionsOf(page: string): Map<string, string> {
  const rows = tableRows(page, 'option');
  return new Map(rows.flatMap(([name = '', told = '']) => (/^`\w+`$/.test(name) ? [[name.slice(1, -1), told]] : [])));
}

/** How a value is told in the tables. */
function told(value: string | number | boolean): string {
  if (typeof value !== 'number') return `\`${typeof value === 'string' ? `'${value}'` : value}\``;
  return `\`${String(value).replace(/\B(?=(?:\d{3})+$)/g, '_')}\``;
}

/** What the resolver makes of no options, told as the tables tell it; what is no value of one kind is told in words. */
const DEFAULTS: { readonly [Name in keyof GatewayOptions]-?: (config: Config, production: Config) => string } = {
  upstream: ({ upstream }, production) => {
    assert.deepEqual([upstream.name, production.upstream.name], ['demo', 'unconfigured']);
    assert.equal(resolved({ environment: { OPENAI_API_KEY: 'sk-of-openai' } }).upstream.name, 'openai');
    return 'OpenAI with `OPENAI_API_KEY`, else `demo()`; in production 503';
  },
  models({ models }) {
    assert.deepEqual(
      models.listed.map(({ id }) => id),
      Object.keys(defaultModels()),
    );
    return '`defaultModels()`';
  },
  unlistedModels({ models }) {
    assert.equal(models.find('nobody-lists-this')?.id, 'nobody-lists-this');
    assert.equal(resolved({ models: {} }).models.find('nobody-lists-this'), undefined);
    return "`'pass'`; with `models` `'refuse'`";
  },
  store() {
    const usage = { ...memoryUsage(), report: () => assert.fail('the store was asked') };
    const { usage: used } = resolved({ store: { usage } });
    assert.throws(() => used.report?.({ from: 0, to: 1, by: [] }), /the store was asked/);
    return 'none';
  },
  keys(_config, production) {
    const notices: string[] = [];
    resolved({ hooks: { onNotice: (text) => notices.push(text) } });
    assert.match(notices.join(), /^No API keys are set. For development, use: sk-mega-\w{49}$/);
    assert.equal(production.keys.find(hashSecret('sk-0123456789abcdef')), undefined);
    const { keys } = resolved({ environment: { MEGALLM_KEYS: 'sk-0123456789abcdef' } });
    assert.notEqual(keys.find(hashSecret('sk-0123456789abcdef')), undefined);
    return '`MEGALLM_KEYS`, else a development key; in production none';
  },
  identify: ({ identify }) => (identify === undefined ? 'none' : 'something'),
  admin({ admin }) {
    const secret = 'b1946ac92492d2347c6235b4d2611184';
    assert.equal(admin, undefined);
    assert.notEqual(resolved({ environment: { MEGALLM_ADMIN_SECRET: secret } }).admin, undefined);
    return '`MEGALLM_ADMIN_SECRET`';
  },
  sealingSecret({ sealer }, { sealer: other }) {
    assert.equal(other.open(sealer.seal('x', 'ann'), 'ann'), undefined);
    return 'random';
  },
  tiers: ({ tiers }) => [...tiers.keys()].map((tier) => `\`${tier}\``).join(', '),
  globalLimits: ({ globalLimits }) => (Object.keys(globalLimits).length === 0 ? 'none' : 'some'),
  budgetTimeZone({ findPeriod }) {
    assert.equal(findPeriod('day', Date.UTC(2026, 10, 28, 13)).from, Date.UTC(2026, 10, 28));
    return told('UTC');
  },
  limiter: ({ limiter }) => makerOf(limiter, memoryLimiter),
  usage: ({ usage }) => makerOf(usage, memoryUsage),
  objects: ({ objects }) => makerOf(objects, memoryObjects),
  idempotency: ({ idempotency }) => makerOf(idempotency, memoryIdempotency),
  hooks() {
    const { error } = console;
    const printed: string[] = [];
    console.error = (...parts: unknown[]) => printed.push(parts.join(' '));
    try {
      const { hooks } = resolveOptions({ environment: { MEGALLM_KEYS: 'sk-0123456789abcdef' } });
      hooks.onError('an error', { requestId: 'req_1', keyId: undefined });
      hooks.onNotice('a notice');
    } finally {
      console.error = error;
    }
    assert.deepEqual(printed, ['[megallm] req_1 an error', '[megallm] a notice']);
    return 'errors and notices to stderr';
  },
  basePath: ({ basePath }) => told(basePath),
  unversionedPaths: ({ unversionedPaths }) => told(unversionedPaths),
  cors: ({ cors }) => (cors === undefined ? 'none' : 'some'),
  maxBodyBytes: ({ maxBodyBytes }) => told(maxBodyBytes),
  maxJsonValues: ({ maxJsonValues }) => told(maxJsonValues),
  maxJsonBytes: ({ maxJsonBytes }) => told(maxJsonBytes),
  maxUploadBytes: ({ maxUploadBytes }) => told(maxUploadBytes),
  maxHeldBytesPerKey: ({ maxHeldBytesPerKey }) => told(maxHeldBytesPerKey),
  wrongKeysPerMinute: ({ wrongKeysPerMinute }) => told(wrongKeysPerMinute),
  maxHeldBytes: ({ maxHeldBytes }) => told(maxHeldBytes),
  lingering: ({ lingering: { idleMs, totalMs, maxBytes, maxConnections } }) =>
    `${idleMs / 1_000} s, ${totalMs / 1_000} s, ${maxBytes / 1_048_576} MiB, ${maxConnections}`,
  bodyTimeoutMs() {
    const delays: number[] = [];
    const setTimer = (_run: () => void, delayMs: number): (() => void) => {
      delays.push(delayMs);
      return () => {};
    };
    resolved({ clock: { wallMs: () => 0, steadyMs: () => 0, setTimer } }).bodyDeadlines.start({
      dueAt: 0,
      older: undefined,
      newer: undefined,
      ring: () => {},
    });
    return told(delays[0] ?? 0);
  },
  defaultMaxOutputTokens: ({ defaultMaxOutputTokens }) => told(defaultMaxOutputTokens),
  defaultMaxToolCalls: ({ defaultMaxToolCalls }) => told(defaultMaxToolCalls),
  timeoutMs: ({ timeoutMs }) => told(timeoutMs),
  maxResponseBytes: ({ maxResponseBytes }) => told(maxResponseBytes),
  maxConcurrentCalls: ({ maxConcurrentCalls }) => told(maxConcurrentCalls),
  debug: ({ debug }, production) => `${told(debug)}; in production ${told(production.debug)}`,
  environment() {
    const { OPENAI_API_KEY } = process.env;
    process.env.OPENAI_API_KEY = 'sk-of-openai';
    try {
      assert.equal(resolveOptions({ hooks: QUIET }).upstream.name, 'openai');
    } finally {
      if (OPENAI_API_KEY === undefined) delete process.env.OPENAI_API_KEY;
      else process.env.OPENAI_API_KEY = OPENAI_API_KEY;
    }
    return '`process.env`';
  },
  clock: ({ clock }) => (clock === systemClock ? '`systemClock`' : 'another'),
};

const QUIET = { onNotice: () => {} };

function resolved(options: GatewayOptions = {}): Config {
  return resolveOptions({ environment: {}, hooks: QUIET, ...options });
}

function makerOf(store: object, maker: () => object): string {
  assert.deepEqual(Object.keys(store), Object.keys(maker()));
  return `\`${maker.name}()\``;
}

describe('the tables of options', () => {
  const usual = resolved();
  const production = resolved({ environment: { NODE_ENV: 'production' } });

  for (const page of ['README.md', PAGE_OF_OPTIONS]) {
    it(`name every option with the default that it has, in ${page}`, () => {
      const expected = Object.entries(DEFAULTS).map(([name, tell]) => [name, tell(usual, production)]);
      assert.deepEqual(Object.fromEntries(optionsOf(page)), Object.fromEntries(expected));
    });
  }
});

describe('the table of errors', () => {
  const CODES =
    /code: '([a-z_]+)'|unavailable\(\s*'([a-z_]+)'|badRequest\(\s*(?:`[^`]*`|'[^']*'|"[^"]*"|[\w.()]+),\s*'([a-z_]+)'/g;

  it('has each code that the gateway answers with, and no other', () => {
    const told = tableRows('docs/errors.md', 'code').flatMap(([codes = '']) => codes.match(/\w+/g) ?? []);
    const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.includes('demo'))
      .map((name) => read(join('src', name)));
    const answered = sources.flatMap((source) =>
      [...source.matchAll(CODES)].map(([, plain, busy, bad]) => plain ?? busy ?? bad ?? ''),
    );
    assert.deepEqual(
      // Clients are shown OpenAI's code in its place.
      [...new Set(answered)].filter((code) => code !== 'request_exceeds_limit' && !told.includes(code)),
      [],
    );
    const isWritten = (code: string): boolean => sources.some((source) => source.includes(`'${code}'`));
    // Made of a kind and a word.
    const isComposed = (code: string): boolean => /^(?:integer|decimal)_(?:above_max|below_min)_value$/.test(code);
    assert.deepEqual(
      told.filter((code) => code !== 'null' && !isWritten(code) && !isComposed(code)),
      [],
    );
  });
});
