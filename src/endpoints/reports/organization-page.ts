import type { JsonObject } from '../../base/json.js';
import type { UsageGroup, UsageSums } from '../../usage/usage-store.js';
import { labelsOf, type OrganizationEndpoint } from './organization-endpoints.js';
import type { OrganizationAsked } from './organization-query.js';

/** Calls that stand in one result. */
export interface OrganizationResult {
  /** Which of the page's buckets. */
  readonly bucket: number;
  readonly labels: JsonObject;
  readonly sums: UsageSums;
}

/**
 * Where a group of calls stands on the page; `undefined`: the endpoint, or the page, does not tell of it. A store that
 * keeps hours answers minutes by the hour: it stands at its beginning, on the page that has this, or on the first.
 */
export function placeOf(
  group: UsageGroup,
  { groupBy, width, buckets, isFirstPage }: OrganizationAsked,
  { labels, tellsOf = () => true }: OrganizationEndpoint,
): OrganizationResult | undefined {
  const pageStart = Math.floor((buckets[0]?.startTime ?? 0) / width.seconds);
  const bucket = Math.floor(group.startsAt / 1_000 / width.seconds) - pageStart;
  if (!tellsOf(group.of.model ?? '') || (bucket < 0 && !isFirstPage)) return undefined;
  const known = labelsOf(group);
  const shown = labels.map((label) => [label, groupBy.includes(label) ? known[label] : null]);
  return {
    bucket: Math.max(0, bucket),
    labels: Object.fromEntries(shown),
    sums: labels.includes('batch') ? modelSums(group) : group.sums,
  };
}

/** Requests about batches are none to a model, and how many a batch made is not recorded; its tokens are. */
function modelSums({ of, sums }: UsageGroup): UsageSums {
  return of.operation === 'batches' ? { ...sums, requests: 0 } : sums;
}

/** A page of buckets as OpenAI shows it, those without results included. */
export function organizationPage(
  { buckets, nextStart }: OrganizationAsked,
  { object, figures }: OrganizationEndpoint,
  results: readonly OrganizationResult[],
): JsonObject {
  const resultsOf = buckets.map((): JsonObject[] => []);
  for (const { bucket, labels, sums } of results) {
    const said = figures(sums);
    if (said !== undefined) resultsOf[bucket]?.push({ object, ...said, ...labels });
  }
  return {
    object: 'page',
    data: buckets.map(({ startTime, endTime }, index) => ({
      object: 'bucket',
      start_time: startTime,
      end_time: endTime,
      results: resultsOf[index] ?? [],
    })),
    has_more: nextStart !== undefined,
    next_page: nextStart === undefined ? null : `page_${nextStart}`,
  };
}
