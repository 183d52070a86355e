import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { chunkedContentSoFar, parseHeaderLines } from '../helpers/incoming-requests.js';

type Headers = Readonly<Record<string, string>>;

/** Takes a body piece by piece. */
export interface BodyReader {
  take(bytes: Uint8Array): void;
  ended(): void;
}

/** A whole JSON body, when it ends and nothing of it is missing. */
export function jsonReader(headers: Headers, found: (text: string) => void): BodyReader {
  const pieces: Uint8Array[] = [];
  return {
    take: (bytes) => void pieces.push(bytes),
    ended() {
      const body = Buffer.concat(pieces);
      const announced = headers['content-length'];
      if (announced !== undefined && Number(announced) !== body.length) return;
      found(decompressed(body, headers['content-encoding']).toString('utf8'));
    },
  };
}

/** The data of each event, once its blank line is there. */
export function eventReader(found: (data: string) => void): BodyReader {
  const decoder = new TextDecoder();
  let waiting = '';
  return {
    take(bytes) {
      const events = (waiting + decoder.decode(bytes, { stream: true })).split(/\r?\n\r?\n/);
      waiting = events.pop() ?? '';
      for (const data of events.map(dataOf)) if (data !== '') found(data);
    },
    ended: () => {},
  };
}

/** The JSON documents in an answer's bytes, head and all: the body, or the data of its events. */
export function documentsOf(answer: Buffer): readonly string[] {
  const headEnd = answer.indexOf('\r\n\r\n');
  if (headEnd === -1) return [];
  const headers = parseHeaderLines(answer.toString('latin1', 0, headEnd).split('\r\n').slice(1));
  const rest = answer.subarray(headEnd + 4);
  const body = headers['transfer-encoding'] === 'chunked' ? chunkedContentSoFar(rest) : rest;
  const text = body.toString('utf8').replace(/^\uFEFF/, '');
  if (/^\s*[[{]/.test(text)) return [text];
  const events = text.split(/(?:\r\n|\r|\n){2}/).map(dataOf);
  return events.filter((data) => data !== '' && data !== '[DONE]');
}

function dataOf(event: string): string {
  const lines = event.split(/\r\n|\r|\n/).filter((line) => line.startsWith('data:'));
  return lines.map((line) => line.slice('data:'.length).replace(/^ /, '')).join('\n');
}

function decompressed(bytes: Buffer, encoding: string | undefined): Buffer {
  if (encoding === 'gzip') return gunzipSync(bytes);
  return encoding === 'br' ? brotliDecompressSync(bytes) : bytes;
}
