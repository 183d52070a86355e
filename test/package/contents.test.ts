import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { unpackedPackage } from './packed.js';

describe('the packed package', () => {
  let folder = '';
  let files: readonly string[] = [];

  before(async () => {
    folder = await unpackedPackage();
    files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  });

  function emitted(directory: string, ending: string): readonly string[] {
    const found = files.filter((file) => file.startsWith(`dist/${directory}/`) && file.endsWith(ending));
    return found.map((file) => file.slice(`dist/${directory}/`.length, -ending.length)).sort();
  }

  it('has one file per source file in each build, with its types', () => {
    const sources = files.filter((file) => /^(?:src|adapters)\/.*\.ts$/.test(file)).map((file) => file.slice(0, -3));
    assert.ok(sources.length > 100);
    for (const ending of ['.js', '.d.ts']) assert.deepEqual(emitted('esm', ending), sources.sort(), ending);
    const required = sources.filter((file) => !file.startsWith('src/cli/'));
    assert.deepEqual(emitted('cjs', '.d.cts'), required);
    assert.deepEqual(emitted('cjs', '.cjs'), [...required, 'vendor/p-queue'].sort());
  });

  it('has the sources that its source maps name', () => {
    const maps = files.filter((file) => file.endsWith('.map'));
    assert.ok(maps.length > 400);
    for (const map of maps) {
      const { sources, file } = JSON.parse(readFileSync(join(folder, map), 'utf8'));
      const emittedFile = join(folder, dirname(map), file);
      assert.ok(readFileSync(emittedFile, 'utf8').endsWith(`//# sourceMappingURL=${file}.map`), map);
      for (const source of sources) assert.ok(existsSync(join(folder, dirname(map), source)), `${map}: ${source}`);
    }
  });

  it('has what its pages link to', () => {
    const pages = files.filter((file) => file.endsWith('.md'));
    assert.ok(pages.includes('README.md') && pages.includes('SECURITY.md'));
    for (const page of pages) {
      const text = readFileSync(join(folder, page), 'utf8');
      for (const [, target = ''] of text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)) {
        assert.ok(existsSync(join(folder, dirname(page), target)), `${page}: ${target}`);
      }
    }
  });

  it('tells bundlers to leave its optional packages alone', () => {
    const { peerDependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const optional = Object.keys(peerDependencies).join('|');
    const modules = files.filter((file) => /^dist\/esm\/.*\.js$/.test(file));
    const loads = modules.flatMap((file) => {
      const text = readFileSync(join(folder, file), 'utf8');
      return text.match(new RegExp(`\\bimport\\([^)]*['"](?:${optional})\\b[^)]*\\)`, 'g')) ?? [];
    });
    assert.ok(loads.length > 2);
    for (const load of loads) assert.match(load, /webpackIgnore: true.*turbopackIgnore: true.*@vite-ignore/);
  });
});
