import type { JsonDocument, JsonOutline } from '../base/json-document.js';
import type { ModelOperation } from '../upstreams/upstream.js';
import { readChatRequest } from './chat/request.js';
import { type ChatStream, type ChatStreamOptions, watchChatStream } from './chat/stream.js';
import { estimateChatInput } from './estimate.js';
import type { ModelRequest } from './model-request.js';
import { estimateResponseInput, readPassedResponse } from './responses/passthrough.js';
import { watchResponsesStream } from './responses/passthrough-stream.js';
import {
  estimateTextInput,
  readCompletionRequest,
  readEmbeddingRequest,
  readModerationRequest,
} from './text-requests.js';

/** What of one operation's wire format the gateway has to know. */
export interface ModelEndpoint {
  readonly operation: ModelOperation;
  /** @throws {GatewayError} 400 for what a gateway must not pass on. */
  read(outline: JsonOutline): ModelRequest;
  /** Input tokens, on the safe side. */
  estimateInput(outline: JsonOutline, document: JsonDocument): number;
  /** Names of the output ceiling, the newest first, one of which is added where a reservation needs one. */
  readonly ceilings: readonly string[];
  /** Whether streams tell their usage only if asked by `stream_options`. */
  readonly asksUsage: boolean;
  /** The member that every whole answer has: an array. */
  readonly answerMember: string;
  watch(options: ChatStreamOptions): ChatStream;
}

const chatCompletions: ModelEndpoint = {
  operation: 'chat.completions',
  read: readChatRequest,
  estimateInput: estimateChatInput,
  ceilings: ['max_completion_tokens', 'max_tokens'],
  asksUsage: true,
  answerMember: 'choices',
  watch: watchChatStream,
};

/** By operation. */
export const MODEL_ENDPOINTS = {
  'chat.completions': chatCompletions,
  completions: {
    ...chatCompletions,
    operation: 'completions',
    read: readCompletionRequest,
    estimateInput: estimateTextInput('prompt'),
    ceilings: [],
  },
  embeddings: {
    ...chatCompletions,
    operation: 'embeddings',
    read: readEmbeddingRequest,
    estimateInput: estimateTextInput('input'),
    ceilings: [],
    answerMember: 'data',
  },
  moderations: {
    ...chatCompletions,
    operation: 'moderations',
    read: readModerationRequest,
    estimateInput: estimateTextInput('input'),
    ceilings: [],
    answerMember: 'results',
  },
  responses: {
    operation: 'responses',
    read: readPassedResponse,
    estimateInput: estimateResponseInput,
    ceilings: ['max_output_tokens'],
    asksUsage: false,
    answerMember: 'output',
    watch: watchResponsesStream,
  },
} as const satisfies Record<ModelOperation, ModelEndpoint>;
