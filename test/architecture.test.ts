import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { describe, it } from 'node:test';

/** The rooms of the house in the order in which they may know each other: an import goes to the same room or an earlier one. */
const ORDER = [
  'src/base',
  'src/wire',
  'src/upstreams',
  'src/http',
  'src/keys',
  'src/limits',
  'src/models',
  'src/upstreams/demo',
  'src/usage',
  'src/stores',
  'src/config',
  'src/call',
  'src/endpoints',
  'src/gateway.ts',
  'src/adapter.ts',
  'src/index.ts',
  'src/cli',
  'adapters',
];

/** Types in which other rooms speak to a room stand in these files, and nowhere else. */
const FACES: Readonly<Record<string, string>> = {
  'src/keys': 'src/keys/key-store.ts',
  'src/limits': 'src/limits/limiter-store.ts',
  'src/usage': 'src/usage/usage-store.ts',
  'src/upstreams': 'src/upstreams/upstream.ts',
};

/** Packages and built-in modules, each with the files that may import it, be it a type. */
const PLACES: Readonly<Record<string, RegExp>> = {
  // Each adapter knows its own framework; the host's own OpenAI client and dispatcher are called by their shape.
  express: /^adapters\/express\.ts$/,
  koa: /^adapters\/koa\.ts$/,
  openai: /^$/,
  undici: /^$/,
  'p-queue': /^src\/upstreams\/queued\.ts$/,
  'lru-cache': /^src\/(?:\w+\/)(?:memory|cached)[\w-]*\.ts$/,
  'node:http': /^adapters\//,
  'node:stream': /^adapters\//,
  'node:net': /^src\/upstreams\/http1\//,
  'node:tls': /^src\/upstreams\/http1\//,
  pg: /^src\/(?:cli|stores\/postgres)\//,
};

interface Import {
  readonly from: string;
  readonly typesOnly: boolean;
}

interface Source {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

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
  for (const [, from = ''] of text.matchAll(/import\((?:\s*\/\*[^*]*\*\/)*\s*'([^']+)'\s*\)/g))
    found.push({ from: resolved(path, from), typesOnly: false });
  for (const [, from = ''] of text.matchAll(/^import\s+'([^']+)';/gm))
    found.push({ from: resolved(path, from), typesOnly: false });
  return found;
}

function resolved(path: string, from: string): string {
  return from.startsWith('.') ? normalize(join(dirname(path), from)).replace(/\.js$/, '.ts') : from;
}

/** The room of a file; `undefined` for packages. */
function roomOf(path: string): string | undefined {
  const rooms = ORDER.filter((room) => path === room || path.startsWith(`${room}/`));
  return rooms.sort((a, b) => b.length - a.length)[0];
}

/** Whether a module is that package or a part of it; built-in ones go without `node:` as well. */
function isOf(name: string, from: string): boolean {
  return from === name || from === name.replace(/^node:/, '') || from.startsWith(`${name}/`);
}

/** Fails with every breach at once. */
function assertNone(breaches: readonly string[]): void {
  assert.deepEqual([...new Set(breaches)].sort(), []);
}

function importsWhere(isBreach: (source: Source, imported: Import) => boolean): string[] {
  return SOURCES.flatMap((source) =>
    source.imports.filter((imported) => isBreach(source, imported)).map(({ from }) => `${source.path} → ${from}`),
  );
}

function sourcesWith(pattern: RegExp, allowed: readonly string[]): string[] {
  return SOURCES.filter(({ path, text }) => pattern.test(text) && !allowed.includes(path)).map(({ path }) => path);
}

/** Every circle of a graph, told once from where it was entered. */
function cyclesOf(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (node: string, trail: readonly string[]): void => {
    if (trail.includes(node)) cycles.push([...trail.slice(trail.indexOf(node)), node].join(' → '));
    if (done.has(node) || trail.includes(node)) return;
    for (const next of graph.get(node) ?? []) visit(next, [...trail, node]);
    done.add(node);
  };
  for (const node of graph.keys()) visit(node, []);
  return cycles;
}

describe('a line of code knows its room by what it may know', () => {
  it('every file stands in a room, and three are loose in src', () => {
    assertNone(SOURCES.filter(({ path }) => roomOf(path) === undefined).map(({ path }) => path));
    const loose = SOURCES.filter(({ path }) => dirname(path) === 'src').map(({ path }) => basename(path));
    assertNone(loose.filter((name) => !['index.ts', 'adapter.ts', 'gateway.ts'].includes(name)));
  });

  it('imports, of types and values alike, go to the same room or an earlier one', () => {
    assertNone(
      importsWhere(({ path }, { from }) => {
        const [own, other] = [roomOf(path), roomOf(from)];
        if (own === undefined || other === undefined) return false;
        // The rooms of upstreams and demo share a folder: each is a room of its own here.
        return ORDER.indexOf(other) > ORDER.indexOf(own);
      }),
    );
  });

  it('has no cycles between rooms, types included', () => {
    const graph = new Map(ORDER.map((room) => [room, new Set<string>()]));
    for (const { path, imports } of SOURCES) {
      const own = roomOf(path);
      for (const { from } of imports) {
        const other = roomOf(from);
        if (own !== undefined && other !== undefined && own !== other) graph.get(own)?.add(other);
      }
    }
    assertNone(cyclesOf(new Map([...graph].map(([room, others]) => [room, [...others]]))));
  });

  it('has no cycles between files, types included', () => {
    assertNone(cyclesOf(new Map(SOURCES.map(({ path, imports }) => [path, imports.map(({ from }) => from)]))));
  });

  it('takes the interfaces of a room from its face', () => {
    const others = Object.values(FACES).flatMap((face) => {
      const declared = [...readFileSync(face, 'utf8').matchAll(/^export (?:interface|type) (\w+)/gm)];
      return declared.map(([, name = '']) => ({ face, name }));
    });
    assertNone(
      SOURCES.flatMap(({ path, text }) =>
        others
          .filter(
            ({ face, name }) => path !== face && new RegExp(`^export (?:interface|type) ${name}\\b`, 'm').test(text),
          )
          .map(({ face, name }) => `${path} declares ${name} of ${face} again`),
      ),
    );
  });

  it('no function is written right behind the `=` of a property: what it knows would outlive its call', () => {
    // Of the process, not of a call: there it is no loss.
    const ofProcess = ['src/stores/sqlite/driver.ts', 'src/stores/sqlite/own-file.ts'];
    const field = /^ +(?:(?:private|protected|readonly|override) +)+#?\w+(?:: .*)? = (?:async )?(?:\(.*=>|function\b)/m;
    const assigned = /\w\.#?\w+ (?:\?\?)?= (?:async )?(?:\([^()]*\)(?:: [\w ]+)? =>|\w+ =>|function\b)/;
    assertNone([...sourcesWith(field, []), ...sourcesWith(assigned, ofProcess)]);
  });

  it('an adapter could be written by a stranger: public names, node-io, and frameworks as types', () => {
    const ours = [
      'src/index.ts',
      'src/adapter.ts',
      'adapters/node-io.ts',
      'adapters/incoming-body.ts',
      'adapters/incoming-request.ts',
      'adapters/lingering.ts',
      'adapters/stream-writer.ts',
    ];
    assertNone(
      importsWhere(({ path }, { from, typesOnly }) => {
        if (!path.startsWith('adapters/') || ours.includes(from) || from.startsWith('node:')) return false;
        return !(typesOnly && (from === 'express' || from === 'koa'));
      }),
    );
  });

  it('the makers of the defaults are known to the options alone', () => {
    const makers = /^src\/(?:keys|limits|usage|stores)\/memory|^src\/upstreams\/(?:http|demo)/;
    assertNone(
      importsWhere(
        ({ path }, { from, typesOnly }) =>
          /^src\/(?:config|call|endpoints)\/|^src\/gateway/.test(path) &&
          path !== 'src/config/options.ts' &&
          !typesOnly &&
          makers.test(from),
      ),
    );
  });
});

describe('one thing has one place', () => {
  for (const [name, place] of Object.entries(PLACES)) {
    it(name, () => {
      assertNone(importsWhere(({ path }, { from }) => isOf(name, from) && !place.test(path)));
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
        'adapters/lingering.ts',
        'adapters/stream-writer.ts',
      ]),
    );
  });

  it('the console is used by hooks.ts, and by the command', () => {
    const command = SOURCES.filter(({ path }) => path.startsWith('src/cli/')).map(({ path }) => path);
    assertNone(sourcesWith(/\bconsole\./, ['src/config/hooks.ts', ...command]));
  });
});

describe('the code is written one way', () => {
  it('inherits only in errors, and has no default exports and no `export *`', () => {
    assertNone(sourcesWith(/^(?:export )?(?:abstract )?class \w+(?:<[^{]*>)? extends /m, ['src/base/errors.ts']));
    assertNone(sourcesWith(/^export (?:default|\*)/m, []));
  });

  it('begins a doc comment with a noun or a verb', () => {
    assertNone(
      SOURCES.flatMap(({ path, text }) =>
        [...text.matchAll(/\/\*\*\s*(?:\*\s*)?(?:What|Who|Whose|Of|So)\b[^\n]*/g)].map(
          ([line]) => `${path}: ${line.replace(/\s+/g, ' ')}`,
        ),
      ),
    );
  });

  it('names no package registry', () => {
    assert.doesNotMatch(readFileSync('package-lock.json', 'utf8'), /"resolved":/);
  });
});
