import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import busboy from 'busboy';
import fc from 'fast-check';
import { boundaryOf, multipartModels } from '../../src/http/multipart.js';
import { runs } from '../helpers/depth.js';

const BOUNDARY = 'b0undary';

interface Seen {
  readonly models: string[];
  readonly state: string;
}

function watch(pieces: readonly (Uint8Array | string)[], boundary = BOUNDARY): Seen {
  const watcher = multipartModels(boundary);
  const models = pieces.flatMap((piece) => watcher.takePiece(Buffer.from(piece)));
  return { models, state: watcher.state };
}

const part = (head: string, content: string | Buffer = ''): Buffer =>
  Buffer.concat([Buffer.from(`--${BOUNDARY}\r\n${head}\r\n\r\n`), Buffer.from(content), Buffer.from('\r\n')]);
const field = (name: string, value: string): Buffer => part(`Content-Disposition: form-data; name="${name}"`, value);
const file = (content: string | Buffer, filename = 'a.wav'): Buffer =>
  part(`Content-Disposition: form-data; name="file"; filename="${filename}"\r\nContent-Type: audio/wav`, content);
const END = Buffer.from(`--${BOUNDARY}--\r\n`);
const form = (...parts: Buffer[]): Buffer => Buffer.concat([...parts, END]);

describe('the boundary', () => {
  const same: Record<string, string> = {
    'multipart/form-data; boundary=abc': 'abc',
    'multipart/form-data; boundary="abc"': 'abc',
    'Multipart/Form-Data;boundary=----WebKitFormBoundaryx': '----WebKitFormBoundaryx',
    'multipart/form-data; charset=utf-8; boundary=abc': 'abc',
    'multipart/form-data; boundary=abc; charset=utf-8': 'abc',
    'multipart/form-data; boundary=abc;': 'abc',
    'multipart/form-data; boundary=abc \t': 'abc',
    'multipart/form-data \t; boundary=abc \t;\t ': 'abc',
    'multipart/form-data; boundary="=_a(b)+c\'d,e/f:g?h"': "=_a(b)+c'd,e/f:g?h",
    [`multipart/form-data; boundary=${'a'.repeat(70)}`]: 'a'.repeat(70),
  };
  for (const [type, boundary] of Object.entries(same)) it(type, () => assert.equal(boundaryOf(type), boundary));

  for (const type of [
    `multipart/form-data; boundary=${'a'.repeat(71)}`,
    'multipart/form-data',
    'multipart/form-data; boundary=',
    'multipart/form-data; boundary=""',
    'multipart/mixed; boundary=abc',
    'multipart/form-data; boundary=a; boundary=b',
    'multipart/form-data; boundary=a; Boundary=b',
    'multipart/form-data; boundary*0=a; boundary*1=b',
    "multipart/form-data; boundary*=utf-8''a",
    'multipart/form-data; x="; boundary=a"; boundary=b"',
    'multipart/form-data; boundary="a\\b"',
    'multipart/form-data; boundary="a"b',
    'multipart/form-data; boundary=a b',
    'multipart/form-data, multipart/form-data; boundary=a',
    `multipart/form-data; x=${'a'.repeat(600)}; boundary=a`,
  ]) {
    it(`none: ${type.slice(0, 80)}`, () => assert.equal(boundaryOf(type), undefined));
  }
});

describe('the model of a form', () => {
  const seen: readonly (readonly [string, Buffer, string[]])[] = [
    ['first', form(field('model', 'whisper-1'), file('x')), ['whisper-1']],
    ['last', form(file('x'), field('model', 'whisper-1')), ['whisper-1']],
    ['none', form(file('x'), field('prompt', 'model')), []],
    ['without quotes', form(part('content-disposition: form-data; name=model', 'm')), ['m']],
    ['after another header', form(part('X-A: b\r\nContent-Disposition: form-data; name="model"', 'm')), ['m']],
    ['in UTF-8', form(field('model', 'modèle')), ['modèle']],
    ['empty', form(field('model', '')), ['']],
    ['only in the content of a file', form(file('name="model"\r\n\r\nm')), []],
    ['only in a file name', form(file('m', 'x; name=model; y')), []],
    ['with a delimiter in the middle of a line', form(file(`x--${BOUNDARY}\r\n`), field('model', 'm')), ['m']],
    ['after a line of its own', Buffer.concat([Buffer.from('\r\n'), form(field('model', 'm'))]), ['m']],
    ['with an epilogue', Buffer.concat([form(field('model', 'm')), Buffer.from('bye')]), ['m']],
    [
      'beside a file named in two ways',
      form(part("Content-Disposition: form-data; name=file; filename=a; filename*=utf-8''a"), field('model', 'm')),
      ['m'],
    ],
    ['beside a doubled backslash', form(file('x', 'C:\\\\x\\\\'), field('model', 'm')), ['m']],
  ];
  for (const [what, bytes, models] of seen) {
    it(what, () => {
      assert.deepEqual(watch([bytes]), { models, state: 'closed' });
      for (let at = 1; at < bytes.length; at += 1) {
        assert.deepEqual(
          watch([bytes.subarray(0, at), bytes.subarray(at)]),
          { models, state: 'closed' },
          `cut at ${at}`,
        );
      }
      assert.deepEqual(watch([...bytes].map((byte) => Uint8Array.of(byte))), { models, state: 'closed' });
    });
  }
});

describe('a form that parsers read in different ways', () => {
  const model = field('model', 'm');
  const broken: Record<string, Buffer> = {
    'two models': form(model, field('model', 'n')),
    'the same model twice': form(model, model),
    'lines that end in LF': Buffer.from(form(model).toString().replaceAll('\r\n', '\n')),
    'a part that begins after LF': form(
      model,
      file(`x\n--${BOUNDARY}\nContent-Disposition: form-data; name="model"\n\nn`),
    ),
    'a part that begins after CR': form(model, file(`x\r--${BOUNDARY}\r\n`)),
    'LF in the head of a part': form(part('X: y\nContent-Disposition: form-data; name="model"', 'n'), model),
    'something before the first part': Buffer.concat([Buffer.from('preamble\r\n'), form(model)]),
    'a part after the end': Buffer.concat([form(model), form(field('model', 'n'))]),
    'a longer delimiter': form(model, file(`x\r\n--${BOUNDARY}x\r\n`)),
    'padding after the delimiter': Buffer.from(form(model).toString().replace(`${BOUNDARY}\r\n`, `${BOUNDARY} \r\n`)),
    'a folded header': form(part('Content-Disposition: form-data;\r\n name="model"', 'n')),
    'a space before the colon': form(part('Content-Disposition : form-data; name="model"', 'n')),
    'two dispositions': form(
      part('Content-Disposition: form-data; name="x"\r\ncontent-disposition: form-data; name="model"'),
    ),
    'no disposition': form(part('X: y', 'n')),
    'no headers': Buffer.concat([Buffer.from(`--${BOUNDARY}\r\n\r\nx\r\n`), form(model)]),
    'an encoded name': form(part("Content-Disposition: form-data; name*=utf-8''model", 'n')),
    'a continued name': form(part('Content-Disposition: form-data; name*0="mo"; name*1="del"', 'n')),
    'two names': form(part('Content-Disposition: form-data; name="x"; name="model"', 'n')),
    'an escaped name': form(part('Content-Disposition: form-data; name="mo\\del"', 'n')),
    'an escaped quote': form(file('x', 'a\\"; name="model')),
    'a quote that does not end': form(part('Content-Disposition: form-data; name="model', 'n')),
    'another case': form(field('Model', 'n')),
    'a list': form(field('model[]', 'n')),
    'a member': form(field('model[0]', 'n')),
    'spaces around the name': form(field(' model ', 'n')),
    'a model that is a file': form(part('Content-Disposition: form-data; name="model"; filename="m"', 'n')),
    'a transfer encoding': form(
      part('Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: base64', 'bg=='),
    ),
    'a value of two lines': form(field('model', 'm\r\nn')),
    'a value with NUL': form(field('model', 'm\0')),
    'a value that is too long': form(field('model', 'm'.repeat(5_000))),
    'a head that is too long': form(
      part(`X: ${'y'.repeat(5_000)}\r\nContent-Disposition: form-data; name="model"`, 'n'),
    ),
    'a part that ends with its head': form(
      part(`Content-Disposition: form-data; name="x"\r\n\r\n--${BOUNDARY}\r\nX: y`),
    ),
    'the same before a good part': form(
      Buffer.from('--b0undary\r\nContent-Disposition: form-data; name="x"\r\n\r\n'),
      field('y', 'z'),
    ),
    'another disposition': form(part('Content-Disposition: attachment; name="model"', 'n')),
  };
  for (const [what, bytes] of Object.entries(broken)) {
    it(what, () => {
      assert.equal(watch([bytes]).state, 'broken');
      for (let at = 1; at < bytes.length; at += 1)
        assert.equal(watch([bytes.subarray(0, at), bytes.subarray(at)]).state, 'broken', `cut at ${at}`);
    });
  }

  it('the head of a part, or the name of a model, that reaches 4,096 bytes without an end', () => {
    const start = 'Content-Disposition: form-data; name="model"\r\n';
    for (const [bytes, state] of [
      [4_095, 'open'],
      [4_096, 'broken'],
    ] as const) {
      const head = Buffer.from(`--${BOUNDARY}\r\n${start.padEnd(bytes, 'x')}`);
      const name = Buffer.from(`--${BOUNDARY}\r\n${start}\r\n${'m'.repeat(bytes)}`);
      for (const piece of [head, name]) assert.equal(watch([piece]).state, state, String(bytes));
    }
  });

  it('one that does not end is not closed', () => {
    for (const bytes of [
      form(model).subarray(0, -4),
      part('Content-Disposition: form-data; name="model"', 'm'),
      Buffer.alloc(0),
    ])
      assert.equal(watch([bytes]).state, 'open');
  });
});

/** What a parser that many servers use makes of a form. */
function parsed(bytes: Buffer): Promise<string[] | 'refused'> {
  return new Promise((resolve) => {
    const models: string[] = [];
    const parser = busboy({ headers: { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` } });
    parser.on('field', (name, value) => {
      if (name === 'model') models.push(value);
    });
    parser.on('file', (_name, stream) => void stream.on('error', () => resolve('refused')).resume());
    parser.on('close', () => resolve(models));
    parser.on('error', () => resolve('refused'));
    parser.end(bytes);
    // It says nothing of some forms that end inside a file.
    setTimeout(() => resolve('refused'), 50);
  });
}

const token = fc.constantFrom(
  ...[
    '--',
    `--${BOUNDARY}`,
    `--${BOUNDARY}--`,
    BOUNDARY,
    '\r\n',
    '\r',
    '\n',
    '\r\n\r\n',
    ' ',
    '"',
    ';',
    ':',
    '\\',
    '\0',
    'x',
  ],
  ...[
    'Content-Disposition: form-data; name="model"',
    'name="model"',
    'Content-Disposition: form-data; name="file"; filename="a"',
  ],
  ...['content-type: text/plain', 'allowed', 'forbidden', 'model', 'filename="', 'Content-Transfer-Encoding: base64'],
);
const cuts = fc.array(fc.nat(2_000), { maxLength: 12 });

function pieces(bytes: Buffer, at: readonly number[]): Buffer[] {
  const ends = [...new Set(at.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [...ends, bytes.length].map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
}

describe('against a real parser', () => {
  const goodPart = fc.oneof(
    fc.constantFrom('allowed', 'forbidden', 'whisper-1').map((name) => field('model', name)),
    fc.array(token, { maxLength: 8 }).map((tokens) => file(tokens.join(''))),
    fc.uint8Array({ maxLength: 64 }).map((bytes) => file(Buffer.from(bytes))),
    fc.string({ maxLength: 20 }).map((text) => field('prompt', text)),
  );

  it('no form that is read here means another model there, wherever it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(goodPart, { maxLength: 5 }), cuts, async (parts, at) => {
        const bytes = form(...parts);
        const { models, state } = watch(pieces(bytes, at));
        assert.equal(state, watch([bytes]).state, 'cuts change nothing');
        if (state === 'closed') assert.deepEqual(models, await parsed(bytes));
      }),
      runs(200),
    );
  });

  it('nor does any other text', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(token, goodPart), { maxLength: 14 }), cuts, async (tokens, at) => {
        const bytes = Buffer.concat([field('x', 'y'), ...tokens.map((one) => Buffer.from(one)), END]);
        const { models, state } = watch(pieces(bytes, at));
        assert.equal(state, watch([bytes]).state);
        const others = await parsed(bytes);
        if (state === 'closed' && others !== 'refused') assert.deepEqual(models, others);
      }),
      runs(400),
    );
  });
});
