import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import type { UsageRecord } from 'megallm-middleware';
import { DataCounter, SoundLength } from '../../src/wire/told-pieces.js';
import { eventually } from '../helpers/deadline.js';
import { answering, type ForwardScene, forwardsOnBareHost } from '../helpers/forward-scene.js';
import { SECRET, SMALL_SECRET } from '../helpers/gateway-options.js';
import { type Arrival, jsonAnswer } from '../helpers/http-upstream.js';

const FREE = { inputUsdPerMillion: 0, outputUsdPerMillion: 0 };
const MODELS = {
  painter: { operation: 'images', pricing: { ...FREE, usdPerImage: 0.04 } },
  speaker: { operation: 'audio', pricing: { ...FREE, usdPerMillionCharacters: 15 } },
  hearer: { operation: 'audio', pricing: { ...FREE, usdPerAudioMinute: 0.006 } },
} as const;

type Answer = (arrival: Arrival, res: ServerResponse) => void;

/** `SECRET` has a budget, `SMALL_SECRET` none. */
const sold = (usdPerDay: number, answer: Answer) => () => ({
  ...answering(answer),
  models: MODELS,
  key: { limits: { usdPerDay } },
  small: {},
});

const json = (body: object, secret = SECRET) => ({
  method: 'POST',
  secret,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

function form(fields: Record<string, string>, bytes = 1_000, secret = SECRET) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  body.append('file', new Blob([Buffer.alloc(bytes, 'x')]), 'a.mp3');
  return { method: 'POST', secret, body };
}

let seen = 0;
async function ask(on: ForwardScene, path: string, request: RequestInit & { readonly secret: string }) {
  seen = on.setup.records.length;
  const response = await on.ask(path, request);
  return { status: response.status, text: await response.text() };
}

async function settled(on: ForwardScene): Promise<UsageRecord> {
  await eventually(() => on.setup.records.length > seen, 'the call to be settled');
  const record = on.setup.records.at(-1);
  assert.ok(record !== undefined);
  return record;
}

const inUsd = (nanoUsd: number | undefined): number | undefined => (nanoUsd === undefined ? undefined : nanoUsd / 1e9);

describe('sound by the minute', () => {
  const bodies: readonly [string, string, string, number | undefined][] = [
    ["OpenAI's usage", 'application/json', '{"text":"Hi","usage":{"type":"duration","seconds":90}}', 90],
    ['a detailed transcription', 'application/json', '{"task":"transcribe","duration":89.5,"text":"Hi"}', 89.5],
    ['a duration that is a text', 'application/json', '{"duration": "89.5","text":"Hi"}', 89.5],
    [
      "Mistral's usage",
      'application/json',
      '{"text":"","usage":{"prompt_audio_seconds":30,"prompt_tokens":7,"total_tokens":9,"completion_tokens":2}}',
      30,
    ],
    [
      'the longest of those told',
      'application/json',
      `{"duration":1,"words":[${'{"duration":0.1},'.repeat(999)}{}],"usage":{"seconds":60}}`,
      60,
    ],
    ['subtitles', 'application/x-subrip', '1\n00:00:00,000 --> 00:01:02,500\nHi\n', 62.5],
    ['subtitles of the web', 'text/vtt', 'WEBVTT\n\n00:00.000 --> 01:02.500\nHi\n', 62.5],
    [
      'events',
      'text/event-stream',
      'data: {"type":"transcript.text.done","text":"Hi","usage":{"type":"duration","seconds":7}}\n\n',
      7,
    ],
    ['plain text', 'text/plain', 'Hi', undefined],
    [
      'a text that speaks of itself',
      'application/json',
      JSON.stringify({ text: '"duration": 9999, "seconds": 9999' }),
      undefined,
    ],
  ];
  for (const [what, type, body, seconds] of bodies) {
    it(`is read from ${what}, however it is cut`, () => {
      for (const size of [1, 7, body.length]) {
        const sound = new SoundLength(type);
        for (let at = 0; at < body.length; at += size) sound.addPiece(Buffer.from(body.slice(at, at + size)));
        assert.equal(sound.findMs(), seconds === undefined ? undefined : seconds * 1_000);
      }
    });
  }

  forwardsOnBareHost(
    'is reserved by the bytes of its form, and settled at what the answer tells, else at what was reserved',
    sold(1, (_, res) => jsonAnswer(res, { text: 'Hi', usage: { type: 'duration', seconds: 90 } })),
    async (on) => {
      // Some 45 kB are a minute at the slowest.
      assert.equal((await ask(on, '/audio/transcriptions', form({ model: 'hearer' }, 90_000))).status, 200);
      const told = await settled(on);
      assert.equal(inUsd(told.costNanoUsd), 0.009);
      const reserved = inUsd(told.reservedNanoUsd) ?? 0;
      assert.ok(reserved >= 0.012 && reserved < 0.0125, String(reserved));
      assert.equal(told.isOverReserved, false);
      on.upstream.answerWith((_, res) => res.writeHead(200, { 'content-type': 'text/plain' }).end('Hi'));
      await ask(on, '/audio/translations', form({ model: 'hearer', response_format: 'text' }, 90_000));
      const untold = inUsd((await settled(on)).costNanoUsd) ?? 0;
      assert.ok(untold >= 0.012 && untold < 0.0125, String(untold));
      // Nobody knows, and no budget has to be held.
      await ask(on, '/audio/transcriptions', form({ model: 'hearer' }, 90_000, SMALL_SECRET));
      assert.equal((await settled(on)).costNanoUsd, undefined);
      on.upstream.answerWith((_, res) => jsonAnswer(res, { text: 'Hi', duration: 60 }));
      await ask(on, '/audio/transcriptions', form({ model: 'hearer' }, 90_000, SMALL_SECRET));
      assert.equal(inUsd((await settled(on)).costNanoUsd), 0.006);
    },
  );

  forwardsOnBareHost(
    'that lies elsewhere is not asked for by a key with a budget, nor sound by another unit',
    sold(1, (_, res) => jsonAnswer(res, { text: 'Hi' })),
    async (on) => {
      for (const name of ['url', 'file_url', 'file_id', 'audio_uri']) {
        const { status } = await ask(
          on,
          '/audio/transcriptions',
          form({ model: 'hearer', [name]: 'https://sound.example' }),
        );
        assert.equal(status, 403, name);
      }
      const elsewhere = await ask(
        on,
        '/audio/transcriptions',
        json({ model: 'hearer', file_url: 'https://sound.example' }),
      );
      assert.equal(elsewhere.status, 403);
      assert.equal((await ask(on, '/audio/speech', json({ model: 'hearer', input: 'x' }))).status, 403);
      assert.equal((await ask(on, '/images/generations', json({ model: 'speaker', prompt: 'x' }))).status, 403);
      const chat = { model: 'painter', messages: [{ role: 'user', content: 'Paint' }] };
      assert.equal((await ask(on, '/chat/completions', json(chat))).status, 403);
      assert.ok(on.upstream.arrivals.every((arrival) => !arrival.isWhole()));
    },
  );

  forwardsOnBareHost(
    'that does not fit into what is left is refused',
    sold(0.01, (_, res) => jsonAnswer(res, { text: 'Hi' })),
    async (on) => {
      const { status, text } = await ask(on, '/audio/transcriptions', form({ model: 'hearer' }, 1_000_000));
      assert.equal(status, 429);
      assert.match(text, /insufficient_quota/);
      assert.equal(on.upstream.arrivals.length, 0);
    },
  );
});

describe('a budget is not passed', () => {
  const painted: Answer = (_, res) => jsonAnswer(res, { created: 1, data: [{ url: 'a' }, { url: 'b' }] });
  const heard: Answer = (_, res) => jsonAnswer(res, { text: 'Hi', usage: { type: 'duration', seconds: 120 } });
  const kinds: readonly (readonly [string, Answer, string, () => RequestInit & { readonly secret: string }])[] = [
    ['pictures', painted, '/images/generations', () => json({ model: 'painter', prompt: 'x', n: 2 })],
    ['forms with pictures', painted, '/images/edits', () => form({ model: 'painter', prompt: 'x', n: '2' })],
    ['forms with sound', heard, '/audio/transcriptions', () => form({ model: 'hearer' }, 90_000)],
  ];
  for (const [kind, answer, path, request] of kinds) {
    forwardsOnBareHost(`by 60 calls at once for ${kind}`, sold(0.9, answer), async (on) => {
      const ends = await Promise.all(Array.from({ length: 60 }, () => ask(on, path, request())));
      const done = ends.filter(({ status }) => status === 200).length;
      await eventually(() => on.setup.limiter.open() === 0, 'all calls to be settled');
      const spent = on.setup.records.reduce((sum, { costNanoUsd = 0 }) => sum + costNanoUsd, 0);
      assert.ok(done > 0 && (kind === 'forms with sound' || done < 60), `${done} calls`);
      assert.ok(spent > 0 && spent <= 900_000_000, `${spent}`);
      assert.ok(on.setup.records.every(({ isOverReserved }) => isOverReserved !== true));
    });
  }
});

describe('characters', () => {
  forwardsOnBareHost(
    'are those of the text, and those of the whole body where the text is none',
    sold(1, (_, res) => res.writeHead(200, { 'content-type': 'audio/mpeg' }).end('sound')),
    async (on) => {
      await ask(on, '/audio/speech', json({ model: 'speaker', voice: 'a', input: 'x'.repeat(1_000) }));
      assert.equal(inUsd((await settled(on)).costNanoUsd), 0.015);
      await ask(on, '/audio/speech', json({ model: 'speaker', voice: 'a', input: ['x'.repeat(1_000)] }));
      assert.ok((inUsd((await settled(on)).costNanoUsd) ?? 0) >= 0.015);
      assert.equal(
        (await ask(on, '/audio/speech', json({ model: 'speaker', Input: 'x'.repeat(9), input: '' }))).status,
        400,
      );
    },
  );
});

describe('pictures', () => {
  const pictures =
    (count: number): Answer =>
    (_, res) =>
      jsonAnswer(res, { created: 1, data: Array.from({ length: count }, () => ({ b64_json: 'AA"\\,[]{}' })) });

  forwardsOnBareHost(
    'are paid for by the number asked for, or made where that is more, whatever else the body says',
    sold(10, pictures(1)),
    async (on) => {
      const asked: readonly [object, number][] = [
        [{}, 1],
        [{ n: 3 }, 3],
        [{ n: null }, 1],
        [{ n: '3' }, 3],
        [{ n: 2.5 }, 3],
        [{ n: -1 }, 10],
        [{ n: 'many' }, 10],
        [{ n: [3] }, 10],
        [{ n: 2, input: 'a text of which characters are none' }, 2],
        [{ n: 2, characters: 1, images: 0 }, 2],
      ];
      for (const [more, count] of asked) {
        await ask(on, '/images/generations', json({ model: 'painter', prompt: 'x', ...more }));
        const { costNanoUsd, reservedNanoUsd } = await settled(on);
        assert.deepEqual(
          [costNanoUsd, reservedNanoUsd],
          [count * 40_000_000, count * 40_000_000],
          JSON.stringify(more),
        );
      }
      for (const name of ['N', 'Model', 'INPUT']) {
        assert.equal((await ask(on, '/images/generations', json({ model: 'painter', [name]: 'x' }))).status, 400, name);
      }
      on.upstream.answerWith(pictures(4));
      await ask(on, '/images/generations', json({ model: 'painter', prompt: 'x', num_images: 4 }));
      const more = await settled(on);
      assert.equal(inUsd(more.costNanoUsd), 0.16);
      assert.equal(more.isOverReserved, true);
    },
  );

  forwardsOnBareHost(
    'of a form are as many as it names, and the most there may be where that cannot be told',
    sold(10, pictures(2)),
    async (on) => {
      const asked: readonly [Record<string, string>, number][] = [
        [{}, 2],
        [{ n: '2' }, 2],
        [{ n: '5' }, 5],
        [{ n: 'many' }, 10],
        [{ 'n[]': '3' }, 10],
        [{ N: '3' }, 10],
      ];
      for (const [fields, count] of asked) {
        const { status } = await ask(on, '/images/edits', form({ model: 'painter', prompt: 'x', ...fields }));
        assert.equal(status, 200);
        const { costNanoUsd, isOverReserved } = await settled(on);
        assert.deepEqual([costNanoUsd, isOverReserved], [count * 40_000_000, false], JSON.stringify(fields));
      }
      assert.equal((await ask(on, '/images/edits', form({ model: 'painter', n: '11' }))).status, 403);
      await ask(on, '/images/variations', form({ model: 'painter', n: '3' }, 10, SMALL_SECRET));
      assert.equal(inUsd((await settled(on)).costNanoUsd), 0.12);
      await ask(on, '/images/variations', form({ model: 'painter', n: 'many' }, 10, SMALL_SECRET));
      assert.equal(inUsd((await settled(on)).costNanoUsd), 0.08);
    },
  );

  it('are counted in the list of an answer, however it is cut', () => {
    const answers: readonly [string, number | undefined][] = [
      ['{"created":1,"data":[{"b64_json":"AA"},{"b64_json":"BB"}]}', 2],
      ['{"data":[]}', 0],
      [' { "data" : [ {} ] , "x" : [1,2,3] }', 1],
      ['{"x":{"data":[1,2,3]},"data":[{"a":[1,2],"b":{"c":1}},2]}', 2],
      ['{"data":"[1,2]","more":[1]}', undefined],
      ['{"more":[1,2],"datas":[1],"dat":[1]}', undefined],
      ['{"data":[{"revised_prompt":"a \\"quote\\", and ]} \\\\"},{"x":1}]}', 2],
      ['[{"data":[1]}]', undefined],
      ['{"data":[1,2', undefined],
    ];
    for (const [answer, count] of answers) {
      for (const size of [1, 2, 3, answer.length]) {
        const counter = new DataCounter();
        for (let at = 0; at < answer.length; at += size) counter.addPiece(Buffer.from(answer.slice(at, at + size)));
        assert.equal(counter.count, count, `${answer} by ${size}`);
      }
    }
  });
});
