import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { within } from '../helpers/deadline.js';
import { DEPTH } from '../helpers/depth.js';
import { BARE, launch, npmStart, startFolder } from './npm-start.js';

const { PATH } = BARE;
const folder = startFolder();
const SNIPPET_MS = 15_000;

// They fit into the two minutes of a test, so that a slow index is told.
const VENV_MS = 25_000;
const PIP_MS = 60_000;

/** What a shell says to the pasted lines; they must end well. */
async function pasted(lines: string, path = PATH): Promise<string> {
  const { ended, out, all } = launch('sh', ['-c', lines], { ...BARE, PATH: path });
  const code = await within(ended, 'the end of what was pasted', SNIPPET_MS);
  assert.equal(code, 0, all());
  return out();
}

/** Why it failed; `undefined`: it did not. */
async function failure(command: string, args: readonly string[], deadlineMs = SNIPPET_MS): Promise<string | undefined> {
  const { child, ended, all } = launch(command, args, process.env);
  try {
    const code = await within(ended, 'its end', deadlineMs);
    return code === 0 ? undefined : `${command} ${args.join(' ')}: ${all().trim().slice(-500)}`;
  } catch (error) {
    child.kill('SIGKILL');
    return `${command} ${args.join(' ')}: ${error}`;
  }
}

/** Where a `python3` with `openai` is found: as it is, or in one made for this test. */
async function pathOfPython(): Promise<{ readonly path: string | undefined } | { readonly missing: string }> {
  if ((await failure('python3', ['-c', 'import openai'])) === undefined) return { path: PATH };
  if (DEPTH < 10 && !process.env.CI) return { missing: 'openai for Python is not here: pip install openai' };
  const bin = join(folder, 'bin');
  const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', 'openai'];
  const missing =
    (await failure('python3', ['-m', 'venv', folder], VENV_MS)) ??
    (await failure(join(bin, 'python'), install, PIP_MS));
  return missing === undefined ? { path: `${bin}${delimiter}${PATH}` } : { missing };
}

/** A developer's machine may lack a tool; CI may not, or the test would never run anywhere. */
function skipped(test: TestContext, missing: string): void {
  assert.ok(!process.env.CI, missing);
  test.skip(missing);
}

/** What is printed below `curl`, `Python` or `Node`, to the last character. */
function snippet(printed: string, title: string): string {
  const parts = printed.split(/^(\w+)(?: \(.*\))?:$/m);
  const text = parts[parts.indexOf(title) + 1] ?? '';
  assert.ok(parts.includes(title) && text.trim() !== '', `Nothing below ${title}: ${printed}`);
  return text;
}

describe('what `npm start` prints works as pasted', () => {
  let printed = '';

  before(async () => {
    printed = (await npmStart(mkdtempSync(join(folder, 'pasted-')))).all();
  });

  it('says that the demo answers', () => {
    assert.match(printed, /built-in demo/);
  });

  it('curl', async (test) => {
    const missing = await failure('curl', ['--version']);
    if (missing !== undefined) return skipped(test, missing);
    assert.match(await pasted(snippet(printed, 'curl')), /"content":\s*"hello"/);
  });

  it('Node', async () => {
    const text = await pasted(snippet(printed, 'Node'));
    assert.equal(text.trim(), 'hello');
  });

  it('Python', async (test) => {
    const found = await pathOfPython();
    if ('missing' in found) return skipped(test, found.missing);
    const text = await pasted(snippet(printed, 'Python'), found.path);
    assert.equal(text.trim(), 'hello');
  });
});
