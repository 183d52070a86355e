import type { Clock } from '../base/clock.js';
import { young } from '../base/young.js';
import type { TokenUsage } from '../wire/usage.js';
import type { OutgoingCall } from './answer.js';
import type { StreamAnswer } from './begin-stream.js';
import type { WholeAnswer } from './read-whole.js';
import type { Upstream } from './upstream.js';
import { CEILING_ESCAPES } from './upstream-words.js';

/** A ceiling that was put into a request. */
export interface AddedCeiling {
  readonly name: string;
  readonly tokens: number;
  /** Whether the client named it, under another name. */
  readonly isClients: boolean;
  /** The client's name for it, which is left out. */
  readonly replaced: string | undefined;
  /** Whether that name was refused: the request cannot go without this one. */
  readonly replacesRefused: boolean;
}

/** Most facts about one upstream; past them the memory starts afresh. */
const MAX_FACTS = 1_000;
/** A refused name is tried again after an hour: servers are updated, and a try costs little. */
const REFUSED_MS = 3_600_000;
/** An ignored name is tried again after a day: such a try may cost an answer without a bound. */
const IGNORED_MS = 86_400_000;

/** A guess holds for a quarter of an hour. */
const GUESSED_MS = 900_000;

/** A longer prompt may be the reason of a refusal that names something else. */
const SHORT_PROMPT_TOKENS = 2_000;
/** Refusals in a row that make sure of it. */
const SURE_REFUSALS = 3;

/** Knowledge about a field's name: why it is not sent, and until when, by the steady clock. */
interface Fact {
  readonly kind: 'refused' | 'ignored';
  readonly until: number;
  /** Input tokens from which on it is known: a shorter prompt may be taken where a long one was refused. */
  readonly fromTokens: number;
}

/** Refusals in a row that are not sure to be about the name. */
interface Suspicion {
  readonly count: number;
  /** The shortest of their prompts. */
  readonly fromTokens: number;
}

/** A refusal whose prompt cannot be the reason. */
const SURE: Suspicion = { count: SURE_REFUSALS, fromTokens: 0 };

/** Names of fields that upstreams refuse or ignore, each for one upstream, operation and model, and for a time. */
export class FieldFacts {
  private readonly byUpstream = new WeakMap<Upstream, Map<string, Fact>>();
  private readonly guesses = new WeakMap<Upstream, Map<string, number>>();
  private readonly suspicions = new WeakMap<Upstream, Map<string, Suspicion>>();
  private readonly clock: Pick<Clock, 'steadyMs'>;

  constructor(clock: Pick<Clock, 'steadyMs'>) {
    this.clock = clock;
  }

  isRefused(call: OutgoingCall, name: string): boolean {
    return this.factOf(call, name)?.kind === 'refused';
  }

  isIgnored(call: OutgoingCall, name: string): boolean {
    return this.factOf(call, name)?.kind === 'ignored';
  }

  /** Whether the name is refused or ignored. */
  isBad(call: OutgoingCall, name: string): boolean {
    return this.factOf(call, name) !== undefined;
  }

  /** Whether anything is known of the upstream. */
  hasAny({ upstream }: OutgoingCall): boolean {
    return this.byUpstream.has(upstream);
  }

  /** Whether nothing is known or guessed of the upstream, as of almost all. */
  hasNone({ upstream }: OutgoingCall): boolean {
    return !this.byUpstream.has(upstream) && !this.guesses.has(upstream);
  }

  /**
   * Remembers names that were refused as such, once leaving them out has helped: the words of clients must not decide. With a long prompt
   * the reason may be the prompt, whatever the words: then the same has to happen several times in a row, and holds for prompts as long.
   */
  rememberRefused(call: OutgoingCall, names: readonly string[]): void {
    for (const name of names) {
      const isShort = call.inputTokens <= SHORT_PROMPT_TOKENS;
      const { count, fromTokens } = isShort ? SURE : this.suspect(call, factName(call, name));
      if (count < SURE_REFUSALS) continue;
      this.remember(call, name, { kind: 'refused', until: this.clock.steadyMs() + REFUSED_MS, fromTokens });
    }
  }

  /**
   * Remembers a name of ours without which a refusal was gone that had named nothing. The reason may have been anything in the request,
   * so that it is believed of the same key's calls alone.
   */
  rememberGuess(call: OutgoingCall, name: string): void {
    if (call.inputTokens > SHORT_PROMPT_TOKENS && this.suspect(call, guessName(call, name)).count < SURE_REFUSALS)
      return;
    const guesses = this.guesses.get(call.upstream) ?? new Map<string, number>();
    this.guesses.set(call.upstream, guesses);
    if (guesses.size >= MAX_FACTS) guesses.clear();
    guesses.set(guessName(call, name), this.clock.steadyMs() + GUESSED_MS);
  }

  /** Whether the name is guessed to be refused when this key sends it without having been asked to. */
  isGuessed(call: OutgoingCall, name: string): boolean {
    const guesses = this.guesses.get(call.upstream);
    if (guesses === undefined) return false;
    return (guesses.get(guessName(call, name)) ?? 0) > this.clock.steadyMs();
  }

  /** Counts a refusal that is not sure to be about the name. */
  private suspect({ upstream, inputTokens }: OutgoingCall, key: string): Suspicion {
    const suspicions = this.suspicions.get(upstream) ?? new Map<string, Suspicion>();
    this.suspicions.set(upstream, suspicions);
    if (suspicions.size >= MAX_FACTS) suspicions.clear();
    const before = suspicions.get(key);
    const fromTokens = Math.min(before?.fromTokens ?? inputTokens, inputTokens);
    const suspicion = { count: (before?.count ?? 0) + 1, fromTokens };
    suspicions.set(key, suspicion);
    return suspicion;
  }

  /** Looks whether an answer keeps to its ceiling. One that is longer shows that the name is not known. */
  watchCeiling(call: OutgoingCall, added: AddedCeiling | undefined, answer: WholeAnswer | StreamAnswer): void {
    const { asks, endpoint } = call;
    const tokens = added?.tokens ?? asks.maxOutputTokens;
    // With one name there is no other to go to.
    if (tokens === undefined || endpoint.ceilings.length < 2) return;
    // A name that was taken is known, whatever was refused before.
    if (added !== undefined) {
      this.suspicions.get(call.upstream)?.delete(factName(call, added.name));
      this.suspicions.get(call.upstream)?.delete(guessName(call, added.name));
    }
    if (answer.kind === 'whole') this.note(call, added, tokens, answer);
    else answer.onOver = young((stream) => this.note(call, added, tokens, stream));
  }

  private note(call: OutgoingCall, added: AddedCeiling | undefined, tokens: number, answer: Output): void {
    const bound = tokens * call.asks.n;
    if (!exceeds(answer, bound)) return;
    const { members } = call.document;
    if (CEILING_ESCAPES.some((name) => members.has(name))) return;
    const sent = added?.name ?? call.endpoint.ceilings.filter((name) => members.has(name));
    const names = typeof sent === 'string' ? [sent] : sent;
    const until = this.clock.steadyMs() + IGNORED_MS;
    for (const name of names) this.remember(call, name, { kind: 'ignored', until, fromTokens: 0 });
  }

  private factOf(call: OutgoingCall, name: string): Fact | undefined {
    const facts = this.byUpstream.get(call.upstream);
    if (facts === undefined || facts.size === 0) return undefined;
    const fact = facts.get(factName(call, name));
    if (fact === undefined || call.inputTokens < fact.fromTokens) return undefined;
    return fact.until > this.clock.steadyMs() ? fact : undefined;
  }

  private remember(call: OutgoingCall, name: string, fact: Fact): void {
    const facts = this.byUpstream.get(call.upstream) ?? new Map<string, Fact>();
    this.byUpstream.set(call.upstream, facts);
    if (facts.size >= MAX_FACTS) facts.clear();
    facts.set(factName(call, name), fact);
  }
}

/** One endpoint, or model, may know a field that another does not. */
function factName({ endpoint, model }: OutgoingCall, name: string): string {
  return `${endpoint.operation} ${model.upstreamModel} ${name}`;
}

function guessName(call: OutgoingCall, name: string): string {
  return `${factName(call, name)} ${call.keyId}`;
}

/** The output of an answer, as far as it was told. */
interface Output {
  readonly usage: TokenUsage | undefined;
  deliveredTokens(): number | undefined;
}

/** Without usage it takes twice as much as was allowed: deliveries are an estimate. */
function exceeds(answer: Output, bound: number): boolean {
  const told = answer.usage?.outputTokens;
  return told === undefined ? (answer.deliveredTokens() ?? 0) > 2 * bound + 64 : told > bound;
}
