import { guarded } from '../../base/awaitable.js';
import { causeOf, GatewayError, unavailable, unknownUrl } from '../../base/errors.js';
import type { JsonObject } from '../../base/json.js';
import type { Config } from '../../config/options.js';
import { ownerOf } from '../../keys/key-store.js';
import type { UsageDimension, UsageGroup, UsageQuery, UsageSums } from '../../usage/usage-store.js';
import { addedSums, NO_USAGE } from '../../usage/usage-sums.js';
import type { LocalCall } from '../local-routes.js';
import type { AdminAction } from '../routes.js';
import { ORGANIZATION_ENDPOINTS } from './organization-endpoints.js';
import { type OrganizationResult, organizationPage, placeOf } from './organization-page.js';
import { readOrganizationQuery } from './organization-query.js';
import { readUsageQuery, type UsageAsked, type UsageTotals, usageList, usageReport } from './usage-report.js';

/** `GET /usage`: what all keys of the caller's owner used, and nothing of anybody else. */
export async function reportUsage({ exchange, config, query }: LocalCall): Promise<JsonObject> {
  if (config.usage.report === undefined) throw unknownUrl('GET', '/v1/usage');
  const asked = readUsageQuery(query, config.clock.wallMs());
  const { startTime, endTime, groupBy } = asked;
  const period = { from: startTime * 1_000, to: endTime * 1_000 };
  const only = { owner: [ownerOf(exchange.key)] };
  if (groupBy.length > 0) return usageList(asked, await report(config, { ...period, only, ...groupingOf(asked) }));
  // One question, so that its sums are those of one instant.
  return usageReport(totalsOf(await report(config, { ...period, only, by: ['model'], every: 'hour' })));
}

/** One of OpenAI's organisation reports, over all keys. */
export async function reportOrganization(
  action: AdminAction,
  config: Config,
  query: URLSearchParams,
): Promise<JsonObject> {
  if (config.usage.report === undefined) throw unknownUrl('GET', '/v1/organization');
  const endpoint = ORGANIZATION_ENDPOINTS[action];
  const asked = readOrganizationQuery(query, endpoint, config.clock.wallMs());
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

/** How the store is to group. An hour tells its day. */
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
