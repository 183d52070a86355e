import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, it } from 'node:test';

interface Import {
  readonly from: string;
  readonly typesOnly: boolean;
}

interface Source {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

const DOMAINS = ['http', 'keys', 'limiter', 'models', 'upstreams', 'usage'];

const SOURCES: readonly Source[] = ['src', 'adapters'].flatMap((root) =>
  readdirSync(root, { recursive: true })
    .map((name) => join(root, String(name)))
    .filter((path) => path.endsWith('.ts'))
    .map((path) => {
      const text = readFileSync(path, 'utf8');
      return { path, text, imports: importsOf(path, text) };
    }),
);

function importsOf(path: string, text: string): Import[] {
  const found: Import[] = [];
  for (const [, clause = '', from = ''] of text.matchAll(/^(?:import|export)\s+([^;]*?)\s*from\s+'([^']+)';/gm)) {
    const names = /^\{([\s\S]*)\}$/
      .exec(clause)?.[1]
      ?.split(',')
      .filter((name) => name.trim() !== '');
    const typesOnly = clause.startsWith('type ') || (names?.every((name) => name.trim().startsWith('type ')) ?? false);
    found.push({ from: resolved(path, from), typesOnly });
  }
  for (const [, from = ''] of text.matchAll(/import\('([^']+)'\)/g))
    found.push({ from: resolved(path, from), typesOnly: false });
  return found;
}

function resolved(path: string, from: string): string {
  return from.startsWith('.') ? normalize(join(dirname(path), from)).replace(/\.js$/, '.ts') : from;
}

function domainOf(path: string): string | undefined {
  return DOMAINS.find((domain) => path.startsWith(`src/${domain}/`));
}

/** Fails with every breach at once. */
function assertNone(breaches: readonly string[]): void {
  assert.deepEqual(breaches, []);
}

function importsWhere(isBreach: (source: Source, imported: Import) => boolean): string[] {
  return SOURCES.flatMap((source) =>
    source.imports.filter((imported) => isBreach(source, imported)).map(({ from }) => `${source.path} → ${from}`),
  );
}

function sourcesWith(pattern: RegExp, allowed: readonly string[]): string[] {
  return SOURCES.filter(({ path, text }) => pattern.test(text) && !allowed.includes(path)).map(({ path }) => path);
}

describe('imports point one way', () => {
  it('src never imports adapters', () => {
    assertNone(importsWhere(({ path }, { from }) => path.startsWith('src/') && from.startsWith('adapters/')));
  });

  it('an adapter could be written by a stranger: public names, node-io, and frameworks as types', () => {
    const ours = ['src/index.ts', 'adapters/node-io.ts'];
    assertNone(
      importsWhere(({ path }, { from, typesOnly }) => {
        if (!path.startsWith('adapters/') || ours.includes(from) || from.startsWith('node:')) return false;
        return !(typesOnly && (from === 'express' || from === 'koa'));
      }),
    );
  });

  it('a domain takes from another domain only types; what is known of models is facts and may be read', () => {
    const facts = 'src/models/known-models.ts';
    assertNone(
      importsWhere(({ path }, { from, typesOnly }) => {
        const own = domainOf(path);
        const other = domainOf(from);
        return own !== undefined && other !== undefined && own !== other && !typesOnly && from !== facts;
      }),
    );
  });

  it('wire knows JSON and errors only', () => {
    const allowed = /^src\/(?:wire\/|json|errors|(?:request|object|responses)-errors)|^node:/;
    assertNone(
      importsWhere(
        ({ path }, { from, typesOnly }) => path.startsWith('src/wire/') && !typesOnly && !allowed.test(from),
      ),
    );
  });

  it('errors and json import nothing of ours', () => {
    assertNone(importsWhere(({ path }) => path === 'src/base/errors.ts' || path === 'src/base/json.ts'));
  });

  it('has no cycles', () => {
    const graph = new Map(SOURCES.map(({ path, imports }) => [path, imports.filter(({ typesOnly }) => !typesOnly)]));
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
      if (done.has(path) || trail.includes(path)) return;
      for (const { from } of graph.get(path) ?? []) visit(from, [...trail, path]);
      done.add(path);
    };
    for (const { path } of SOURCES) visit(path, []);
    assertNone(cycles);
  });
});

describe('one thing has one place', () => {
  const places: Readonly<Record<string, RegExp>> = {
    openai: /^$/,
    undici: /^src\/upstreams\/http\.ts$/,
    'p-queue': /^src\/upstreams\/queued\.ts$/,
    'lru-cache': /^src\/(?:\w+\/)(?:memory|cached)\.ts$/,
    'node:http': /^adapters\//,
    'node:stream': /^adapters\//,
    pg: /^src\/cli\.ts$/,
  };
  for (const [name, place] of Object.entries(places)) {
    it(name, () => {
      assertNone(importsWhere(({ path }, { from, typesOnly }) => from === name && !typesOnly && !place.test(path)));
    });
  }

  it('SQLite is loaded by its driver file', () => {
    assertNone(sourcesWith(/'(?:node:sqlite|@photostructure\/sqlite)'/, ['src/stores/sqlite/driver.ts']));
  });

  it('the environment is read in environment.ts', () => {
    assertNone(sourcesWith(/process\.env/, ['src/config/environment.ts']).filter((path) => path.startsWith('src/')));
  });

  it('time comes from the clock; sockets have their own', () => {
    assertNone(
      sourcesWith(/\b(?:Date\.now|setTimeout|setInterval|performance\.now)\(/, [
        'src/base/clock.ts',
        'adapters/node-io.ts',
      ]),
    );
  });

  it('the console is used by hooks.ts, and by the command', () => {
    assertNone(sourcesWith(/\bconsole\./, ['src/config/hooks.ts', 'src/cli/cli.ts']));
  });
});

describe('the code is written one way', () => {
  it('has one class, no default exports, no `export *`', () => {
    assertNone(sourcesWith(/^(?:export )?(?:abstract )?class /m, ['src/base/errors.ts']));
    assertNone(sourcesWith(/^export (?:default|\*)/m, []));
  });

  it('keeps files within 250 lines', () => {
    assertNone(SOURCES.filter(({ text }) => text.split('\n').length > 251).map(({ path }) => path));
  });

  it('names no package registry', () => {
    assert.doesNotMatch(readFileSync('package-lock.json', 'utf8'), /"resolved":/);
  });
});
