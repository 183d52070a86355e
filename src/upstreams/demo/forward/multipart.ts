import { malformedForm } from './forward-errors.js';

/** One part of a multipart form. */
export interface FormPart {
  readonly name: string;
  /** `undefined`: a field, not a file. */
  readonly filename: string | undefined;
  /** A view into the form's bytes. */
  readonly bytes: Buffer;
}

const MAX_PARTS = 100;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_FILENAME_LENGTH = 255;

/**
 * The parts of a `multipart/form-data` body. Ours because the platform's `formData()` refuses names without quotes,
 * which .NET's clients send, and puts no bound to the number of parts.
 * @throws {GatewayError} 400 for what is no such form.
 */
export function parseMultipart(body: Buffer, contentType: string): readonly FormPart[] {
  const delimiter = Buffer.from(`\r\n--${boundaryOf(contentType)}`, 'latin1');
  const parts: FormPart[] = [];
  // The first delimiter may stand at the very beginning, without the line break before it.
  let at = delimiter.subarray(2).equals(body.subarray(0, delimiter.length - 2)) ? -2 : body.indexOf(delimiter);
  if (at === -1) throw malformedForm('its boundary does not occur');
  for (;;) {
    const begin = afterDelimiter(body, at + delimiter.length);
    if (begin === undefined) return parts;
    if (parts.length === MAX_PARTS) throw malformedForm(`it has more than ${MAX_PARTS} parts`);
    const head = body.subarray(begin, begin + MAX_HEADER_BYTES);
    const headBytes = head.subarray(0, 2).toString('latin1') === '\r\n' ? -2 : head.indexOf('\r\n\r\n');
    if (headBytes === -1) throw malformedForm('the headers of a part do not end');
    const content = begin + headBytes + 4;
    at = body.indexOf(delimiter, content - 2);
    if (at === -1) throw malformedForm('it does not end with its boundary');
    parts.push(partOf(head.toString('utf8', 0, Math.max(headBytes, 0)), body.subarray(content, Math.max(at, content))));
  }
}

function boundaryOf(contentType: string): string {
  const found = /;\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s";,]{1,70}))\s*(?:;|$)/i.exec(contentType);
  const boundary = found?.[1] ?? found?.[2];
  if (boundary === undefined) throw malformedForm('its content type names no boundary of 1 to 70 characters');
  return boundary;
}

/** Where the part after a delimiter begins; `undefined` after the last. */
function afterDelimiter(body: Buffer, at: number): number | undefined {
  const rest = body.toString('latin1', at, at + 64);
  if (rest.startsWith('--')) return undefined;
  const padding = /^[ \t]*\r\n/.exec(rest);
  if (padding === null) throw malformedForm('a line begins with its boundary and goes on');
  return at + padding[0].length;
}

function partOf(head: string, bytes: Buffer): FormPart {
  const line = head.split('\r\n').find((text) => /^content-disposition\s*:/i.test(text));
  if (line === undefined) throw malformedForm('a part has no content-disposition');
  const params = new Map<string, string>();
  for (const [, name = '', quoted, bare = ''] of line.matchAll(
    /;\s*([\w*]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s"]*))/g,
  ))
    params.set(name.toLowerCase(), quoted === undefined ? bare : unquoted(quoted));
  const name = params.get('name');
  if (name === undefined) throw malformedForm('a part has no name');
  const filename = extended(params.get('filename*')) ?? params.get('filename');
  return { name, filename: filename === undefined ? undefined : filenameOf(filename), bytes };
}

/** A backslash is an escape before a quote only: Windows' clients send whole paths. Browsers escape as in a URL. */
function unquoted(text: string): string {
  return text
    .replace(/\\(["\\])/g, '$1')
    .replace(/%22/g, '"')
    .replace(/%0[DA]/gi, ' ');
}

/** RFC 5987's `utf-8''na%C3%AFve.txt`. */
function extended(value: string | undefined): string | undefined {
  const encoded = /^utf-8'[^']*'(.*)$/i.exec(value ?? '')?.[1];
  if (encoded === undefined) return undefined;
  try {
    return decodeURIComponent(encoded);
  } catch {
    return undefined;
  }
}

function filenameOf(text: string): string {
  return text
    .replace(/\p{Cc}/gu, ' ')
    .slice(0, MAX_FILENAME_LENGTH)
    .toWellFormed();
}
