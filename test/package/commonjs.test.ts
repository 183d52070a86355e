import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { DEPTH } from '../helpers/depth.js';
import { application, run } from './packed.js';

describe('CommonJS, from the packed package', () => {
  it('every subpath can be required, and has the names that it has as an ES module', async () => {
    const app = await application('require-all.cjs');
    assert.match(await run(process.execPath, ['require-all.cjs'], app), /^8 subpaths$/m);
  });

  it('a process may have both copies: upstreams, stores, errors and bodies of one serve the other', async () => {
    const app = await application('both-copies.mjs');
    assert.match(await run(process.execPath, ['both-copies.mjs'], app), /^both copies agree$/m);
  });
});

describe('TypeScript 5, from the packed package', () => {
  const projects = {
    'module: commonjs, and the resolution that knows no exports': { module: 'commonjs', moduleResolution: 'node10' },
    'module: nodenext, as CommonJS': { module: 'nodenext', moduleResolution: 'nodenext' },
  };
  for (const [name, resolution] of Object.entries(projects)) {
    const isDeep = resolution.module !== 'commonjs';
    it(name, { skip: isDeep && DEPTH < 10 && 'other settings of TypeScript begin at MEGALLM_DEPTH=10' }, async () => {
      const app = await application('typescript5.ts');
      const strict = { strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true };
      const compilerOptions = { ...resolution, ...strict, target: 'es2023', types: ['node'], skipLibCheck: true };
      writeFileSync(join(app, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['typescript5.ts'] }));
      await run(process.execPath, [resolve('node_modules/typescript5/bin/tsc')], app);
      assert.match(await run(process.execPath, ['typescript5.js'], app), /^200 .*1 message/m);
    });
  }
});
