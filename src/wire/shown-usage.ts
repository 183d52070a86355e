import { isJsonObject, type Json, type JsonObject } from '../base/json.js';

/**
 * Members of a usage by which vendors say what a call cost, which is the host's business: OpenRouter's and Perplexity's `cost`,
 * OpenRouter's `cost_details` and `is_byok`, xAI's `cost_in_usd_ticks`, DeepInfra's `estimated_cost`, Vercel's `market_cost`.
 */
const COSTS: readonly string[] = [
  'cost',
  'cost_details',
  'cost_in_usd_ticks',
  'estimated_cost',
  'is_byok',
  'market_cost',
  'total_cost',
];

/** Members of a chunk that tell usage in place of `usage`: Gemini's own name; Ollama's own API. */
const OTHER_USAGE: readonly string[] = ['usageMetadata', 'prompt_eval_count', 'eval_count'];

/** Members of a chunk that may hold a usage among others: Groq's. */
const AROUND_USAGE: readonly string[] = ['x_groq'];

/** The usage without what the call cost the host; `undefined` where it does not tell that. */
export function withoutCost(usage: Json | undefined): JsonObject | undefined {
  return isJsonObject(usage) && tellsCost(usage) ? without(usage, COSTS) : undefined;
}

/** Whether one of `COSTS` is there. By their own names: to look each up by a name that varies leaves garbage in every call. */
function tellsCost(usage: JsonObject): boolean {
  const { cost, cost_details, cost_in_usd_ticks, estimated_cost, is_byok, market_cost, total_cost } = usage;
  const told = cost ?? cost_details ?? cost_in_usd_ticks ?? estimated_cost ?? is_byok ?? market_cost ?? total_cost;
  return told !== undefined && told !== null;
}

/** The members of a chunk that a client sees otherwise. */
export interface ShownMembers {
  readonly changed: Readonly<Record<string, Json>>;
  readonly leftOut: readonly string[];
}

/** A chunk without any usage. */
export const NOTHING_TOLD: ShownMembers = { changed: {}, leftOut: [] };

/** Whether one of these members may hold a usage: seldom, and to find out which is what costs. */
export function mayTellUsage(members: Pick<ReadonlyMap<string, unknown>, 'has'>): boolean {
  return (
    members.has('usage') ||
    OTHER_USAGE.some((name) => members.has(name)) ||
    AROUND_USAGE.some((name) => members.has(name))
  );
}

/**
 * Finds what a client does not see of the usage in a chunk: all of it where it did not ask, wherever it stands, else what the call
 * cost the host. @param valueIn the value of a top-level member; `undefined` where it holds no usage for sure.
 */
export function shownUsage(
  has: (name: string) => boolean,
  valueIn: (name: string) => Json | undefined,
  hideUsage: boolean,
): ShownMembers {
  const changed: Record<string, Json> = {};
  const leftOut: string[] = [];
  const show = (name: string, shown: Json | undefined): void => {
    if (shown !== undefined) changed[name] = shown;
  };
  if (hideUsage) leftOut.push(...['usage', ...OTHER_USAGE].filter(has));
  else if (has('usage')) show('usage', withoutCost(valueIn('usage')));
  for (const name of AROUND_USAGE) if (has(name)) show(name, shownWithin(valueIn(name), hideUsage));
  const choices = valueIn('choices');
  if (Array.isArray(choices)) {
    const shown = choices.map((choice) => shownWithin(choice, hideUsage) ?? choice);
    if (shown.some((choice, at) => choice !== choices[at])) changed.choices = shown;
  }
  return { changed, leftOut };
}

/** An object without the usage in it, or without its cost; `undefined` where nothing changes. */
function shownWithin(around: Json | undefined, hideUsage: boolean): JsonObject | undefined {
  if (!isJsonObject(around) || around.usage === undefined) return undefined;
  if (hideUsage) return without(around, ['usage']);
  const usage = withoutCost(around.usage);
  return usage === undefined ? undefined : { ...around, usage };
}

function without(object: JsonObject, names: readonly string[]): JsonObject | undefined {
  if (!names.some((name) => Object.hasOwn(object, name))) return undefined;
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}
