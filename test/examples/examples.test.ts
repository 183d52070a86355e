import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import OpenAI from 'openai';
import { programArgs } from '../helpers/compiled.js';
import { within } from '../helpers/deadline.js';
import { rawChat, rawExchange } from '../helpers/raw-client.js';
import { CALL } from '../helpers/scene.js';

const started: ChildProcess[] = [];
const folder = mkdtempSync(join(tmpdir(), 'megallm-examples-'));
after(async () => {
  for (const child of started) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGTERM');
    await within(once(child, 'exit'), 'the end of an example');
  }
  rmSync(folder, { recursive: true, force: true });
});

/** Runs an example as its user would, on a free port; resolves with everything it printed up to `expected`. */
function run(file: string, expected: RegExp, environment: Record<string, string> = {}): Promise<string> {
  const child = spawn(process.execPath, programArgs(`examples/${file}.ts`), {
    env: {
      ...{ PATH: process.env.PATH, PORT: '0', MEGALLM_KEYS: 'sk-example-0123456789' },
      ...{ MEGALLM_DB: join(folder, `${started.length}.db`), ...environment },
    },
  });
  started.push(child);
  return new Promise((resolve, reject) => {
    let printed = '';
    const deadline = setTimeout(() => reject(new Error(`Not printed: ${expected}; but: ${printed}`)), 60_000);
    const read = (chunk: Buffer): void => {
      printed += chunk;
      if (!expected.test(printed)) return;
      clearTimeout(deadline);
      resolve(printed);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.on('exit', (code) => {
      clearTimeout(deadline);
      reject(new Error(`Ended with ${code}: ${printed}`));
    });
  });
}

async function originOf(file: string): Promise<string> {
  const printed = await run(file, /port: \d+/);
  return `http://localhost:${/port: (\d+)/.exec(printed)?.[1]}`;
}

async function say(baseURL: string, { apiKey = 'sk-example-0123456789', model = 'gpt-4o', headers = {} } = {}) {
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, defaultHeaders: headers });
  return client.chat.completions.create({ model, messages: [{ role: 'user', content: 'Say hello' }] });
}

describe('each example runs and answers the official client', () => {
  it('express.ts', async () => {
    const origin = await originOf('express');
    assert.equal((await say(`${origin}/ai/v1`)).choices[0]?.message.content, 'hello');
    assert.equal(await (await fetch(origin)).text(), 'The application as it was.');
  });

  it('koa.ts', async () => {
    const origin = await originOf('koa');
    assert.equal((await say(`${origin}/v1`)).choices[0]?.message.content, 'hello');
    assert.equal(await (await fetch(origin)).text(), 'The application as it was.');
  });

  it('node.ts, whose user needs no key', async () => {
    const origin = await originOf('node');
    const answer = await say(`${origin}/v1`, { apiKey: 'unused', headers: { 'x-user': 'ann' } });
    assert.equal(answer.choices[0]?.message.content, 'hello');
    assert.equal(await (await fetch(origin)).text(), 'The application as it was.');
  });

  it('own-upstream.ts', async () => {
    const origin = await originOf('own-upstream');
    const answer = await say(`${origin}/v1`, { model: 'polly' });
    assert.equal(answer.choices[0]?.message.content?.trim(), 'Say hello');
    assert.equal(answer.model, 'polly');
    assert.equal((await say(`${origin}/v1`, { model: 'house-model' })).model, 'house-model');
  });

  it('own-stores.ts', async () => {
    const printed = await run('own-stores', /port: \d+[\s\S]*jsonl/);
    const origin = `http://localhost:${/port: (\d+)/.exec(printed)?.[1]}`;
    assert.equal((await say(`${origin}/v1`, { apiKey: 'sk-example-of-a-host-key' })).object, 'chat.completion');
    await assert.rejects(say(`${origin}/v1`, { apiKey: 'sk-example-of-nobody' }), OpenAI.AuthenticationError);
  });

  it('cluster.ts, whose workers know the same limits, and which ends with them', async () => {
    const environment = { WORKERS: '2', MEGALLM_KEYS: 'sk-example-0123456789:basic:ann' };
    const printed = await run('cluster', /port: \d+[\s\S]*2 workers/, environment);
    const primary = started.at(-1);
    const origin = `http://localhost:${/port: (\d+)/.exec(printed)?.[1]}`;
    // A connection each, in turns that `basic`'s ten calls at once allow: each worker gets half, less than its 60 a minute.
    const statuses: number[] = [];
    for (let i = 0; i < 20; i += 1) {
      const call = () => rawExchange(origin, rawChat('sk-example-0123456789', CALL));
      const answers = await Promise.all([call(), call(), call(), call(), call()]);
      statuses.push(...answers.map(({ status }) => status));
    }
    const admitted = statuses.filter((status) => status === 200).length;
    assert.ok(admitted >= 60 && admitted < 100, `${admitted} of 100: ${[...new Set(statuses)]}`);
    assert.ok(primary !== undefined);
    primary.removeAllListeners('exit');
    primary.kill('SIGTERM');
    assert.deepEqual(await within(once(primary, 'exit'), 'the end of the cluster'), [0, null]);
  });

  for (const file of ['cluster', 'express', 'koa', 'node', 'start']) {
    it(`${file}.ts, which fails where its port is taken`, async () => {
      const taken = createServer().listen(0);
      await once(taken, 'listening');
      const { port } = taken.address() as AddressInfo;
      await assert.rejects(
        run(file, /Listening|is listening/, { PORT: String(port) }),
        /Ended with 1:[\s\S]*EADDRINUSE/,
      );
      taken.close();
    });
  }

  it('start.ts, whose printed address and key work', async () => {
    const printed = await run('start', /console\.log/, { MEGALLM_KEYS: '' });
    const baseURL = /Base URL {3}(\S+)/.exec(printed)?.[1] ?? '';
    const apiKey = /API key {4}(\S+)/.exec(printed)?.[1] ?? '';
    assert.equal((await say(baseURL, { apiKey })).choices[0]?.message.content, 'hello');
  });
});
