import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { WholeEvents } from '../../src/wire/event-buffer.js';

const token = fc.constantFrom('\n', '\r\n', '\r', '\n\n', '\r\n\r\n', 'data: {"a":"ü"}', ': ping', 'x');

it('every byte of a stream comes out once, in order, and no event before it is whole', () => {
  fc.assert(
    fc.property(fc.array(token, { maxLength: 20 }), fc.array(fc.nat(200), { maxLength: 10 }), (tokens, cuts) => {
      const bytes = Buffer.from(tokens.join(''));
      const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
      const events = new WholeEvents();
      const given = ends.map((end, index) => Buffer.from(events.passBytes(bytes.subarray(ends[index - 1] ?? 0, end))));
      for (const piece of given) assert.match(piece.toString(), /^$|(?:\n\n|\n\r\n|\r\r)$/);
      assert.equal(events.separator(), '');
      assert.deepEqual(Buffer.concat([...given, events.passRest()]), bytes);
    }),
  );
});

it('an event of more than a megabyte goes on in pieces, and another one after it needs a line of its own', () => {
  const events = new WholeEvents();
  assert.equal(events.passBytes(Buffer.alloc(1_048_576, 'x')).length, 0);
  assert.equal(events.passBytes(Buffer.from('xx')).length, 1_048_578);
  assert.equal(events.separator(), '\n\n');
  assert.equal(Buffer.from(events.passBytes(Buffer.from('x\n\ny'))).toString(), 'x\n\n');
  assert.equal(events.separator(), '');
  assert.equal(Buffer.from(events.passRest()).toString(), 'y');
});
