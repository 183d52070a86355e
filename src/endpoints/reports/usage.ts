import { guarded } from '../../base/awaitable.js';
import { causeOf, GatewayError, unavailable, unknownUrl } from '../../base/errors.js';
import type { JsonObject } from '../../base/json.js';
import { turn } from '../../base/turns.js';
import type { Exchange } from '../../call/exchange.js';
import type { Config } from '../../config/config.js';
import { queryOf } from '../../http/url.js';
import type { UsageDimension, UsageGroup, UsageQuery, UsageSums } from '../../usage/usage-store.js';
import { addedSums, CELLS_PER_TURN, NO_USAGE } from '../../usage/usage-sums.js';
import { invalidRequest } from '../../wire/request-errors.js';
import { takeRequest } from '../listing.js';

import type { OrganizationEndpoint } from './organization-endpoints.js';
import { type OrganizationResult, organizationPage, placeOf } from './organization-page.js';
import { readOrganizationQuery } from './organization-query.js';
import { readUsageQuery, type UsageAsked, type UsageTotals, usageList, usageReport } from './usage-report.js';

/** `GET /usage`: usage of all keys of the caller's owner, and of nobody else. */
export async function reportUsage(exchange: Exchange): Promise<JsonObject> {
  const { plan, request, state } = exchange;
  const { config } = state;
  if (config.usage.report === undefined) throw unknownUrl('GET', '/v1/usage');
  const asked = readUsageQuery(queryOf(request.url), config.clock.wallMs());
  await takeRequest(exchange, 'usage');
  const { startTime, endTime, groupBy } = asked;
  const period = { from: startTime * 1_000, to: endTime * 1_000 };
  const only = { owner: [plan.owner] };
  if (groupBy.length > 0)
    return usageList(asked, await report(config, { ...period, only, ...groupingOf(asked) }, MAX_SHOWN));
  // One question, so that its sums are those of one instant.
  return usageReport(await totalsOf(await report(config, { ...period, only, by: ['model'], every: 'hour' })));
}

/** One of OpenAI's organisation reports, over all keys. */
export async function reportOrganization(
  { request, state }: Exchange,
  endpoint: OrganizationEndpoint,
): Promise<JsonObject> {
  const { config } = state;
  if (config.usage.report === undefined) throw unknownUrl('GET', '/v1/organization');
  const asked = readOrganizationQuery(queryOf(request.url), endpoint, config.clock.wallMs());
  const groups = asked.question === undefined ? [] : await report(config, asked.question);
  const results = new Map<string, OrganizationResult>();
  let inTurn = 0;
  for (const group of groups) {
    inTurn += 1;
    if (inTurn % CELLS_PER_TURN === 0) await turn();
    const place = placeOf(group, asked, endpoint);
    if (place === undefined) continue;
    const name = JSON.stringify([place.bucket, place.labels]);
    results.set(name, { ...place, sums: addedSums(results.get(name)?.sums, place.sums) });
  }
  checkGroups(results.size, MAX_SHOWN);
  return organizationPage(asked, endpoint, [...results.values()]);
}

/** @throws {GatewayError} 400 for a report with too many groups, 503 when the store fails. */
async function report({ usage }: Config, query: UsageQuery, maxGroups = MAX_ADDED): Promise<readonly UsageGroup[]> {
  const groups = await guarded(
    () => usage.report?.(query) ?? [],
    (error) => {
      if (error instanceof GatewayError) throw error;
      throw unavailable('ledger_unavailable', 'Usage cannot be read right now. Please retry.', causeOf(error));
    },
  );
  checkGroups(groups.length, maxGroups);
  return groups;
}

function checkGroups(count: number, maxGroups: number): void {
  if (count <= maxGroups) return;
  throw invalidRequest(
    `The report has more than ${maxGroups} groups. Ask for a shorter period, or tell fewer things apart.`,
    'start_time',
  );
}

/** Most groups that are shown in one report: some 10 MB of JSON. */
const MAX_SHOWN = 20_000;
/** Most groups that are added up for one. */
const MAX_ADDED = 400_000;

/** The grouping that the store is asked for. An hour tells its day. */
function groupingOf({ groupBy }: UsageAsked): Pick<UsageQuery, 'by' | 'every'> {
  const by = groupBy.flatMap((label): UsageDimension[] =>
    label === 'model' ? [label] : label === 'key' ? ['keyId'] : [],
  );
  if (groupBy.includes('hour')) return { by, every: 'hour' };
  return groupBy.includes('day') ? { by, every: 'day' } : { by };
}

async function totalsOf(groups: readonly UsageGroup[]): Promise<UsageTotals> {
  const byModel = new Map<string, UsageSums>();
  const byHour = new Map<number, UsageSums>();
  let all = NO_USAGE;
  let inTurn = 0;
  for (const { startsAt, of, sums } of groups) {
    inTurn += 1;
    if (inTurn % CELLS_PER_TURN === 0) await turn();
    const { model = '' } = of;
    all = addedSums(all, sums);
    byModel.set(model, addedSums(byModel.get(model), sums));
    byHour.set(startsAt, addedSums(byHour.get(startsAt), sums));
  }
  return { all, byModel, byHour };
}
