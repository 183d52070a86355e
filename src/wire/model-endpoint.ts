import type { JsonOutline } from '../base/json-document.js';
import { ChatStream } from './chat/stream.js';
import {
  DEFAULT_COMPLETION_TOKENS,
  type ModelRequest,
  readChatRequest,
  readCompletionRequest,
  readEmbeddingRequest,
  readModerationRequest,
  readPassedResponse,
} from './model-request.js';
import type { ModelOperation } from './operations.js';
import { PassedStream } from './responses/passed-stream.js';
import type { WatchedStream, WatchOptions } from './watched-stream.js';

/** The facts about one operation's wire format that the gateway has to know. */
export interface ModelEndpoint {
  readonly operation: ModelOperation;
  /** Reads the fields that we act on. @throws {GatewayError} 400 for what a gateway must not pass on. */
  read(outline: JsonOutline): ModelRequest;
  /** Names of the output ceiling, the newest first, one of which is added where a reservation needs one. */
  readonly ceilings: readonly string[];
  /** Output of one answer whose client names no ceiling, where the format says it; `undefined`: it is learned. */
  readonly usualOutputTokens?: number;
  /** Whether streams tell their usage only if asked by `stream_options`. */
  readonly asksUsage: boolean;
  /** The member that every whole answer has: an array. */
  readonly answerMember: string;
  /** Begins to watch a stream. */
  watch(options: WatchOptions): WatchedStream;
}

const chatCompletions: ModelEndpoint = {
  operation: 'chat.completions',
  read: readChatRequest,
  ceilings: ['max_completion_tokens', 'max_tokens'],
  asksUsage: true,
  answerMember: 'choices',
  watch: (options) => new ChatStream(options),
};

/** Wire formats by operation. */
export const MODEL_ENDPOINTS = {
  'chat.completions': chatCompletions,
  completions: {
    ...chatCompletions,
    operation: 'completions',
    read: readCompletionRequest,
    ceilings: ['max_tokens'],
    usualOutputTokens: DEFAULT_COMPLETION_TOKENS,
    watch: (options) => new ChatStream({ ...options, isLegacy: true }),
  },
  embeddings: {
    ...chatCompletions,
    operation: 'embeddings',
    read: readEmbeddingRequest,
    ceilings: [],
    answerMember: 'data',
  },
  moderations: {
    ...chatCompletions,
    operation: 'moderations',
    read: readModerationRequest,
    ceilings: [],
    answerMember: 'results',
  },
  responses: {
    operation: 'responses',
    read: readPassedResponse,
    ceilings: ['max_output_tokens'],
    asksUsage: false,
    answerMember: 'output',
    watch: (options) => new PassedStream(options),
  },
} as const satisfies Record<ModelOperation, ModelEndpoint>;
