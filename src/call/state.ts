import { randomBytes } from 'node:crypto';
import type { Config } from '../config/config.js';
import { HeldBytes } from '../http/held-bytes.js';
import { type FindPlan, keyPlans } from '../limits/key-plan.js';
import type { LimiterAccess } from '../limits/limiter-store.js';
import { Places } from '../limits/places.js';
import { MissingResponses } from '../upstreams/missing-responses.js';
import { type CallSender, callSender } from '../upstreams/send.js';
import { limiterAccess } from './admit.js';
import { type Background, type BatchMeter, noBackground } from './later-work.js';
import { RunningCalls } from './running.js';
import { noticesOnce, type SettlementNotice } from './service-tier.js';
import { type Unsettled, unsettledCalls } from './unsettled.js';

/** The one state of a gateway, which its calls share. */
export interface GatewayState {
  readonly config: Config;
  readonly access: LimiterAccess;
  readonly planOf: FindPlan;
  readonly send: CallSender;
  readonly missingResponses: MissingResponses;
  /** Calls that are not settled yet. */
  readonly running: RunningCalls;
  /** Calls whose clients are gone and whose upstreams are still read. */
  draining: number;
  readonly unsettled: Unsettled;
  /** Bytes of bodies and answers that are in memory. */
  readonly held: HeldBytes;
  /** Places of requests, taken before their bodies are read. */
  readonly places: Places;
  readonly batches: BatchMeter;
  readonly background: Background;
  /** Tells the host something about its prices, once. */
  noticeOnce(notice: SettlementNotice): void;
  /** Resolves when the gateway is closed; `undefined` while it takes new calls. */
  closed: Promise<void> | undefined;
  /** Makes the id of a request: unlike that of any other gateway, in this process or another. */
  nextRequestId(): string;
}

/** The state of a gateway that has not been asked anything yet. */
export function gatewayState(config: Config, batches: BatchMeter): GatewayState {
  const missingResponses = new MissingResponses(config.clock);
  return {
    config,
    access: limiterAccess(config),
    planOf: keyPlans(config, config.findPeriod, () => config.clock.wallMs()),
    send: callSender(config.clock, missingResponses),
    missingResponses,
    running: new RunningCalls(),
    draining: 0,
    unsettled: unsettledCalls(config),
    held: new HeldBytes(config),
    places: new Places(),
    batches,
    background: noBackground(),
    noticeOnce: noticesOnce((text) => config.hooks.onNotice(text)),
    closed: undefined,
    nextRequestId: requestIds(),
  };
}

/** Least number of nine digits, in which a gateway counts: small integers, as their digits cost a quarter of those of any other number. */
const FIRST_COUNT = 100_000_000;
const PAST_COUNT = 1_000_000_000;

/** Twenty digits of chance tell gateways apart, twelve count. */
function requestIds(): () => string {
  const chance = randomBytes(10).toString('hex');
  let thousands = 100;
  let prefix = `req_${chance}${thousands}`;
  let count = FIRST_COUNT;
  return () => {
    count += 1;
    if (count === PAST_COUNT) {
      count = FIRST_COUNT;
      thousands += 1;
      prefix = `req_${chance}${thousands}`;
    }
    return prefix + count;
  };
}
