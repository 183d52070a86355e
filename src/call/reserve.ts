import { type Awaitable, guarded } from '../base/awaitable.js';
import { causeOf, GatewayError, shuttingDown, unavailable } from '../base/errors.js';
import type { Config } from '../config/options.js';
import { admit, look } from '../limits/admit.js';
import type {
  Admission,
  AdmitResult,
  Ceiling,
  Demand,
  LimiterStore,
  Reservation,
  Verdict,
} from '../limits/limiter-store.js';
import { limitingOf } from './admit.js';
import type { KeyedExchange } from './open.js';
import type { Unsettled } from './unsettled.js';

/** What of a gateway is needed to reserve. */
export interface Reserving {
  readonly config: Config;
  readonly unsettled: Unsettled;
}

/**
 * Reserves what a call may use.
 * @throws {GatewayError} 503 when the limiter fails.
 */
export function reserveCall({ config, unsettled }: Reserving, keyId: string, demand: Demand): Awaitable<AdmitResult> {
  const limiting = limitingOf(config);
  const { store, steadyMs } = limiting;
  /** What a store has failed to answer it may have granted. */
  function doubt(reservation: Reservation): void {
    const nothing = Array<number>(reservation.draws.length).fill(0);
    const { requestId } = demand;
    unsettled.add({ requestId, keyId, tell: () => store.settle(reservation, nothing, steadyMs()) });
  }
  const doubted: LimiterStore = {
    settle: (reservation, amounts, now) => store.settle(reservation, amounts, now),
    reserve: (reservation, now) =>
      guarded(
        () => store.reserve(reservation, now),
        (error) => {
          doubt(reservation);
          throw error;
        },
      ),
  };
  return guarded(
    () => admit({ ...limiting, store: doubted }, demand),
    (error) => {
      if (error instanceof GatewayError) throw error;
      throw unavailable('limiter_unavailable', 'Limits cannot be checked right now. Please retry.', causeOf(error));
    },
  );
}

/** Gives back what was reserved for a call that will not begin. */
export async function refund(
  { config: { limiter, clock, hooks }, unsettled }: Reserving,
  { requestId, key }: Pick<KeyedExchange, 'requestId' | 'key'>,
  { reservation }: Admission,
): Promise<never> {
  const nothing = Array<number>(reservation.draws.length).fill(0);
  const tell = (): Awaitable<void> => limiter.settle(reservation, nothing, clock.steadyMs());
  await guarded(tell, (error) => {
    hooks.onError(error, { requestId, keyId: key.id });
    unsettled.add({ requestId, keyId: key.id, tell });
  });
  throw shuttingDown();
}

/** What the buckets hold, for the headers of an error; a store that fails here costs only the headers. */
export async function lookQuietly(
  config: Config,
  ceilings: readonly Ceiling[],
): Promise<Verdict['remaining'] | undefined> {
  try {
    return await look(limitingOf(config), ceilings);
  } catch {
    return undefined;
  }
}
