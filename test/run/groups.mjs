import { dirname } from 'node:path';
import * as zlib from 'node:zlib';

/** Files that need a process of their own, or take so long that others should not wait for them. */
const APART = [
  ['hosts/forward', /^test\/hosts\/forward-/],
  ['hosts/responses', /^test\/hosts\/(responses|stored)-/],
  ['kill/kill', /^test\/kill\/kill\./],
  ['kill/race', /^test\/kill\/race\./],
  ['kill/stop', /^test\/kill\/stop\./],
  ['stores/redis', /^test\/stores\/redis/],
  ['stores/postgres', /^test\/stores\/postgres/],
  ['stores/sqlite-processes', /^test\/stores\/sqlite-processes\./],
  ['faults/forward', /^test\/faults\/forward-/],
  ['faults/large', /^test\/faults\/(event-loop|held-|refused-)/],
  ['faults/cluster', /^test\/faults\/cluster\./],
  ['faults/clocks', /^test\/faults\/clocks\./],
  ['upstreams/demo', /^test\/upstreams\/demo/],
  ['cli', /^test\/cli\./],
  ['vendors/lite-llm', /^test\/vendors\/lite-llm/],
];

/** Begun before the others, as they take longest. */
const LONGEST = [
  'faults',
  'faults/large',
  'hosts',
  'stores/postgres',
  'examples',
  'upstreams/demo',
  'faults/forward',
  'kill/kill',
];

/** Tests of faults of upstreams: from a depth of ten on they run over undici too, and some of them at any depth. */
const MATRIX = [
  /^test\/faults\/(?:upstream-|aborts|early-answers|forward-cuts|slow-clients|unread|shutdown|smuggling)/,
  /^test\/upstreams\/(?:cancelled|stream-patience)/,
];
const SAMPLE = [/^test\/faults\/upstream-whole/, /^test\/upstreams\/cancelled/];

/** The groups of those files that run over other clients than our own; the environment says over which: see test/helpers/transports.ts. */
export function groupsOverUndici(files, depth) {
  const patterns = depth < 10 ? SAMPLE : MATRIX;
  const repeated = files.filter((file) => patterns.some((pattern) => pattern.test(file)));
  // As there: undici 8 does not load where Node has no zstd.
  const versions = 'createZstdDecompress' in zlib ? ['undici7', 'undici8'] : ['undici7'];
  return versions.flatMap((version) =>
    groupsOf(repeated).map(({ name, files }) => ({
      name: `${name} over ${version}`,
      files,
      environment: { MEGALLM_TRANSPORT: version },
    })),
  );
}

/** The groups of those files, each for one process: those of `APART`, and a group for each folder. */
export function groupsOf(files) {
  const groups = new Map(LONGEST.map((name) => [name, []]));
  for (const file of files) {
    const apart = APART.find(([, pattern]) => pattern.test(file))?.[0];
    const name = apart ?? (dirname(file).replace(/^test\/?/, '') || 'test');
    groups.set(name, [...(groups.get(name) ?? []), file]);
  }
  return [...groups].flatMap(([name, members]) => (members.length === 0 ? [] : [{ name, files: members }]));
}
