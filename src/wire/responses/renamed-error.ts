import { GatewayError } from '../../base/errors.js';

/** Members of a chat completion that a response has under another name. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ['max_completion_tokens', 'max_output_tokens'],
  ['max_tokens', 'max_output_tokens'],
  ['reasoning_effort', 'reasoning.effort'],
  ['verbosity', 'text.verbosity'],
  ['logprobs', 'top_logprobs'],
  ['messages', 'input'],
  ['response_format', 'text.format'],
]);

/** A member with its path, as errors write it. Names that are words of English count only where they stand in quotes. */
const MENTIONED =
  /(?<!\w)(?:max_completion_tokens|max_tokens|reasoning_effort|(?:response_format|tools|tool_choice|messages)(?:\.\w{1,64}|\[\w{1,64}\]){0,16})(?!\w)|(?<=['"`])(?:verbosity|logprobs)(?=['"`])/g;

/** The same error in the names of `/v1/responses`: the client knows nothing of the chat completion that was made of its request. */
export function inNamesOfResponses(error: GatewayError): GatewayError {
  const { status, type, code, retryAfterMs, shouldRetry, headers, cause } = error;
  const message = error.message.replace(MENTIONED, (name, at: number) =>
    isProse(error.message, name, at) ? name : renamed(name),
  );
  const param = error.param === null ? null : (NAMES.get(error.param) ?? error.param.replace(MENTIONED, renamed));
  if (message === error.message && param === error.param) return error;
  return new GatewayError({ status, type, code, retryAfterMs, shouldRetry, headers, cause, message, param });
}

/** Whether a bare `messages` is the word, as in "the length of the messages". */
function isProse(message: string, name: string, at: number): boolean {
  return name === 'messages' && !/['"`]/.test(message.charAt(at - 1));
}

function renamed(path: string): string {
  const [name = ''] = path.split(/[.[]/, 1);
  const rest = path.slice(name.length);
  const to = NAMES.get(name) ?? name;
  if (name === 'messages') return to;
  if (name === 'response_format') return to + rest.replace('.json_schema', '');
  if (name !== 'tools' && name !== 'tool_choice') return to + rest;
  return name + rest.replace(/\.(?:function|custom|allowed_tools)(?=[.[]|$)/, '').replace('.format.grammar', '.format');
}
