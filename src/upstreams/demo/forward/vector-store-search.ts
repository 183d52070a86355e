import type { JsonObject } from '../../../json.js';
import { invalidType, missingParameter, numberAboveMax, numberBelowMin } from '../../../request-errors.js';
import { optionalInteger, optionalObject } from '../read-parameter.js';
import { attributeFilter } from './attribute-filter.js';
import { atMost, stringsOf } from './read-objects.js';
import { chunksOf, textOf } from './text-chunks.js';
import { similarityTo } from './text-similarity.js';
import { nextTurn } from './turns.js';
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
  const max = optionalInteger(body, 'max_num_results', [1, 50]) ?? 10;
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
  if (typeof query === 'string') return [atMost('query', query, MAX_QUERY_LENGTH)];
  return stringsOf(query, 'query', 32).map((text) => atMost('query', text, MAX_QUERY_LENGTH));
}

function readThreshold(body: JsonObject): number {
  const threshold = optionalObject(body, 'ranking_options')?.score_threshold ?? 0;
  const param = 'ranking_options.score_threshold';
  if (typeof threshold !== 'number') throw invalidType(param, 'a decimal number', threshold);
  if (threshold < 0) throw numberBelowMin(param, 'decimal', 0, threshold);
  if (threshold > 1) throw numberAboveMax(param, 'decimal', 1, threshold);
  return threshold;
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
