type Member = Record<string, unknown>;

/** 11 tokens in, 9 out, as responses report them. */
export const RESPONSE_USAGE = {
  input_tokens: 11,
  input_tokens_details: { cached_tokens: 4 },
  output_tokens: 9,
  output_tokens_details: { reasoning_tokens: 3 },
  total_tokens: 20,
};

export const RESPONSE_ID = 'resp_000000000000000000000000000000000000000000upstr';
export const ITEM_ID = 'msg_0000000000000000000000000000000000000000000upstr';

/** A response as api.openai.com writes it, with a field that no SDK knows. */
export function wholeResponse(text: string, more: Member = {}): Member {
  const content = [{ type: 'output_text', annotations: [], logprobs: [], text }];
  return {
    id: RESPONSE_ID,
    object: 'response',
    created_at: 1_770_950_813,
    status: 'completed',
    background: false,
    error: null,
    incomplete_details: null,
    instructions: null,
    max_output_tokens: null,
    model: 'gpt-4o-mini',
    output: [{ id: ITEM_ID, type: 'message', status: 'completed', role: 'assistant', content }],
    parallel_tool_calls: true,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    service_tier: 'default',
    store: true,
    temperature: 1,
    text: { format: { type: 'text' }, verbosity: 'medium' },
    tool_choice: 'auto',
    tools: [],
    top_logprobs: 0,
    top_p: 1,
    truncation: 'disabled',
    usage: RESPONSE_USAGE,
    user: null,
    metadata: {},
    x_unknown_to_all: { kept: [1, 2.5, 'ü'] },
    ...more,
  };
}

/** The response before it is done. */
export const unfinished = (status: 'queued' | 'in_progress', more: Member = {}): Member =>
  wholeResponse('', { status, background: true, output: [], usage: null, service_tier: 'auto', ...more });

/** One event of a response. */
export const responseEvent = (type: string, sequenceNumber: number, members: Member): string =>
  `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequenceNumber, ...members })}\n\n`;

/** The events of a streamed response that says these pieces, each exactly as it stands on the wire. */
export function responseEvents(pieces: readonly string[], more: Member = {}): string[] {
  const text = pieces.join('');
  const begun = unfinished('in_progress', { background: false, ...more });
  const item = { id: ITEM_ID, type: 'message', status: 'in_progress', role: 'assistant', content: [] };
  const at = { item_id: ITEM_ID, output_index: 0, content_index: 0 };
  const part = { type: 'output_text', annotations: [], logprobs: [], text: '' };
  const done = wholeResponse(text, more);
  const events: [string, Member][] = [
    ['response.created', { response: begun }],
    ['response.in_progress', { response: begun }],
    ['response.output_item.added', { output_index: 0, item }],
    ['response.content_part.added', { ...at, part }],
    ...pieces.map((delta): [string, Member] => ['response.output_text.delta', { ...at, delta, logprobs: [] }]),
    ['response.output_text.done', { ...at, text, logprobs: [] }],
    ['response.content_part.done', { ...at, part: { ...part, text } }],
    [
      'response.output_item.done',
      { output_index: 0, item: { ...item, status: 'completed', content: [{ ...part, text }] } },
    ],
    ['response.completed', { response: done }],
  ];
  return events.map(([type, members], index) => responseEvent(type, index, members));
}
