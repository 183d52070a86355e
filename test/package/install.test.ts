import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { DEPTH } from '../helpers/depth.js';
import { link, packed, run } from './packed.js';

/** Versions that lie outside everything we test with. */
const OLD = { openai: '4.104.0', pg: '8.11.6', express: '4.18.2' };
const INSTALL_MS = 400_000;

describe('an application that installs the package', {
  skip: DEPTH < 10 && 'what asks a package registry begins at MEGALLM_DEPTH=10',
}, () => {
  let app = '';

  before(async () => {
    app = mkdtempSync(join(tmpdir(), 'megallm-install-'));
    writeFileSync(join(app, 'package.json'), '{"name":"app","version":"1.0.0","private":true}');
    const old = Object.entries(OLD).map(([name, version]) => `${name}@${version}`);
    const args = ['install', '--no-audit', '--no-fund', await packed(), ...old, 'jest@30'];
    await run('npm', args, app, INSTALL_MS);
  });
  after(() => rmSync(app, { recursive: true, force: true }));

  it('may have other packages of any version beside it', async () => {
    const { dependencies, problems = [] } = JSON.parse(await run('npm', ['ls', '--json', '--depth=0'], app));
    assert.deepEqual(problems, []);
    for (const [name, version] of Object.entries(OLD)) assert.equal(dependencies[name].version, version);
    assert.ok(dependencies['megallm-middleware']);
  });

  it("runs its own tests under Jest's defaults", async () => {
    const tests = join(app, 'tests');
    mkdirSync(tests);
    cpSync('test/package/apps/jest.test.cjs', join(tests, 'jest.test.cjs'));
    link(resolve('node_modules/@photostructure/sqlite'), app, '@photostructure/sqlite');
    assert.match(await run(process.execPath, ['node_modules/jest/bin/jest.js'], app), /^Tests: +3 passed, 3 total$/m);
  });
});
