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
  ['stores/sqlite-faults', /^test\/stores\/sqlite-faults\./],
  ['stores/sqlite-processes', /^test\/stores\/sqlite-processes\./],
  ['faults/forward', /^test\/faults\/forward-/],
  ['faults/held', /^test\/faults\/held-/],
  ['faults/large', /^test\/faults\/(event-loop|refused-)/],
  ['faults/clients', /^test\/faults\/(aborts|bodies|early-answers|slow-clients|unread)/],
  ['faults/cluster', /^test\/faults\/cluster\./],
  ['faults/clocks', /^test\/faults\/clocks\./],
  ['upstreams/demo', /^test\/upstreams\/demo/],
  ['cli', /^test\/cli\./],
  ['vendors/lite-llm', /^test\/vendors\/lite-llm/],
];

/** Begun before the others, as they take longest at a depth of ten or at one: the last to begin should be the shortest. */
const LONGEST = [
  'faults/held',
  'package',
  'faults',
  'faults/clients',
  'stores',
  'stores/sqlite-faults',
  'faults/large',
  'examples',
  'faults over undici7',
  'faults over undici8',
  'faults/clients over undici7',
  'faults/clients over undici8',
  'kill/kill',
  'stores/postgres',
  'hosts',
  'faults/forward',
  'upstreams',
  'upstreams/http1',
  'stores/sqlite-processes',
  'stores/redis',
  'kill/stop',
  'vendors/lite-llm',
  'test',
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

/** Those groups in the order in which they should begin. */
export function longestFirst(groups) {
  const rank = ({ name }) => (LONGEST.includes(name) ? LONGEST.indexOf(name) : LONGEST.length);
  return groups.toSorted((one, other) => rank(one) - rank(other));
}

/** The groups of those files, each for one process: those of `APART`, and a group for each folder. */
export function groupsOf(files) {
  const groups = new Map();
  for (const file of files) {
    const apart = APART.find(([, pattern]) => pattern.test(file))?.[0];
    const name = apart ?? (dirname(file).replace(/^test\/?/, '') || 'test');
    groups.set(name, [...(groups.get(name) ?? []), file]);
  }
  return [...groups].map(([name, members]) => ({ name, files: members }));
}
