import type { JsonObject } from '../base/json.js';

/** Work on a response that goes on when its client has left. */
export interface BackgroundWork {
  /** Ends it, so that nothing more comes of it; resolves when nothing does. */
  drop(reason: Error): Promise<void>;
  /** What the upstream told of the response by the way; where the gateway makes it itself, it knows better. */
  saw(response: JsonObject): void;
  /** Resolves when the work is done and all of it is kept. */
  readonly over: Promise<void>;
}

/** All that goes on in the background, by whose it is and the id of the response. */
export interface Background {
  find(owner: string, id: string): BackgroundWork | undefined;
  /** Takes note of the work until it is over. */
  add(owner: string, id: string, work: BackgroundWork): void;
  /** What goes on now. */
  all(): readonly BackgroundWork[];
}

/** Nothing goes on yet. */
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
