import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { build } from 'esbuild';
import { application, run } from './packed.js';

/** A folder from which no package is found. */
const alone = mkdtempSync(join(tmpdir(), 'megallm-bundle-'));
after(() => rmSync(alone, { recursive: true, force: true }));

/** Bundles the application as `esbuild --bundle --platform=node` does, without a word from it, and runs the file. */
async function bundledAndRun(app: string, entry: string): Promise<string> {
  const { warnings } = await build({
    absWorkingDir: app,
    entryPoints: [entry],
    bundle: true,
    platform: 'node',
    outfile: 'bundle.cjs',
    logLevel: 'silent',
  });
  assert.deepEqual(warnings, []);
  renameSync(join(app, 'bundle.cjs'), join(alone, `${entry}.cjs`));
  return run(process.execPath, [`${entry}.cjs`], alone);
}

function assertWorks(printed: string): void {
  assert.match(printed, /^200 .*"content":"hello"/m);
  assert.match(printed, /^SQLite: (?:opened|.*npm install @photostructure\/sqlite)$/m);
  assert.match(printed, /^true$/m);
}

describe('esbuild bundles an application without configuration although no optional package is there', () => {
  it('that imports the package', async () => {
    const app = await application('bundled.mjs');
    assertWorks(await bundledAndRun(app, 'bundled.mjs'));
  });

  it('that requires it', async () => {
    const app = await application('bundled.mjs');
    const text = readFileSync(join(app, 'bundled.mjs'), 'utf8');
    const required = text.replaceAll(/^import (\{.*\}) from ('.*');$/gm, (_, names: string, from: string) => {
      return `const ${names.replaceAll(' as ', ': ')} = require(${from});`;
    });
    assert.doesNotMatch(required, /^import/m);
    writeFileSync(join(app, 'required.cjs'), required);
    assertWorks(await bundledAndRun(app, 'required.cjs'));
  });
});
