import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock } from '../../../src/base/clock.js';
import type { Http1Head } from '../../../src/upstreams/http1/answer-head.js';
import { AnswerParser } from '../../../src/upstreams/http1/answer-parser.js';
import { Http1Transport } from '../../../src/upstreams/http1/pool.js';
import { serverAddressOf } from '../../../src/upstreams/server-address.js';
import { DEPTH } from '../../helpers/depth.js';
import { goodAnswer, mutated, shown, type WireAnswer } from '../../helpers/http1-answers.js';
import { type SeenAnswer, seenByNode } from '../../helpers/node-client.js';
import { Seeded } from '../../helpers/seeded.js';
import { WireServer } from '../../helpers/wire-server.js';

/** Answers with faults that are split somewhere, that are split everywhere, and that come over sockets; good ones as well. */
const SPLIT_ONCE = 1_000 * DEPTH;
const SPLIT_EVERYWHERE = 10 * DEPTH;
const OVER_SOCKETS = 100 * DEPTH;
const GOOD = 200 * DEPTH;

/** How often each thing was seen. */
class Tally {
  private readonly counts = new Map<string, number>();

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  /** The most frequent first. */
  told(): string {
    const sorted = [...this.counts].sort(([, one], [, other]) => other - one);
    return sorted.map(([what, times]) => `${times} ${what}`).join('; ');
  }
}

/** The view of an answer that our parser has of those pieces, as a connection uses it. */
function seenByParser(method: string, pieces: readonly Uint8Array[]): SeenAnswer {
  let head: Http1Head | undefined;
  const body: Buffer[] = [];
  const parser = new AnswerParser({
    onHead: (given) => {
      head = given;
    },
    onBody: (piece) => void body.push(Buffer.from(piece)),
  });
  let reason = '';
  let isClean = true;
  let isWhole = false;
  parser.begin(method);
  for (const piece of pieces) {
    if (isWhole) isClean &&= piece.length === 0;
    if (isWhole || reason !== '' || piece.length === 0) continue;
    // A copy, as the parser moves the bytes of chunks about.
    const read = parser.read(Buffer.from(piece), piece.length);
    if (typeof read === 'string') reason = read;
    else isClean = read === piece.length;
    isWhole = reason === '' && parser.isOver;
  }
  const isReusable = isWhole && isClean && head?.framing.closes === false;
  if (reason === '' && !isWhole) {
    isWhole = parser.end();
    if (!isWhole) reason = 'the end of the connection';
  }
  const end = isWhole ? 'whole' : head === undefined ? 'none' : 'cut';
  return { end, status: head?.status ?? 0, headers: pairs(head), body: Buffer.concat(body), isReusable, reason };
}

function pairs(head: Http1Head | undefined): SeenAnswer['headers'] {
  const fields = head?.fields() ?? [];
  return Array.from(
    { length: fields.length / 2 },
    (_, at) => [fields[2 * at] ?? '', fields[2 * at + 1] ?? ''] as const,
  );
}

/** Fails unless ours is as strict as Node's view of the same bytes, and sees the same where both accept. */
function judge(method: string, own: SeenAnswer, node: SeenAnswer, tally: Tally, told: () => string): void {
  if (own.end !== 'none') {
    assert.notEqual(node.end, 'none', `ours takes a head that Node refuses: ${told()}`);
    assert.equal(own.status, node.status, told());
    assert.deepEqual(own.headers, node.headers, told());
    const common = Math.min(own.body.length, node.body.length);
    assert.ok(own.body.subarray(0, common).equals(node.body.subarray(0, common)), `another body: ${told()}`);
  }
  if (own.end !== 'whole') {
    tally.count(node.end === 'whole' ? `refused by ours alone (${own.reason})` : 'refused by both');
    return;
  }
  assert.equal(node.end, 'whole', `ours accepts what Node refuses: ${told()}`);
  assert.ok(own.body.equals(node.body), `another body: ${told()}`);
  tally.count('accepted by both');
  // Node closes after an answer to HEAD that tells no length, though it has no body to wait for (RFC 9112, 6.3).
  if (own.isReusable && method !== 'HEAD')
    assert.ok(node.isReusable, `ours keeps a connection that Node closes: ${told()}`);
  else if (!own.isReusable && node.isReusable) tally.count(`closed by ours alone (${whyClosed(own)})`);
}

function whyClosed({ headers }: SeenAnswer): string {
  return headers.some(([name, value]) => name === 'connection' && /keep-alive/i.test(value))
    ? 'HTTP/1.0, which may keep it'
    : 'bytes after the end';
}

function shownAnswer({ end, status, headers, body, isReusable, reason }: SeenAnswer): string {
  return `${end} ${status} ${JSON.stringify(headers)} ${shown(body)} ${isReusable ? 'kept' : 'closed'} ${reason}`;
}

/** One answer of a seed, and all that is to be known of it where it fails. */
function caseOf(seed: number, isMutated: boolean) {
  const random = new Seeded(seed);
  const good = goodAnswer(random);
  const answer = isMutated ? mutated(good, random) : good;
  const told = (cut: number, node: SeenAnswer, own: SeenAnswer): string =>
    `seed ${seed}: ${answer.method} ${shown(answer.bytes)}, split at ${cut}\nNode: ${shownAnswer(node)}\nours: ${shownAnswer(own)}`;
  return { answer, random, told };
}

const split = ({ bytes }: WireAnswer, cut: number): Uint8Array[] => [bytes.subarray(0, cut), bytes.subarray(cut)];
/** Every place, but only some in the midst of what is huge. */
function cutsOf(length: number): number[] {
  const all = Array.from({ length: length + 1 }, (_, at) => at);
  const isDense = (at: number): boolean => at < 1_000 || at > length - 1_000 || Math.abs(at - 16_384) < 50;
  return all.filter((at) => isDense(at) || at % 97 === 0);
}

const anySeed = (): number => Math.floor(Math.random() * 2 ** 31);

describe('our parser of answers and Node’s own', () => {
  it(`agree on ${GOOD} good answers, and refuse none`, async (context) => {
    const tally = new Tally();
    for (let seed = anySeed(), left = GOOD; left > 0; seed += 1, left -= 1) {
      const { answer, random, told } = caseOf(seed, false);
      const cut = random.below(answer.bytes.length + 1);
      const node = await seenByNode(answer.method, [answer.bytes]);
      const own = seenByParser(answer.method, split(answer, cut));
      judge(answer.method, own, node, tally, () => told(cut, node, own));
      assert.equal(own.end, 'whole', told(cut, node, own));
    }
    context.diagnostic(tally.told());
  });

  it(`agree on ${SPLIT_ONCE} answers with faults, split somewhere`, async (context) => {
    const tally = new Tally();
    for (let seed = anySeed(), left = SPLIT_ONCE; left > 0; seed += 1, left -= 1) {
      const { answer, random, told } = caseOf(seed, true);
      const cut = random.below(answer.bytes.length + 1);
      const node = await seenByNode(answer.method, [answer.bytes]);
      const own = seenByParser(answer.method, split(answer, cut));
      judge(answer.method, own, node, tally, () => told(cut, node, own));
    }
    context.diagnostic(tally.told());
  });

  it(`agree on ${SPLIT_EVERYWHERE} answers with faults, wherever they are split`, async () => {
    for (let seed = anySeed(), left = SPLIT_EVERYWHERE; left > 0; seed += 1, left -= 1) {
      const { answer, told } = caseOf(seed, true);
      const node = await seenByNode(answer.method, [answer.bytes]);
      const unsplit = seenByParser(answer.method, [answer.bytes]);
      for (const cut of cutsOf(answer.bytes.length)) {
        const own = seenByParser(answer.method, split(answer, cut));
        judge(answer.method, own, node, new Tally(), () => told(cut, node, own));
        assert.deepEqual(
          { ...own, reason: '' },
          { ...unsplit, reason: '' },
          `a split changes it: ${told(cut, unsplit, own)}`,
        );
      }
      const bytes = Array.from(answer.bytes, (byte) => Uint8Array.of(byte));
      const own = seenByParser(answer.method, bytes);
      assert.deepEqual({ ...own, reason: '' }, { ...unsplit, reason: '' }, told(-1, unsplit, own));
    }
  });
});

describe('our client and Node’s own', () => {
  it(`agree on ${OVER_SOCKETS} answers, most with faults, one after the other over sockets`, async (context) => {
    const server = await WireServer.start();
    const bounds = { connections: 10, connectTimeoutMs: 5_000, headersTimeoutMs: 5_000, bodyTimeoutMs: 5_000 };
    const address = serverAddressOf(`http://127.0.0.1:${server.port}`);
    const transport = new Http1Transport(address, undefined, bounds, systemClock);
    const tally = new Tally();
    /** What became of a connection is seen by where the next request comes. */
    let judgeLast = async (_next: number): Promise<void> => {};
    try {
      for (let seed = anySeed(), left = OVER_SOCKETS; left > 0; seed += 1, left -= 1) {
        const { answer, random, told } = caseOf(seed, !new Seeded(seed).oneIn(4));
        const cut = random.below(answer.bytes.length + 1);
        const node = await seenByNode(answer.method, [answer.bytes]);
        const seen = await server.seenBy(transport, answer.method, split(answer, cut));
        await judgeLast(seen.connection);
        judgeLast = async (next) => {
          const isReusable = next === seen.connection;
          const own = { ...seen, isReusable };
          judge(answer.method, own, node, tally, () => told(cut, node, own));
          assert.ok(
            !isReusable || own.end === 'whole',
            `a connection was kept that is no good: ${told(cut, node, own)}`,
          );
          if (!isReusable) await server.isGone(seen.connection);
        };
      }
    } finally {
      await server.close();
    }
    context.diagnostic(tally.told());
  });
});
