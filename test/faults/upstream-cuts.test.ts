import assert from 'node:assert/strict';
import {
  head,
  replyBytes,
  streamEvents,
  streamReplyBytes,
  unframedStreamBytes,
  wholeChat,
} from '../helpers/chat-answers.js';
import { offsets } from '../helpers/depth.js';
import { SECRET } from '../helpers/gateway-options.js';
import { inParallel } from '../helpers/in-parallel.js';
import { type RawResponse, rawChat, rawExchange } from '../helpers/raw-client.js';
import { CALL, onBareHost, type Scene } from '../helpers/scene.js';
import type { SeenRequest, Step } from '../helpers/scripted-upstream.js';
import { errorCodeOf, eventsOf, textOf, withoutUsage } from '../helpers/stream-client.js';

const PIECES = ['Once', ' üpon', ' 漢'];
const EVENTS = streamEvents(PIECES);
const TEXT = PIECES.join('');
/** The same with less around it, as every byte costs a call. */
const SHORT = EVENTS.map((event) => event.replace(/"(?:id|created|service_tier|system_fingerprint)":[^,]*,/g, ''));

/** Sends so many bytes of `bytes` as the call's `seed` says, then does `then`. */
function cutAtSeed(bytes: Buffer, then: 'reset' | 'end'): (request: SeenRequest) => Step[] {
  return (request) => [{ kind: 'send', bytes: bytes.subarray(0, Number(request.json().seed)) }, { kind: then }];
}

/** Full answer or explicit error; gives which. */
function judgeStream(response: RawResponse, offset: number, visible: readonly string[]): 'full' | 'cut' | 'refused' {
  const at = `cut at ${offset}: ${response.status} ${response.body}`;
  assert.ok(response.whole, `our own framing is never broken; ${at}`);
  if (response.status !== 200) {
    assert.equal(response.status, 502, at);
    assert.match(JSON.parse(response.body).error.code, /^upstream_/, at);
    return 'refused';
  }
  assert.match(response.body, /^(?:data: [^\n]+\n\n)+$/, `whole events only; ${at}`);
  const events = eventsOf(response.body);
  if (events.at(-1) === '[DONE]') {
    assert.deepEqual(events, visible, at);
    assert.equal(textOf(events), TEXT);
    return 'full';
  }
  assert.match(errorCodeOf(events) ?? '', /^upstream_(?:stream_interrupted|bad_response)$/, at);
  const delivered = events.slice(0, -1);
  assert.ok(delivered.length > 0, `an error before the first event has a status; ${at}`);
  assert.deepEqual(delivered, visible.slice(0, delivered.length), `every delivered event is intact; ${at}`);
  return 'cut';
}

async function cutEverywhere({ host }: Scene, bytes: Buffer, events: readonly string[]): Promise<string[]> {
  const visible = withoutUsage(eventsOf(events.join('')));
  const outcomes = new Map<number, string>();
  const places = offsets(bytes.length);
  await inParallel(places, 16, async (offset) => {
    const body = { ...CALL, stream: true, seed: offset };
    outcomes.set(offset, judgeStream(await rawExchange(host.origin, rawChat(SECRET, body)), offset, visible));
  });
  return places.map((offset) => outcomes.get(offset) ?? '');
}

/** The kinds in the order in which they first occur: with more bytes the answer never gets worse. */
function phases(outcomes: readonly string[]): string[] {
  return outcomes.filter((outcome, index) => index === 0 || outcome !== outcomes[index - 1]);
}

const framed = streamReplyBytes(EVENTS);
const short = streamReplyBytes(SHORT);
onBareHost(
  `a stream reset at any of its ${framed.length} bytes is a full answer or an explicit error, never a silent cut`,
  () => ({ broken: true, script: cutAtSeed(framed, 'reset') }),
  async (scene) => {
    assert.deepEqual(phases(await cutEverywhere(scene, framed, EVENTS)), ['refused', 'cut', 'full']);
    assert.equal(scene.setup.usage.opened.length, offsets(framed.length).length);
  },
);

onBareHost(
  'so is a stream whose connection is closed politely at any of its bytes',
  () => ({ broken: true, script: cutAtSeed(short, 'end') }),
  async (scene) => {
    assert.deepEqual(phases(await cutEverywhere(scene, short, SHORT)), ['refused', 'cut', 'full']);
  },
);

const unframed = unframedStreamBytes(SHORT.join(''));
onBareHost(
  'so is a stream without HTTP framing, where the connection’s end is the only end there is',
  () => ({ broken: true, script: cutAtSeed(unframed, 'end') }),
  async (scene) => {
    const outcomes = await cutEverywhere(scene, unframed, SHORT);
    assert.deepEqual([outcomes[0], outcomes.at(-1)], ['refused', 'full']);
    // Up to the event with the finish reason nothing may pass for a full answer.
    const finish = unframed.indexOf('"finish_reason":"stop"');
    const before = offsets(unframed.length).filter((offset) => offset < finish).length;
    assert.deepEqual(phases(outcomes.slice(0, before)), ['refused', 'cut']);
    for (const { outcome } of scene.setup.records) assert.notEqual(outcome, 'aborted');
  },
);

const SHORT_WHOLE = { choices: wholeChat('Once üpon 漢').choices };
const whole = replyBytes(SHORT_WHOLE);
for (const then of ['reset', 'end'] as const) {
  onBareHost(
    `a whole answer cut at any of its ${whole.length} bytes (${then}) is a 502, and only at its end a full answer`,
    () => ({ broken: true, script: cutAtSeed(whole, then) }),
    async ({ host, setup }) => {
      await inParallel(offsets(whole.length), 16, async (offset) => {
        const response = await rawExchange(host.origin, rawChat(SECRET, { ...CALL, seed: offset }));
        assert.equal(response.status, offset === whole.length ? 200 : 502, `cut at ${offset}: ${response.body}`);
        const body = JSON.parse(response.body);
        if (response.status === 200) assert.equal(body.choices[0].message.content, 'Once üpon 漢');
        else assert.match(body.error.code, /^upstream_/);
      });
      assert.equal(setup.records.filter((record) => record.outcome === 'ok').length, 1);
    },
  );
}

const unframedWhole = Buffer.concat([
  Buffer.from(head(200, { 'content-type': 'application/json', connection: 'close' })),
  Buffer.from(JSON.stringify(SHORT_WHOLE)),
]);
onBareHost(
  'a whole answer without HTTP framing is never half an answer',
  () => ({ broken: true, script: cutAtSeed(unframedWhole, 'end') }),
  async ({ host }) => {
    await inParallel(offsets(unframedWhole.length), 16, async (offset) => {
      const response = await rawExchange(host.origin, rawChat(SECRET, { ...CALL, seed: offset }));
      assert.equal(response.status, offset === unframedWhole.length ? 200 : 502, `cut at ${offset}: ${response.body}`);
    });
  },
);
