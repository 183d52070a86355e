import { isJsonObject, type Json, type JsonObject, memberCount } from '../base/json.js';
import { type JsonDocument, memberValue } from '../base/json-document.js';
import { membersIn } from '../base/json-scan.js';

/**
 * Tools that an upstream runs itself and charges for by the call: the ones that a request asks for, and the calls that an answer
 * tells. Searching is a tool, whatever asks for it.
 */
export interface HostedTools {
  /** Whether there are any. */
  readonly hasHostedTools: boolean;
  /** Their types; `undefined`: nobody can tell. */
  readonly hostedTools: readonly string[] | undefined;
}

const NONE: HostedTools = { hasHostedTools: false, hostedTools: [] };
const WEB_SEARCH = 'web_search';

/** Tools whose calls are the client's to answer. */
export const CLIENT_TOOLS: ReadonlySet<string> = new Set(['function', 'custom']);

/** Types that are no tool's: what holds tools, and how to choose among them, in OpenAI's words and in Anthropic's. */
const NO_TOOLS: ReadonlySet<string> = new Set('namespace allowed_tools auto any none required tool'.split(' '));

/**
 * Members of a chat body by which upstreams are told to search: OpenAI's and Perplexity's (types of openai 6); OpenRouter's,
 * https://openrouter.ai/announcements/introducing-web-search-via-the-api; xAI's, as @langchain/xai writes it; DashScope's and
 * Groq's, as public code sends them.
 */
function asksSearch({
  web_search_options,
  plugins,
  search_parameters,
  enable_search,
  compound_custom,
}: JsonObject): boolean {
  return (
    isAsked(web_search_options) ||
    (Array.isArray(plugins) && plugins.length > 0) ||
    (isJsonObject(search_parameters) && !isOff(search_parameters)) ||
    (isAsked(enable_search) && enable_search !== false) ||
    isAsked(compound_custom)
  );
}

function isOff(search: JsonObject): boolean {
  return search.mode === 'off' && Object.keys(search).filter((name) => isSpelt(name, 'mode')).length === 1;
}

/** Whether a member may be meant by a name: servers in Go take names in any case. */
function isSpelt(name: string, meant: string): boolean {
  return name === meant || (name.length === meant.length && name.toUpperCase().toLowerCase() === meant);
}

function isAsked(value: Json | undefined): boolean {
  return value !== undefined && value !== null;
}

/** The hosted tools of a chat completion. Almost none has any: then nothing is made. */
export function chatTools(body: JsonObject): HostedTools {
  const isSearch = asksSearch(body);
  if (!isSearch && body.tools === undefined && body.tool_choice === undefined) return NONE;
  const types = new Set<string>();
  if (isSearch) types.add(WEB_SEARCH);
  addTypes(body.tools, types, 0);
  addTypes(body.tool_choice, types, 0);
  return types.size === 0 ? NONE : { hasHostedTools: true, hostedTools: [...types] };
}

/** The hosted tools of a response. A prompt that the upstream keeps may name tools, too. */
export function responseTools(body: JsonObject): HostedTools {
  if (isAsked(body.prompt)) return { hasHostedTools: true, hostedTools: undefined };
  return chatTools(body);
}

/** Members in whose insides a tool may hide behind a second name. */
const TOOL_MEMBERS: readonly string[] = ['tools', 'tool_choice', 'search_parameters'];

/** Whether names stand twice where tools are asked for: of two, parsers do not agree which one counts. */
export function namesToolsTwice(document: JsonDocument): boolean {
  if (document.hasDistinctNames === true) return false;
  return TOOL_MEMBERS.some((name) => {
    const span = document.members.get(name);
    return span !== undefined && membersIn(document.bytes, span) !== memberCount(memberValue(document, name) ?? null);
  });
}

/** Lists in lists of tools that are looked through: namespaces are one deep. */
const MAX_NESTING = 8;

/** Adds the types of hosted tools, also of those in a namespace, or in the choice among them. */
function addTypes(value: Json | undefined, types: Set<string>, depth: number): void {
  if (Array.isArray(value)) {
    for (const tool of value) addTypes(tool, types, depth);
    return;
  }
  if (!isJsonObject(value) || depth > MAX_NESTING) return;
  const isTyped = typeof value.type === 'string';
  for (const name in value) {
    const inner = value[name];
    if (isSpelt(name, 'type') && typeof inner === 'string') addType(inner, types);
    else if (isSpelt(name, 'tools')) addTypes(inner, types, depth + 1);
    // Gemini's tools have no type but a member of that name: `{ google_search: {} }`.
    else if (!isTyped && isSearch(name)) types.add(WEB_SEARCH);
  }
}

function addType(type: string, types: Set<string>): void {
  if (CLIENT_TOOLS.has(type) || NO_TOOLS.has(type)) return;
  types.add(type);
  if (isSearch(type)) types.add(WEB_SEARCH);
}

/** Whether a tool searches the web under another name: `openrouter:web_search`, `google_search`, `browser_search`, `live_search`. */
function isSearch(name: string): boolean {
  return name.length < 64 && /(?:web|google|browser|bing|live|online)[_-]?search/i.test(name);
}

/** Calls of tools that the client runs itself. */
const OWN_CALLS: ReadonlySet<string> = new Set(
  'function_call custom_tool_call computer_call local_shell_call shell_call apply_patch_call'.split(' '),
);

/** Counts the calls of hosted tools in an answer, by type; `undefined` when there are none. */
export function readToolCalls({ output, usage }: JsonObject): Readonly<Record<string, number>> | undefined {
  const told = isJsonObject(usage) ? toldCalls(usage) : undefined;
  if (!Array.isArray(output)) return told;
  const counts = new Map<string, number>(Object.entries(told ?? {}));
  const items = new Map<string, number>();
  for (const item of output) {
    const tool = calledTool(item);
    if (tool !== undefined) items.set(tool, (items.get(tool) ?? 0) + 1);
  }
  // Of two counts of the same calls the larger one.
  for (const [tool, count] of items) counts.set(tool, Math.max(count, counts.get(tool) ?? 0));
  return counts.size === 0 ? undefined : Object.fromEntries(counts);
}

/** The hosted tool that an item of a response is a call of. */
export function calledTool(item: Json | undefined): string | undefined {
  if (!isJsonObject(item) || typeof item.type !== 'string' || !item.type.endsWith('_call')) return undefined;
  const { type, environment } = item;
  // A shell is the client's, or in a container of the upstream's.
  const isContained = type === 'shell_call' && isJsonObject(environment) && environment.type !== 'local';
  return OWN_CALLS.has(type) && !isContained ? undefined : type.slice(0, -'_call'.length);
}

/** Calls that a usage object counts: most have none, and cost four look-ups. */
function toldCalls(usage: JsonObject): Record<string, number> | undefined {
  const { server_tool_use, server_side_tool_usage_details, num_search_queries, num_sources_used } = usage;
  if ((server_tool_use ?? server_side_tool_usage_details ?? num_search_queries ?? num_sources_used) === undefined) {
    return undefined;
  }
  const counts: Record<string, number> = {};
  // Anthropic and OpenRouter: `{ web_search_requests: 2 }`; xAI: `{ web_search_calls: 2 }`.
  addCounts(counts, server_tool_use, '_requests');
  addCounts(counts, server_side_tool_usage_details, '_calls');
  // Perplexity counts queries, and xAI's live search the sources that it charges for.
  addCount(counts, WEB_SEARCH, num_search_queries);
  addCount(counts, WEB_SEARCH, num_sources_used);
  return Object.keys(counts).length === 0 ? undefined : counts;
}

function addCounts(counts: Record<string, number>, told: Json | undefined, suffix: string): void {
  if (!isJsonObject(told)) return;
  for (const [name, count] of Object.entries(told).slice(0, MAX_TOOLS)) {
    addCount(counts, name.endsWith(suffix) ? name.slice(0, -suffix.length) : name, count);
  }
}

/** More than any upstream has. */
const MAX_TOOLS = 64;

function addCount(counts: Record<string, number>, tool: string, count: Json | undefined): void {
  if (typeof count !== 'number' || !Number.isSafeInteger(count) || count <= 0) return;
  if (tool !== '__proto__') counts[tool] = Math.max(count, Object.hasOwn(counts, tool) ? (counts[tool] ?? 0) : 0);
}
