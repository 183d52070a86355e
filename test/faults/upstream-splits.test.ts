import assert from 'node:assert/strict';
import fc from 'fast-check';
import { chunkOf, lastChunk, streamEvents, streamHead, streamReplyBytes } from '../helpers/chat-answers.js';
import { within } from '../helpers/deadline.js';
import { offsets, patience, runs } from '../helpers/depth.js';
import { SECRET } from '../helpers/gateway-options.js';
import { inParallel } from '../helpers/in-parallel.js';
import { rawChat, rawExchange } from '../helpers/raw-client.js';
import { CALL, onBareHost, type Scene, type SceneOptions } from '../helpers/scene.js';
import type { Step } from '../helpers/scripted-upstream.js';
import { eventsOf, withoutUsage } from '../helpers/stream-client.js';

/** With little around the text, as every byte costs a call. */
const EVENTS = streamEvents(['Once', ' üpon "a"', ' 漢\n\ndata: [DONE]'], { model: 'upstream-model' }).map((event) =>
  event.replace(/"(?:id|created|service_tier|system_fingerprint)":[^,]*,/g, ''),
);
const RAW = streamReplyBytes(EVENTS);

/** As it is, and where each chunk must be rewritten. */
const WAYS: readonly { readonly name: string; readonly model: string; readonly given: () => SceneOptions }[] = [
  { name: 'passed on', model: 'upstream-model', given: () => ({}) },
  { name: 'renamed', model: 'house', given: () => ({ models: { house: { upstreamModel: 'upstream-model' } } }) },
];

function visible(model: string): string[] {
  return withoutUsage(eventsOf(EVENTS.join(''))).map((event) => event.replace('"upstream-model"', `"${model}"`));
}

async function ask({ host }: Scene, model: string, seed: number): Promise<string[]> {
  const response = await rawExchange(host.origin, rawChat(SECRET, { ...CALL, model, stream: true, seed }));
  assert.equal(response.status, 200, response.body);
  return eventsOf(response.body);
}

for (const { name, model, given } of WAYS) {
  onBareHost(
    `a stream split at any of its ${RAW.length} bytes is the same stream (${name})`,
    () => ({
      ...given(),
      script: (request) => {
        const at = Number(request.json().seed);
        return [
          { kind: 'send', bytes: RAW.subarray(0, at) },
          { kind: 'send', bytes: RAW.subarray(at) },
        ];
      },
    }),
    async (scene) => {
      const expected = visible(model);
      await inParallel(offsets(RAW.length), 16, async (offset) => {
        assert.deepEqual(await ask(scene, model, offset), expected, `split at ${offset}`);
      });
      for (const record of scene.setup.records) assert.equal(record.counted, 'exact');
    },
  );

  onBareHost(
    `whatever its pieces, line ends and odd lines, a stream is the same stream (${name})`,
    given,
    async (scene) => {
      let pieces: readonly Uint8Array[] = [];
      scene.upstream.answerWith(() => piecewise(pieces));
      const expected = visible(model);
      const property = fc.asyncProperty(dressing, cutting, async ({ newline, before, after, bom }, cuts) => {
        const dressed = EVENTS.map((event, index) => {
          const lines = event.slice(0, -1) + (after[index % after.length] ?? '');
          return `${before[index % before.length] ?? ''}${lines}\n`;
        });
        const text = (bom ? '\ufeff' : '') + dressed.join('').replaceAll('\n', newline);
        pieces = split(Buffer.from(text), cuts);
        assert.deepEqual(await ask(scene, model, 0), expected, JSON.stringify(text));
      });
      await within(fc.assert(property, runs(15)), 'the property to be checked', patience(55_000));
    },
  );
}

const BEFORE = ['', ': comment\n', ': comment\n\n', 'event: message\n', 'retry: 10\n', 'event: ping\n\n', '\n'];
const AFTER = ['', 'id: 7\n', ': comment\n', 'event: message\n'];
/** What may stand around an event's data, in turns, and still be the same stream. */
const dressing = fc.record({
  newline: fc.constantFrom('\n', '\r\n', '\r'),
  /** Lines before the data, and whole events that say nothing. */
  before: fc.array(fc.constantFrom(...BEFORE), { minLength: 1, maxLength: 6 }),
  after: fc.array(fc.constantFrom(...AFTER), { minLength: 1, maxLength: 6 }),
  bom: fc.boolean(),
});
const cutting = fc.array(fc.nat(RAW.length), { maxLength: 60 });

function* piecewise(pieces: readonly Uint8Array[]): Generator<Step> {
  yield streamHead();
  for (const piece of pieces) if (piece.byteLength > 0) yield chunkOf(piece);
  yield lastChunk();
}

function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const offsets = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
  return offsets.slice(1).map((end, index) => bytes.subarray(offsets[index], end));
}
