import type { JsonObject } from '../../../base/json.js';
import { optionalDecimal, optionalInteger, optionalObject, optionalString, stringsIn } from '../../../wire/members.js';
import { missingParameter } from '../../../wire/request-errors.js';
import { nextTurn } from '../turns.js';
import { attributeFilter } from './attribute-filter.js';
import { chunksOf, textOf } from './text-chunks.js';
import { similarityTo } from './text-similarity.js';
import type { StoredEntry } from './vector-stores.js';

interface Hit {
  readonly entry: StoredEntry;
  readonly score: number;
  readonly text: string;
}

const CHUNKS_PER_TURN = 32;
const MAX_QUERY_LENGTH = 4_096;

/** The page of results for a search among those files: their chunks, the most alike first. */
export async function searchEntries(
  entries: readonly StoredEntry[],
  body: JsonObject,
  signal: AbortSignal,
): Promise<JsonObject> {
  const queries = readQueries(body);
  const max = optionalInteger('max_num_results', body.max_num_results, { min: 1, max: 50 }) ?? 10;
  const threshold = readThreshold(body);
  const passes = body.filters === undefined || body.filters === null ? () => true : attributeFilter(body.filters);
  const score = similarityTo(queries.join(' '));
  const hits: Hit[] = [];
  let seen = 0;
  for (const entry of entries.filter(({ attributes }) => passes(attributes))) {
    for (const text of chunksOf(textOf(entry.file.bytes) ?? '', entry.chunking)) {
      seen += 1;
      if (seen % CHUNKS_PER_TURN === 0) await nextTurn(signal);
      const hit = { entry, score: score(text), text };
      if (hit.score >= threshold) keepBest(hits, hit, max);
    }
  }
  return {
    object: 'vector_store.search_results.page',
    search_query: queries,
    data: hits.map(hitBody),
    has_more: false,
    next_page: null,
  };
}

function readQueries({ query }: JsonObject): readonly string[] {
  if (query === undefined || query === null) throw missingParameter('query');
  const queries = typeof query === 'string' ? [query] : stringsIn('query', query, 32);
  for (const text of queries) optionalString('query', text, MAX_QUERY_LENGTH);
  return queries;
}

function readThreshold(body: JsonObject): number {
  const threshold = optionalObject('ranking_options', body.ranking_options)?.score_threshold;
  return optionalDecimal('ranking_options.score_threshold', threshold, { min: 0, max: 1 }) ?? 0;
}

/** Keeps the list sorted and no longer than `max`; of equals the earlier comes first. */
function keepBest(hits: Hit[], hit: Hit, max: number): void {
  const worse = hits.findIndex(({ score }) => score < hit.score);
  hits.splice(worse === -1 ? hits.length : worse, 0, hit);
  if (hits.length > max) hits.pop();
}

function hitBody({ entry, score, text }: Hit): JsonObject {
  const { file, attributes } = entry;
  return { file_id: file.id, filename: file.filename, score, attributes, content: [{ type: 'text', text }] };
}
