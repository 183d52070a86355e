/** The models that a form names, found while it passes. */
export interface MultipartModels {
  /** Takes the next piece of the body; gives the values of the `model` fields that became complete with it. */
  takePiece(piece: Uint8Array): string[];
  /**
   * State of the form so far. `closed`: its end was found. `broken`: it is written in a way that parsers read differently,
   * so that an upstream might find another model in it.
   */
  readonly state: 'open' | 'closed' | 'broken';
  /** Value of the field `n`. 'unclear': it stands there twice, or in another spelling. */
  readonly n: string | undefined;
  /** Whether a field may name what is elsewhere, such as `url`, `file_url` or `file_id`. */
  readonly hasAddress: boolean;
}

/** The value of a field that stands twice, or that parsers might not agree about. */
const UNCLEAR = 'unclear';

/** Most bytes of a part's headers, or of a model's name. */
const MAX_PART_HEAD = 4_096;

/** A boundary of RFC 2046: up to 70 of these characters. */
const BOUNDARY = /^[\w'()+,./:=?-]{1,70}$/;

/** Longest content type that is read. */
const MAX_CONTENT_TYPE = 512;

const CRLF = '\r\n';
const CR = 0x0d;
const LF = 0x0a;

/** The boundary that a content type names; `undefined` if it is no form's, or could be read as another boundary. */
export function boundaryOf(contentType: string): string | undefined {
  if (contentType.length > MAX_CONTENT_TYPE) return undefined;
  const { value, parameters } = parametersOf(contentType) ?? {};
  if (value?.toLowerCase() !== 'multipart/form-data') return undefined;
  const boundary = parameters?.get('boundary');
  return boundary !== undefined && BOUNDARY.test(boundary) ? boundary : undefined;
}

/**
 * Watches for the `model` field. The bytes pass on as they are, and no more of them is kept than the head of one part: a
 * file may be of any size. Only forms in the strict form that every client writes are read at all: what one parser takes for
 * a part and another for text could name one model here and another one to the upstream.
 */
export function multipartModels(boundary: string): MultipartModels {
  const delimiter = `--${boundary}`;
  const sought = Buffer.from(delimiter, 'latin1');
  /** Bytes not looked at yet, and the two before them. */
  let held: Buffer = Buffer.from(CRLF);
  let state: MultipartModels['state'] = 'open';
  let isFirst = true;
  let hasModel = false;
  let n: string | undefined;
  let hasAddress = false;

  function nextPart(bytes: Buffer, from: number): Found {
    let at = bytes.indexOf(sought, from);
    // In the middle of a line it is content.
    while (!isFirst && at !== -1 && bytes[at - 1] !== LF && bytes[at - 1] !== CR) at = bytes.indexOf(sought, at + 1);
    if (isFirst && at !== 2 && !(at === 4 && bytes.toString('latin1', 2, 4) === CRLF)) {
      const isUndecided = at === -1 && bytes.length < 4 + delimiter.length;
      return isUndecided ? { kind: 'wait', from } : { kind: 'broken' };
    }
    if (at === -1) return { kind: 'wait', from: Math.max(from, bytes.length - delimiter.length + 1) };
    if (bytes[at - 1] !== LF || bytes[at - 2] !== CR) return { kind: 'broken' };
    return state === 'closed' ? { kind: 'broken' } : readPart(bytes, at, delimiter);
  }

  /** Looks at everything that can be decided; returns where to look on when there is more. */
  function lookThrough(bytes: Buffer, found: string[]): number {
    let from = 2;
    for (;;) {
      const part = nextPart(bytes, from);
      if (part.kind === 'wait') return part.from;
      // Of two models one parser takes the first, another the last.
      if (part.kind === 'broken' || (part.kind === 'model' && hasModel)) {
        state = 'broken';
        return bytes.length;
      }
      if (part.kind === 'closed') state = 'closed';
      if (part.kind === 'model') {
        hasModel = true;
        found.push(part.model);
      }
      if (part.kind === 'n') n = n === undefined ? part.value : UNCLEAR;
      if (part.kind === 'content') hasAddress ||= part.isAddress;
      isFirst = false;
      from = part.from;
    }
  }

  return {
    get state() {
      return state;
    },
    get n() {
      return n;
    },
    get hasAddress() {
      return hasAddress;
    },
    takePiece(piece: Uint8Array): string[] {
      if (state === 'broken') return [];
      const bytes = Buffer.concat([held, piece]);
      const found: string[] = [];
      const seen = lookThrough(bytes, found);
      held = bytes.subarray(Math.max(0, seen - 2));
      return found;
    },
  };
}

/** A finding at a place of a form, and where to look on. */
type Found =
  | { readonly kind: 'closed'; readonly from: number }
  | { readonly kind: 'content'; readonly isAddress: boolean; readonly from: number }
  | { readonly kind: 'n'; readonly value: string; readonly from: number }
  | { readonly kind: 'model'; readonly model: string; readonly from: number }
  /** Too little has arrived to decide. */
  | { readonly kind: 'wait'; readonly from: number }
  | { readonly kind: 'broken' };

/** Reads the part whose delimiter stands at `at`. */
function readPart(bytes: Buffer, at: number, delimiter: string): Found {
  const start = at + delimiter.length;
  const wait = { kind: 'wait', from: at } as const;
  const next = bytes.toString('latin1', start, start + 2);
  if (next === '--') return { kind: 'closed', from: start + 2 };
  if (next.length < 2 && (CRLF.startsWith(next) || next === '-')) return wait;
  if (next !== CRLF) return { kind: 'broken' };
  const head = bytes.toString('latin1', start + 2, start + 2 + MAX_PART_HEAD);
  const end = head.indexOf(CRLF + CRLF);
  if (end === -1) return head.length < MAX_PART_HEAD ? wait : { kind: 'broken' };
  const name = fieldName(head.slice(0, end));
  if (name === undefined) return { kind: 'broken' };
  const content = start + 2 + end + 4;
  if (bytes.length < content + delimiter.length) return wait;
  // Some parsers end an empty part there, others do not.
  if (bytes.toString('latin1', content, content + delimiter.length) === delimiter) return { kind: 'broken' };
  if (/^ *n *(?:\[|$)/i.test(name)) return readCount(bytes, content, name === 'n') ?? wait;
  if (name !== 'model') return { kind: 'content', isAddress: ADDRESS.test(name), from: content };
  const text = bytes.toString('latin1', content, content + MAX_PART_HEAD);
  const valueEnd = text.indexOf(CRLF + delimiter);
  if (valueEnd === -1) return text.length < MAX_PART_HEAD ? wait : { kind: 'broken' };
  const model = Buffer.from(text.slice(0, valueEnd), 'latin1').toString('utf8');
  return hasControls(model) ? { kind: 'broken' } : { kind: 'model', model, from: content + valueEnd + 2 };
}

/** Names of fields that tell where something lies: `url` of Groq, `file_url` and `file_id` of Mistral. */
const ADDRESS = /url|uri|link|(?:^|_)id$/i;

/** Longest number that is read. */
const MAX_DIGITS = 16;

/** Reads the field `n`, which is a few digits; `undefined`: too little has arrived. @param isPlain false: in that spelling it may be none. */
function readCount(bytes: Buffer, content: number, isPlain: boolean): Found | undefined {
  const text = bytes.toString('latin1', content, content + MAX_DIGITS);
  const end = text.indexOf(CRLF);
  if (end === -1 && text.length < MAX_DIGITS) return undefined;
  const isNumber = isPlain && end > 0 && /^\d+$/.test(text.slice(0, end));
  return { kind: 'n', value: isNumber ? text.slice(0, end) : UNCLEAR, from: content };
}

/** Name of a part's field; `undefined` where another parser could find another name or value. */
function fieldName(head: string): string | undefined {
  const headers = new Map<string, string>();
  for (const line of head.split(CRLF)) {
    const [, name, value] = /^([\w-]+):[ \t]*(.*)$/s.exec(line) ?? [];
    if (name === undefined || value === undefined || /[\r\n\0]/.test(value)) return undefined;
    if (headers.has(name.toLowerCase())) return undefined;
    headers.set(name.toLowerCase(), value);
  }
  if (!/^(?:7bit|8bit|binary)?$/i.test(headers.get('content-transfer-encoding') ?? '')) return undefined;
  const { value, parameters } = parametersOf(headers.get('content-disposition') ?? '') ?? {};
  const name = parameters?.get('name');
  if (value?.toLowerCase() !== 'form-data' || name === undefined || !/^[\w .:[\]-]{1,256}$/.test(name))
    return undefined;
  const isModel = /^ *model *(?:\[|$)/i.test(name);
  // A file of that name is a model to some; `model[]` and `Model` are to others.
  return isModel && (name !== 'model' || parameters?.has('filename') || parameters?.has('filename*'))
    ? undefined
    : name;
}

function hasControls(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  return /[\x00-\x1f\x7f]/.test(text);
}

/** A header's value and its parameters, such as `form-data` and `name`. */
interface Parametrised {
  readonly value: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** One parameter. A backslash before a quote ends the value for some parsers and does not for others. */
const PARAMETER = /[ \t]*;[ \t]*([\w-]+\*?)=(?:"((?:[^"\\\r\n]|\\[^"\r\n])*)"|([^\s;"\\]*))/y;

/** Reads a value with parameters; `undefined` where parsers disagree: doubled, continued or badly quoted parameters. */
export function parametersOf(header: string): Parametrised | undefined {
  const value = /^[\w./+-]+/.exec(header)?.[0];
  if (value === undefined) return undefined;
  const parameters = new Map<string, string>();
  let at = value.length;
  const end = parametersEnd(header);
  while (at < end) {
    PARAMETER.lastIndex = at;
    const [whole, name = '', quoted, token = ''] = PARAMETER.exec(header) ?? [];
    const key = name.toLowerCase();
    // `filename*` beside `filename` is what clients write; no other name is ever encoded.
    const isEncoded = key.endsWith('*') && key !== 'filename*';
    if (whole === undefined || isEncoded || parameters.has(key)) return undefined;
    parameters.set(key, quoted ?? token);
    at += whole.length;
  }
  return { value, parameters };
}

/** Offset after the last parameter: one semicolon may follow, and space. */
function parametersEnd(header: string): number {
  const end = spaceBefore(header, header.length);
  return header[end - 1] === ';' ? spaceBefore(header, end - 1) : end;
}

function spaceBefore(text: string, end: number): number {
  let at = end;
  while (text[at - 1] === ' ' || text[at - 1] === '\t') at -= 1;
  return at;
}
