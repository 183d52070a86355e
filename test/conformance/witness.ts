import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { tapAnswer } from './answer-tap.js';
import { type AnswerKind, listed, openaiDescription, type Violation } from './description.js';
import { type BodyReader, documentsOf, eventReader, jsonReader } from './read-documents.js';

/** A JSON document that a client got from the gateway: a whole answer, or the data of one event. */
interface Testimony extends AnswerKind {
  readonly isEvent: boolean;
  readonly text: string;
  /** The test that received it first. */
  readonly test: string;
}

/** Sees what clients get and what upstreams say. */
export interface Witness {
  /** The gateway's host, watched. @param mountPath where in the host the gateway is */
  watched(listener: RequestListener, mountPath: string): RequestListener;
  /** An upstream's server, overheard. */
  overheard(listener: RequestListener): RequestListener;
  /** Takes what an upstream writes over a bare socket in answer to one request, head and all, piece by piece. */
  upstreamAnswers(): (bytes: string | Uint8Array) => void;
  /** For upstreams within the process: says that this is what one says, and returns it. */
  upstreamSays<T>(document: T): T;
  /** From here on, this test is the one that runs. */
  testBegins(name: string): void;
  /** Distinct documents received. What differs but in ids and instants is one. */
  distinct(): readonly string[];
  /** In words, each document that is not what OpenAI describes and is the gateway's own doing. */
  violations(): readonly string[];
  /** Forgets all that was received and said. */
  forget(): void;
}

/** Of an upstream's answer, so much is remembered as evidence. */
const MAX_EVIDENCE_BYTES = 1_048_576;

const OUTSIDE = '(outside of tests)';

/**
 * What passes through is the upstream's, good or bad: the gateway promises to change nothing in it. So a violation is
 * excused when, in the same test, an upstream itself said something with the very same violation at the very same place.
 * Nothing else is excused: errors, translated responses, stored objects, lists, and whatever `demo()` or `fromFunction`
 * say have no upstream's bytes to point at, and what the gateway damages in a well-formed answer has none either.
 */
export function witness(): Witness {
  const received = new Map<string, Testimony>();
  /** By test, the answers of its upstreams, in pieces. */
  const evidence = new Map<string, Uint8Array[][]>();
  let test = OUTSIDE;

  function record(kind: AnswerKind, text: string, isEvent: boolean): void {
    const { method, path, status, mediaType } = kind;
    const key = withoutChance(`${method} ${path} ${status} ${mediaType}\n${text}`);
    if (!received.has(key)) received.set(key, { ...kind, isEvent, text, test });
  }

  function upstreamAnswers(): (bytes: string | Uint8Array) => void {
    const pieces: Uint8Array[] = [];
    let length = 0;
    const answers = evidence.get(test) ?? [];
    evidence.set(test, answers);
    answers.push(pieces);
    return (bytes) => {
      length += bytes.length;
      if (length <= MAX_EVIDENCE_BYTES) pieces.push(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
    };
  }

  function isExcused(place: string, violations: readonly Violation[], name: string): boolean {
    const answers = [...(evidence.get(name) ?? []), ...(evidence.get(OUTSIDE) ?? [])];
    const said = answers.flatMap((pieces) => documentsOf(Buffer.concat(pieces))).flatMap(parsed);
    const excuses = new Set(said.flatMap((value) => openaiDescription().violations(place, value)).map(anywhere));
    return violations.every((violation) => excuses.has(anywhere(violation)));
  }

  return {
    watched: (listener, mountPath) => (req, res) => {
      watchAnswer(req, res, mountPath, record);
      listener(req, res);
    },
    overheard: (listener) => (req, res) => {
      const said = upstreamAnswers();
      said('\r\n\r\n');
      tapAnswer(res, { piece: said, ended: () => {} });
      listener(req, res);
    },
    upstreamAnswers,
    upstreamSays(document) {
      upstreamAnswers()(`\r\n\r\n${JSON.stringify(document)}`);
      return document;
    },
    testBegins: (name) => {
      test = name;
    },
    distinct: () => [...received.keys()],
    forget() {
      received.clear();
      evidence.clear();
      test = OUTSIDE;
    },
    violations: () =>
      [...received.values()].flatMap((testimony) => {
        const { place, violations } = judged(testimony);
        if (violations.length === 0 || isExcused(place, violations, testimony.test)) return [];
        const { method, path, status, text } = testimony;
        return [`${testimony.test}: ${method} ${path} ${status}: ${listed(violations)}\n    ${text.slice(0, 600)}`];
      }),
  };
}

interface Judgement {
  /** Of the schema that it was held against. */
  readonly place: string;
  readonly violations: readonly Violation[];
}

function judged(testimony: Testimony): Judgement {
  const { path, status, isEvent, text } = testimony;
  const place = openaiDescription().schemaOf(testimony) ?? '';
  const because = (message?: string): Judgement => ({
    place: 'ErrorResponse',
    violations: message === undefined ? [] : [{ at: '', message }],
  });
  // The content of a user's file is no answer in OpenAI's words, even where it is JSON.
  if (/^\/files\/[^/]+\/content$/.test(path) && status === 200) return because();
  if (place === '') return because('is of a kind that the description does not know');
  const isOfResponses = path.startsWith('/responses');
  if (isEvent && text === '[DONE]') return because(isOfResponses ? 'is not how responses end' : undefined);
  const [value] = parsed(text);
  if (value === undefined) return because('is no JSON');
  // In a stream an error takes the place of an event, and has the shape that errors have.
  const isError = isEvent && !isOfResponses && text.startsWith('{"error":');
  const schema = isError ? '/components/schemas/ErrorResponse' : place;
  return { place: schema, violations: openaiDescription().violations(schema, value) };
}

/** Notes what is written to `res` when it is the gateway that answers, which its request id tells. */
function watchAnswer(
  req: IncomingMessage,
  res: ServerResponse,
  mountPath: string,
  record: (kind: AnswerKind, text: string, isEvent: boolean) => void,
): void {
  const method = req.method ?? 'GET';
  const path = pathBelow(mountPath, req.url ?? '/');
  let reader: BodyReader | undefined;

  function readerFor(headers: Readonly<Record<string, string>>): BodyReader {
    const mediaType = headers['content-type']?.split(';')[0]?.trim().toLowerCase() ?? '';
    const isOurs = /^req_[0-9a-f]{32}$/.test(headers['x-request-id'] ?? '') && method !== 'HEAD';
    const noted = (isEvent: boolean) => (text: string) =>
      record({ method, path, status: res.statusCode, mediaType }, text, isEvent);
    if (isOurs && mediaType === 'application/json') return jsonReader(headers, noted(false));
    if (isOurs && mediaType === 'text/event-stream') return eventReader(noted(true));
    return { take: () => {}, ended: () => {} };
  }
  tapAnswer(res, {
    piece(bytes, headers) {
      reader ??= readerFor(headers);
      reader.take(bytes);
    },
    ended: () => reader?.ended(),
  });
}

/** The path below the mount point and `/v1`. */
function pathBelow(mountPath: string, url: string): string {
  const path = (url.split('?')[0] ?? '').replace(/^https?:\/\/[^/]*/i, '').replace(/\/{2,}/g, '/');
  const below = path.startsWith(mountPath) ? path.slice(mountPath.length) : path;
  return below.replace(/^\/v1(?=\/|$)/, '').replace(/\/$/, '');
}

/** The value of a JSON text, or nothing. */
function parsed(text: string): readonly unknown[] {
  try {
    return [JSON.parse(text)];
  } catch {
    return [];
  }
}

/** Without what is different each time: ids, and instants. */
function withoutChance(text: string): string {
  return text
    .replace(/\b([a-z]{2,10}[-_])(?:[\dA-Za-z]*\d[\dA-Za-z_-]{7,})/g, '$1#')
    .replace(/("(?:created|\w+_at)":)\d+/g, '$1#');
}

/** A violation, in whichever item of a list and of whichever value it is. */
function anywhere({ at, message }: Violation): string {
  return `${at.replace(/\/\d+(?=\/|$)/g, '/#')} ${message.replace(/ \(is .*$/s, '')}`;
}
