import type { Json, JsonObject } from '../base/json.js';
import type { JsonBounds } from '../base/json-scan.js';
import type { ChunkForm } from './chat/chunk-template.js';
import type { TokenUsage } from './usage.js';

/** A part of a stream: text or bytes of whole events, or chunks as objects. */
export type StreamChunk = string | Uint8Array | readonly JsonObject[];

/** Settings for watching the stream of one answer. */
export interface WatchOptions {
  /** Hides the usage chunk: we asked for it, the client did not. */
  readonly hideUsage: boolean;
  /** Counts a stream as finished only once it told its usage, or by `[DONE]`: the client waits for it. */
  readonly awaitsUsage: boolean;
  /** Model id to show in place of the upstream's; `undefined` leaves that as it is. */
  readonly showModel: string | undefined;
  /** The error inside a response as the client may see it. */
  readonly showError?: ((error: JsonObject) => JsonObject) | undefined;
  /** Answers asked for: the stream is finished when that many have a finish reason. */
  readonly n: number;
  /**
   * Form in which chunks are wanted. `text`: ready to be written, as text or bytes. `chunks`: objects stay objects, bytes stay
   * bytes. `objects`: always parsed, for a view that makes something else of them.
   */
  readonly takes: 'text' | 'chunks' | 'objects';
  /** Shows the chunks of a legacy completion, also where the server writes those of a chat. @default false */
  readonly isLegacy?: boolean;
  /** Form of chunks that earlier streams of the kind had; learnt from, too. @default one of this stream alone */
  readonly form?: ChunkForm | undefined;
  /** Longest single event. */
  readonly maxEventBytes: number;
  /** Bounds of an event that is parsed. @default those of a gateway without options */
  readonly bounds?: JsonBounds;
}

/**
 * Watches a stream on its way to the client. Whole events pass as the bytes they came as and are read only where they
 * must be. No event is ever half delivered: the stream can be ended properly after any piece.
 */
export interface WatchedStream {
  /** Whether the bytes of a piece need not be good any longer than until it is taken. @default false: they are kept */
  readonly takesInPlace?: boolean;
  /** Takes a piece of the upstream's stream. Returns the part that may go to the client now, `undefined` when there is none. */
  watchPiece(piece: Uint8Array | JsonObject): StreamChunk | undefined;
  /** Takes the end of the upstream's stream, which may lack its last blank line. */
  watchEnd(): StreamChunk | undefined;
  /** True once the upstream sent `[DONE]`, or a response's last event: nothing more will come. */
  readonly done: boolean;
  /** True once an event was shown; comments do not count. */
  readonly begun: boolean;
  /** True once every answer has its finish reason. */
  readonly finished: boolean;
  /** Set once the upstream reported an error, which is not passed on, or sent something that is no chunk. */
  readonly failure: StreamFailure | undefined;
  readonly usage: TokenUsage | undefined;
  /** Whether usage stood where OpenAI has it: a client that asked for it was shown it. */
  readonly hasShownUsage?: boolean;
  /** The service tier that the answer names; the latest word counts. */
  readonly serviceTier?: string | undefined;
  /** Calls of hosted tools by type. */
  readonly toolCalls?: Readonly<Record<string, number>> | undefined;
  /** The latest chunk that came as an object. */
  readonly lastChunk: JsonObject | undefined;
  /** Bytes of events that the watcher keeps. */
  readonly keptBytes?: number;
  /** Fewest output tokens that the client can have received so far. */
  deliveredTokens(): number;
}

/** The reason why a watched stream cannot go on. */
export type StreamFailure = { readonly kind: 'reported'; readonly error: Json } | { readonly kind: 'malformed' };
