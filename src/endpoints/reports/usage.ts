import { guarded } from '../../base/awaitable.js';
import { causeOf, GatewayError, unavailable, unknownUrl } from '../../base/errors.js';
import type { JsonObject } from '../../base/json.js';
import type { Exchange } from '../../call/state.js';
import type { Config } from '../../config/config.js';
import { queryOf } from '../../http/url.js';
import type { UsageDimension, UsageGroup, UsageQuery, UsageSums } from '../../usage/usage-store.js';
import { addedSums, NO_USAGE } from '../../usage/usage-sums.js';
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
  if (groupBy.length > 0) return usageList(asked, await report(config, { ...period, only, ...groupingOf(asked) }));
  // One question, so that its sums are those of one instant.
  return usageReport(totalsOf(await report(config, { ...period, only, by: ['model'], every: 'hour' })));
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
  for (const group of groups) {
    const place = placeOf(group, asked, endpoint);
    if (place === undefined) continue;
    const name = JSON.stringify([place.bucket, place.labels]);
    results.set(name, { ...place, sums: addedSums(results.get(name)?.sums, place.sums) });
  }
  return organizationPage(asked, endpoint, [...results.values()]);
}

/** @throws {GatewayError} 503 when the store fails. */
async function report({ usage }: Config, query: UsageQuery): Promise<readonly UsageGroup[]> {
  return guarded(
    () => usage.report?.(query) ?? [],
    (error) => {
      if (error instanceof GatewayError) throw error;
      throw unavailable('ledger_unavailable', 'Usage cannot be read right now. Please retry.', causeOf(error));
    },
  );
}

/** The grouping that the store is asked for. An hour tells its day. */
function groupingOf({ groupBy }: UsageAsked): Pick<UsageQuery, 'by' | 'every'> {
  const by = groupBy.flatMap((label): UsageDimension[] =>
    label === 'model' ? [label] : label === 'key' ? ['keyId'] : [],
  );
  if (groupBy.includes('hour')) return { by, every: 'hour' };
  return groupBy.includes('day') ? { by, every: 'day' } : { by };
}

function totalsOf(groups: readonly UsageGroup[]): UsageTotals {
  const byModel = new Map<string, UsageSums>();
  const byHour = new Map<number, UsageSums>();
  let all = NO_USAGE;
  for (const { startsAt, of, sums } of groups) {
    const { model = '' } = of;
    all = addedSums(all, sums);
    byModel.set(model, addedSums(byModel.get(model), sums));
    byHour.set(startsAt, addedSums(byHour.get(startsAt), sums));
  }
  return { all, byModel, byHour };
}
