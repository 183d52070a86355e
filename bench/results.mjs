import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const FILE = new URL('./RESULTS.md', import.meta.url);
/** The parts of the page in their order, each written by one program; the notes say what is behind a missed target. */
const PARTS = {
  targets: 'run.mjs',
  notes: 'hand',
  tables: 'run.mjs',
  cluster: 'cluster.mjs',
  streams: 'many-streams.mjs',
  soak: 'soak.mjs',
};
const HEAD = `# Results

What [the benchmark](README.md) measured. Ratios count, not times: see there.
`;

/** Puts the text of one part into RESULTS.md and leaves the others as they are. */
export function writePart(name, text) {
  const before = existsSync(FILE) ? readFileSync(FILE, 'utf8') : '';
  const parts = Object.entries(PARTS).map(([part, program]) => {
    const [begin, end] = [`<!-- ${part}, by ${program} -->\n`, `\n<!-- end of ${part} -->`];
    const [from, to] = [before.indexOf(begin), before.indexOf(end)];
    const old =
      from === -1 ? (part === 'notes' ? 'No notes yet.' : 'Not run yet.') : before.slice(from + begin.length, to);
    return `${begin}${part === name ? text.trim() : old}${end}`;
  });
  writeFileSync(FILE, `${HEAD}\n${parts.join('\n\n')}\n`);
}
