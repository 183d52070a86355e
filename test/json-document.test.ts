import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { JsonObject } from '../src/base/json.js';
import {
  ANSWER_BOUNDS,
  memberValue,
  outlinedByteLength,
  outlinedText,
  parseDocument,
  REQUEST_BOUNDS,
  replaceMembers,
  scanDocument,
} from '../src/base/json-document.js';
import { type JsonRefusal, type Members, scanTopLevel, scanWhole, TopLevelScan } from '../src/base/json-scan.js';
import { parseInTurns, scanInTurns } from '../src/base/json-turns.js';
import { runs } from './helpers/depth.js';

function parse(text: string | Uint8Array) {
  return parseDocument(typeof text === 'string' ? Buffer.from(text) : text, REQUEST_BOUNDS);
}

function document(text: string) {
  const result = parse(text);
  assert.equal(result.kind, 'document', text.slice(0, 80));
  if (result.kind !== 'document') throw new Error('unreachable');
  const { document, outline } = result;
  return { ...document, outline, value: JSON.parse(document.bytes.toString()) };
}

function reason(text: string | Uint8Array): string {
  const result = parse(text);
  return result.kind === 'refused' ? result.reason : 'document';
}

const spellOut = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Objects without the names that are refused, and without duplicates by construction. */
const objects = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()).filter((object) => {
  const text = JSON.stringify(object);
  return !/__proto__|constructor|\\ud[89a-f]/.test(text);
});

function namesOf(members: Members): string[] {
  const names: string[] = [];
  for (let member = members.first; member !== undefined; member = member.next) names.push(member.name);
  return names;
}

describe('parseDocument', () => {
  it('reads every object as JSON.parse does, however it is spaced, and knows where the members stand', () => {
    fc.assert(
      fc.property(objects, fc.constantFrom('', ' ', '\n\t'), (object, space) => {
        const text = JSON.stringify(object, null, space);
        const { value, members, bytes } = document(text);
        assert.deepEqual(value, JSON.parse(text));
        assert.deepEqual(namesOf(members).sort(), Object.keys(object).sort());
        for (const name of namesOf(members)) {
          const { start, end } = members.get(name) ?? { start: 0, end: 0 };
          assert.deepEqual(JSON.parse(bytes.toString('utf8', start, end)), value[name]);
        }
      }),
      runs(200),
    );
  });

  it('finds each of many members, whatever the length of their names, and notices every second one', () => {
    for (const count of [1, 12, 15, 16, 17, 18, 40, 300]) {
      const names = Array.from({ length: count }, (_, index) => `${index}${'n'.repeat(index % 30)}`);
      const members = names.map((name, index) => `${JSON.stringify(name)}:${index}`);
      const found = document(`{${members.join()}}`);
      assert.deepEqual(namesOf(found.members), names);
      assert.equal(found.members.size, count);
      assert.equal(found.members.has('absent'), false);
      for (const [index, name] of names.entries()) assert.equal(memberValue(found, name), index);
      for (const again of members) assert.equal(reason(`{${members.join()},${again}}`), 'duplicate');
    }
  });

  it('outlines the same shape, names the same texts and counts the same bytes, whatever they are written in', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), fc.boolean(), (given, escaped) => {
        const text = given.toWellFormed();
        const quoted = JSON.stringify(text);
        const spelt = escaped ? quoted.replace(/[^\x20-\x7e]/g, spellOut) : quoted;
        const { value, outline } = document(`{"a":[${spelt}],"n":1e3,"f":false}`);
        assert.deepEqual(value, { a: [text], n: 1_000, f: false });
        const { a, n, f } = outline.body;
        assert.deepEqual([n, f], [1_000, false]);
        const [outlined] = Array.isArray(a) ? a : [];
        assert.equal(outlinedText(outline, String(outlined)), text);
        assert.equal(outlinedByteLength(outline, String(outlined)), Buffer.byteLength(text));
      }),
      runs(200),
    );
  });

  it('never throws and never calls something a document that JSON.parse refuses', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'{}[]",:\\ \n01eE-.truefalsn') }), (text) => {
        const result = parse(text);
        if (result.kind === 'document') assert.deepEqual(result.outline.body, JSON.parse(text));
      }),
      runs(500),
    );
  });

  it('allows 64 levels and refuses the 65th before parsing', () => {
    const nested = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
    assert.equal(reason(nested(63)), 'document');
    assert.equal(reason(nested(64)), 'document');
    assert.equal(reason(nested(65)), 'depth');
    assert.equal(reason(`{"a":${'['.repeat(1_000_000)}`), 'depth');
    assert.equal(reason(`{"a":"${'['.repeat(1_000)}"}`), 'document', 'brackets inside a string do not count');
    assert.equal(reason(`{"a":"\\"${'['.repeat(1_000)}"}`), 'document', 'nor after an escaped quote');
  });

  it('refuses more keys or items than the bounds', () => {
    const keys = (count: number): string => `{${Array.from({ length: count }, (_, at) => `"${at}":1`).join(',')}}`;
    assert.equal(reason(keys(50_000)), 'document');
    assert.equal(reason(keys(50_001)), 'keys');
    assert.equal(reason(`{"a":[${'1,'.repeat(1_000_001)}1]}`), 'keys');
  });

  it('refuses a member that stands there twice, also when spelt with escapes', () => {
    assert.equal(reason('{"max_tokens":1,"max_tokens":99999}'), 'duplicate');
    assert.equal(reason('{"model":"a","\\u006dodel":"b"}'), 'duplicate');
    assert.equal(reason('{"model":"a","Model":"b"}'), 'document');
  });

  it('takes the last of such members of an answer, and keeps none of the others', () => {
    const text = '{"model":"secret-a","id":1,"model":"secret-b"}';
    const scanned = scanDocument(Buffer.from(text), ANSWER_BOUNDS);
    const parsed = parseDocument(Buffer.from(text), ANSWER_BOUNDS);
    if ('kind' in scanned || parsed.kind === 'refused') throw new Error('refused');
    for (const document of [scanned, parsed.document]) {
      assert.equal(memberValue(document, 'model'), 'secret-b');
      assert.equal(replaceMembers(document, { model: 'mine' }).toString(), '{"model":"mine","id":1}');
    }
    for (const broken of [
      '{"a":1,"a":2',
      '{"a":1,"a":"\n"}',
      Buffer.from([...Buffer.from('{"a":1,"a":"'), 0xff, 0x22, 0x7d]),
    ]) {
      assert.ok('kind' in scanDocument(Buffer.from(broken), ANSWER_BOUNDS), String(broken));
    }
  });

  it('refuses names that could reach a prototype, at any depth and in any spelling', () => {
    assert.equal(reason('{"__proto__":{"a":1}}'), 'poisoned');
    assert.equal(reason('{"a":[{"\\u005f_proto__":1}]}'), 'poisoned');
    assert.equal(reason('{"a":{"constructor":{"prototype":{"b":1}}}}'), 'poisoned');
    assert.equal(reason('{"a":"__proto__ and constructor.prototype in a prompt"}'), 'document');
    assert.equal(reason('{"constructor":{"type":"string"}}'), 'document', 'a tool may have a parameter of that name');
  });

  it('wants UTF-8, skips a byte order mark and replaces lone surrogates', () => {
    assert.equal(reason(Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d])), 'syntax');
    assert.deepEqual(document('\ufeff{"a":1}').value, { a: 1 });
    assert.deepEqual(document('{"a":"x\\ud800y","\\udc00":1}').value, { a: 'x\ufffdy', '\ufffd': 1 });
    assert.equal(document('{"a":"\\ud83d\\ude00"}').bytes.toString(), '{"a":"\\ud83d\\ude00"}', 'a pair is left alone');
  });

  it('refuses what is JSON but no object', () => {
    for (const text of ['null', '[]', '"a"', '1', 'true']) assert.equal(reason(text), 'not-an-object', text);
    for (const text of ['', ' ', '{', '{"a":}', '{"a":1}}', '{"a":1}{"b":2}', "{'a':1}"]) {
      assert.equal(reason(text), 'syntax', text);
    }
  });
});

describe('scanDocument', () => {
  const isScanned = (text: string): boolean => !('kind' in scanDocument(Buffer.from(text), ANSWER_BOUNDS));

  it('takes every object that JSON.parse takes, and reads its members as it does', () => {
    fc.assert(
      fc.property(objects, fc.constantFrom('', ' ', '\n\t'), (object, space) => {
        const scanned = scanDocument(Buffer.from(JSON.stringify(object, null, space)), ANSWER_BOUNDS);
        assert.ok(!('kind' in scanned));
        for (const name of Object.keys(object)) {
          assert.deepEqual(memberValue(scanned, name), JSON.parse(JSON.stringify(object[name])));
        }
        assert.equal(memberValue(scanned, 'no such name'), undefined);
      }),
      runs(200),
    );
  });

  it('takes of what is put together at random what JSON.parse takes, and nothing else', () => {
    const scalars = [
      '1',
      '-',
      '01',
      '1e5',
      '.5',
      '1.',
      'null',
      'nul',
      'true',
      'falsy',
      '"\\n"',
      '"\\x"',
      '"\\u00e"',
      '"\t"',
    ];
    const tokens = ['{', '}', '[', ']', ',', ':', '"a"', '"b":', '"\\\\"', '"\\u00e9\\""', '\n', ' ', ...scalars];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...tokens), { maxLength: 12 }), (pieces) => {
        const text = `{${pieces.join(' ')}`;
        assert.equal(isScanned(text), parses(text), text);
      }),
      runs(3_000),
    );
  });

  it('refuses an object that is cut off anywhere, whole of another language, or not UTF-8', () => {
    const text = '{"id":"x\\"y","choices":[{"a":{"b":[1,true,null]}}],"n":-1.5e3}';
    assert.ok(isScanned(text));
    for (let end = 0; end < text.length; end += 1) assert.ok(!isScanned(text.slice(0, end)), text.slice(0, end));
    const foreign = [
      "{'a':1}",
      '{"a":None}',
      '{a:1}',
      '<html></html>',
      '{"a":undefined}',
      '{"a":NaN}',
      '{"a":1,}',
      '{} {}',
    ];
    for (const one of foreign) assert.ok(!isScanned(one), one);
    assert.ok('kind' in scanDocument(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), ANSWER_BOUNDS));
  });
});

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe('replaceMembers', () => {
  it('gives the object with the changes, and leaves the bytes of everything else', () => {
    fc.assert(
      fc.property(objects, objects, fc.constantFrom('', '  '), (object, changes, space) => {
        const before = document(JSON.stringify(object, null, space));
        const after = document(replaceMembers(before, changes as JsonObject).toString());
        assert.deepEqual(after.value, JSON.parse(JSON.stringify({ ...object, ...changes })));
        for (const name of namesOf(before.members)) {
          const span = before.members.get(name);
          assert.ok(span);
          if (Object.hasOwn(changes, name)) continue;
          const kept = after.members.get(name);
          assert.ok(kept);
          assert.deepEqual(
            after.bytes.subarray(kept.start, kept.end),
            before.bytes.subarray(span.start, span.end),
            'an unchanged value keeps its spelling',
          );
        }
      }),
      runs(200),
    );
  });

  it('leaves one member out, wherever it stands and however it is spaced', () => {
    fc.assert(
      fc.property(objects, fc.constantFrom('', '  ', '\n\t'), fc.nat(20), (object, space, place) => {
        const entries = Object.entries(object).filter(([name]) => name !== 'usage');
        entries.splice(place % (entries.length + 1), 0, ['usage', null]);
        const before = document(JSON.stringify(Object.fromEntries(entries), null, space));
        const after = document(replaceMembers(before, {}, 'usage').toString());
        const { usage: _, ...rest } = before.value;
        assert.deepEqual(after.value, rest);
      }),
      runs(200),
    );
    const both = document('{"model":"a","usage":null}');
    assert.equal(replaceMembers(both, { model: 'b' }, 'usage').toString(), '{"model":"b"}');
    const only = document('{ "usage": {} }');
    assert.equal(replaceMembers(only, { model: 'b', n: 1 }, 'usage').toString(), '{"model":"b","n":1  }');
    assert.equal(replaceMembers(only, { model: 'b' }, 'usage', 'model').toString(), '{  }');
    const four = document('{"a":1, "b":[2],"c":{"d":3} ,"e":12345678901234567890}');
    assert.equal(replaceMembers(four, { n: 1 }, 'a', 'b', 'none', 'c').toString(), '{"n":1 ,"e":12345678901234567890}');
    assert.equal(replaceMembers(four, {}, 'b', 'e', 'c').toString(), '{"a":1 }');
    assert.equal(replaceMembers(four, {}, 'a', 'b', 'c', 'e').toString(), '{ }');
  });

  it('keeps numbers as they were spelt', () => {
    const bytes = replaceMembers(document('{"model":"a","seed":12345678901234567890,"t":1.0}'), { model: 'b' });
    assert.equal(bytes.toString(), '{"model":"b","seed":12345678901234567890,"t":1.0}');
  });
});

describe('a walk in turns', () => {
  const members = (result: Members | JsonRefusal): unknown =>
    'kind' in result
      ? result
      : namesOf(result).map((name) => [name, result.get(name)?.start, result.get(name)?.end, result.valuesWithin]);
  const walk = (text: string, step: number, isWhole: boolean): unknown => {
    const scan = new TopLevelScan(text, ANSWER_BOUNDS, isWhole);
    for (let until = step; !scan.walk(until); ) until += step;
    return members(scan.result());
  };

  it('finds what one in one go finds, wherever it pauses', () => {
    const texts = fc.oneof(
      objects.map((object) => Buffer.from(JSON.stringify(object, null, 1)).toString('latin1')),
      fc.string({ unit: fc.constantFrom(...'{}[]",:\\ \n01eE-.utrfalsn') }),
      fc
        .integer({ min: 1, max: 140 })
        .map((depth) => `{"a":${'[{"b":'.repeat(depth)}1${'}]'.repeat(depth)},"c":"\\\\\\""}`),
    );
    fc.assert(
      fc.property(texts, fc.integer({ min: 1, max: 9 }), (text, step) => {
        assert.deepEqual(walk(text, step, false), members(scanTopLevel(text, ANSWER_BOUNDS)));
        assert.deepEqual(walk(text, step, true), members(scanWhole(text, ANSWER_BOUNDS)));
        const ofBytes = TopLevelScan.ofBytes(Buffer.from(text, 'latin1'), ANSWER_BOUNDS);
        for (let until = step; !ofBytes.walk(until); ) until += step;
        assert.deepEqual(members(ofBytes.result()), members(scanWhole(text, ANSWER_BOUNDS)));
      }),
      runs(300),
    );
  });

  it('reads many bytes as few are read: texts, refusals, halves of surrogate pairs', async () => {
    const filler = `"filler":"${'ä'.repeat(600_000)}"`;
    const same = async (more: string): Promise<string> => {
      const bytes = Buffer.from(`{${filler},${more}}`);
      const [few, many] = [parseDocument(bytes, REQUEST_BOUNDS), await parseInTurns(bytes, REQUEST_BOUNDS)];
      assert.deepEqual(many, few);
      return few.kind === 'refused' ? few.reason : JSON.stringify(memberValue(few.document, 'a'));
    };
    assert.equal(await same('"a":[1,"\\ud83d\\ude00"]'), '[1,"😀"]');
    assert.equal(await same('"a":"\\ud83d x \\\\ud83d \\ude00"'), '"\ufffd x \\\\ud83d \ufffd"');
    assert.equal(await same('"a":{"\\udc00":1}'), '{"\ufffd":1}');
    assert.equal(await same('"a":1,"a":2'), 'duplicate');
    assert.equal(await same('"a":{"__proto__":1}'), 'poisoned');
    assert.equal(await same('"a":{"\\u005f_proto__":1}'), 'poisoned');
    assert.equal(await same('"a":tru'), 'syntax');
    assert.equal(await same('"a":"\\x"'), 'syntax');
    assert.equal(await same(`"a":[${'1,'.repeat(200_000)}1]`), 'keys');
    const tooLong = Buffer.from(`{"a":"${'a'.repeat(2_000_000)}"}`);
    const small = { ...REQUEST_BOUNDS, maxBytes: 1_999_999 };
    assert.deepEqual(await parseInTurns(tooLong, small), { kind: 'refused', reason: 'size' });
    assert.deepEqual(parseDocument(tooLong, small), { kind: 'refused', reason: 'size' });
    assert.ok('bytes' in (await scanInTurns(tooLong, small)), 'what is not parsed may be long');
    const rawLine = Buffer.from('{"a":"\n"}');
    assert.deepEqual(await scanInTurns(rawLine, ANSWER_BOUNDS), { kind: 'refused', reason: 'syntax' });
  });

  it('reads numbers and words as JSON has them, of at most 4,096 digits in a row', () => {
    assert.equal(reason(`{"a":${'1'.repeat(4_096)}}`), 'document');
    assert.equal(reason(`{"a":${'1'.repeat(4_097)}}`), 'syntax');
    for (const bad of ['01', '-', '1.', '.1', '1e', '1e+', '+1', '1.e1', '--1', '1_0', 'nul', 'truefalse', 'NaN'])
      assert.equal(reason(`{"a":${bad}}`), 'syntax', bad);
    for (const good of ['0', '-0', '0.5', '-1.25E+3', '1e-7', 'null', 'true', 'false'])
      assert.equal(reason(`{"a":${good}}`), 'document', good);
  });
});
