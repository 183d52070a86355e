import type { JsonObject } from '../base/json.js';
import type { TokenUsage } from '../wire/usage.js';

/** Work on a response that goes on when its client has left. */
export interface BackgroundWork {
  /** Ends the work, so that nothing more comes of it; resolves when nothing does. */
  drop(reason: Error): Promise<void>;
  /** Tells a snapshot of the response that passed by; work whose response the gateway makes itself knows better. */
  saw(response: JsonObject): void;
  /** Resolves when the work is done and all of it is kept. */
  readonly over: Promise<void>;
  /** The events after that one, those to come included, where the client asked for a stream and the gateway makes it. */
  eventsAfter?(sequenceNumber: number): AsyncIterable<string> | undefined;
}

/** All work in the background, by its owner and the id of the response. */
export interface Background {
  find(owner: string, id: string): BackgroundWork | undefined;
  /** Takes note of the work until it is over. */
  add(owner: string, id: string, work: BackgroundWork): void;
  /** Lists the work that goes on now. */
  all(): readonly BackgroundWork[];
}

/** Counts the usage of batches, each batch once. */
export interface BatchMeter {
  /**
   * Usage of those of the owner's batches that have ended and were not counted before, of one model at a time; `undefined`
   * when there are none. A batch's output cannot be had before the batch was counted.
   * @param handOut makes the files of a batch its owner's.
   */
  uncounted(
    owner: string,
    batches: readonly JsonObject[],
    handOut: (batch: JsonObject) => Promise<void>,
  ): Promise<BatchUsage | undefined>;
}

/** Tokens of batches, and the model that they are paid for as; `undefined`: nobody knows. */
export interface BatchUsage {
  readonly usage: TokenUsage;
  readonly model: string | undefined;
}

/** No work in the background yet. */
export function noBackground(): Background {
  const works = new Map<string, BackgroundWork>();
  // Ids are the upstream's where it answers itself: two owners may have the same.
  const nameOf = (owner: string, id: string): string => JSON.stringify([owner, id]);
  return {
    find: (owner, id) => works.get(nameOf(owner, id)),
    add(owner, id, work) {
      const name = nameOf(owner, id);
      works.set(name, work);
      void work.over.then(() => {
        if (works.get(name) === work) works.delete(name);
      });
    },
    all: () => [...works.values()],
  };
}
