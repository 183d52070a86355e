/** Calls to a model, with JSON in and JSON or events out. Named as OpenAI's SDKs name their methods. */
export const MODEL_OPERATIONS = ['chat.completions', 'completions', 'embeddings', 'moderations', 'responses'] as const;

/** One call to a model. */
export type ModelOperation = (typeof MODEL_OPERATIONS)[number];

/** Requests that are passed on as they are: bodies of any type, streamed both ways. */
export type ForwardOperation = 'images' | 'audio' | 'files' | 'uploads' | 'batches' | 'vector_stores' | 'responses';

/** Everything that can be asked of an upstream. */
export type Operation = ModelOperation | ForwardOperation;

/** Objects that clients make with an upstream and come back to by their ids. */
export type ObjectKind = 'response' | 'chat.completion' | 'file' | 'upload' | 'batch' | 'vector_store' | 'container';
