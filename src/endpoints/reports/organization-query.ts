import type { Period, UsageQuery } from '../../usage/usage-store.js';
import { choicesParameter, integerParameter, listParameter, secondsParameter } from '../../wire/list-page.js';
import { optionalChoice } from '../../wire/members.js';
import { badRequest, missingParameter, unsupportedParameter } from '../../wire/request-errors.js';
import {
  type BucketWidth,
  type OrganizationEndpoint,
  type OrganizationLabel,
  OWNER,
} from './organization-endpoints.js';
import { checkOrder } from './usage-report.js';

/** One page of a report, as it was asked for. Unix times in seconds. */
export interface OrganizationAsked {
  readonly groupBy: readonly OrganizationLabel[];
  readonly width: BucketWidth;
  /** In their order, without gaps: the first and the last may be cut short. */
  readonly buckets: readonly { readonly startTime: number; readonly endTime: number }[];
  readonly isFirstPage: boolean;
  /** Where the next page begins; `undefined`: there is none. */
  readonly nextStart: number | undefined;
  /** The question to the store; `undefined`: nothing of the kind is recorded. */
  readonly question: UsageQuery | undefined;
}

/**
 * Reads the query of one of OpenAI's organisation reports. Buckets are UTC minutes, hours or days.
 * @throws {GatewayError} 400
 */
export function readOrganizationQuery(
  query: URLSearchParams,
  endpoint: OrganizationEndpoint,
  nowMs: number,
): OrganizationAsked {
  const name = optionalChoice('bucket_width', query.get('bucket_width'), Object.keys(endpoint.widths)) ?? '1d';
  const width = endpoint.widths[name] ?? DAYS;
  const limit = integerParameter(query, 'limit', { min: 1, max: width.maxLimit }) ?? width.defaultLimit;
  const groupBy = choicesParameter(query, 'group_by', endpoint.labels);
  for (const filter of endpoint.unknownFilters ?? []) {
    if (listParameter(query, filter).length === 0) continue;
    throw unsupportedParameter(`Unsupported parameter: '${filter}' is not recorded.`, filter);
  }
  const { startTime, endTime } = timesIn(query, width, nowMs);
  const page = pageStart(query, { startTime, endTime, width });
  const buckets = bucketsFrom(page ?? startTime, { endTime, width, limit });
  const end = buckets.at(-1)?.endTime ?? endTime;
  const period = { from: (page ?? startTime) * 1_000, to: end * 1_000 };
  return {
    groupBy,
    width,
    buckets,
    isFirstPage: page === undefined,
    nextStart: end < endTime ? end : undefined,
    question: questionFor(query, endpoint, { period, groupBy, every: width.every }),
  };
}

const DAYS: BucketWidth = { every: 'day', seconds: 86_400, defaultLimit: 7, maxLimit: 31 };

interface Times {
  readonly startTime: number;
  readonly endTime: number;
}

/** A report without end goes on to the end of the bucket that is now. */
function timesIn(query: URLSearchParams, { seconds }: BucketWidth, nowMs: number): Times {
  const startTime = secondsParameter(query, 'start_time');
  if (startTime === undefined) throw missingParameter('start_time');
  const endTime = secondsParameter(query, 'end_time');
  if (endTime !== undefined) checkOrder(startTime, endTime);
  return { startTime, endTime: endTime ?? (Math.floor(nowMs / 1_000 / seconds) + 1) * seconds };
}

/** @throws {GatewayError} 400 for a cursor that no page of the same query gave. */
function pageStart(
  query: URLSearchParams,
  { startTime, endTime, width }: Times & { readonly width: BucketWidth },
): number | undefined {
  const page = query.get('page');
  if (page === null) return undefined;
  const start = Number(/^page_(\d{1,12})$/.exec(page)?.[1] ?? Number.NaN);
  if (start > startTime && start < endTime && start % width.seconds === 0) return start;
  throw badRequest("Invalid 'page': it is no 'next_page' of the same query.", 'invalid_value', 'page');
}

function bucketsFrom(
  first: number,
  { endTime, width, limit }: { readonly endTime: number; readonly width: BucketWidth; readonly limit: number },
): OrganizationAsked['buckets'] {
  const { seconds } = width;
  const buckets: { startTime: number; endTime: number }[] = [];
  for (let start = first; start < endTime && buckets.length < limit; ) {
    const next = Math.min((Math.floor(start / seconds) + 1) * seconds, endTime);
    buckets.push({ startTime: start, endTime: next });
    start = next;
  }
  return buckets;
}

function questionFor(
  query: URLSearchParams,
  endpoint: OrganizationEndpoint,
  { period, groupBy, every }: Pick<OrganizationAsked, 'groupBy'> & { period: Period; every: BucketWidth['every'] },
): UsageQuery | undefined {
  const batch = endpoint.labels.includes('batch')
    ? optionalChoice('batch', query.get('batch'), ['true', 'false'])
    : null;
  const operations =
    endpoint.operations === 'all' || !batch
      ? endpoint.operations
      : endpoint.operations.filter((operation) => (operation === 'batches') === (batch === 'true'));
  // Nothing has a project.
  if (operations.length === 0 || listParameter(query, 'project_ids').length > 0) return undefined;
  const users = endpoint.labels.includes('user_id') ? listParameter(query, 'user_ids') : [];
  const models = endpoint.labels.includes('model') ? listParameter(query, 'models') : [];
  const keys = listParameter(query, 'api_key_ids');
  return {
    ...period,
    every,
    only: {
      ...(operations === 'all' ? {} : { operation: operations }),
      ...(users.length === 0 ? {} : { owner: users.map((user) => OWNER + user) }),
      ...(keys.length === 0 ? {} : { keyId: keys }),
      ...(models.length === 0 ? {} : { model: models }),
    },
    by: [
      ...(groupBy.includes('user_id') ? (['owner'] as const) : []),
      ...(groupBy.includes('api_key_id') ? (['keyId'] as const) : []),
      'model',
      'operation',
    ],
  };
}
