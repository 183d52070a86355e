/** Jobs of many callers, done together. */
export interface Batches<Job, Result> {
  add(job: Job): Promise<Result>;
  /** Resolves when all that were added are done. What is added from now on is refused. */
  close(): Promise<void>;
}

interface Waiting<Job, Result> {
  readonly job: Job;
  readonly resolve: (result: Result | PromiseLike<Result>) => void;
  readonly reject: (error: unknown) => void;
}

/** A statement that is too long is no faster, and holds its locks for longer. */
const MAX_JOBS = 256;

/**
 * Jobs that come while a batch is under way go together into the next one: the round trips, the commit and its wait for the
 * disk are the same for all. What fails for the sake of one job fails for that one alone.
 * @param run does all jobs of a batch, or none when it rejects, and gives their results in order.
 */
export function batches<Job, Result>(
  run: (jobs: readonly Job[]) => Promise<readonly (Result | PromiseLike<Result>)[]>,
): Batches<Job, Result> {
  const waiting: Waiting<Job, Result>[] = [];
  let running: Promise<void> | undefined;
  let isClosed = false;

  async function work(): Promise<void> {
    // What else this turn has to say comes along.
    await undefined;
    while (waiting.length > 0) await attempt(waiting.splice(0, MAX_JOBS));
    running = undefined;
  }

  async function attempt(batch: readonly Waiting<Job, Result>[]): Promise<void> {
    try {
      const results = await run(batch.map(({ job }) => job));
      for (const [index, result] of results.entries()) batch[index]?.resolve(result);
    } catch (error) {
      if (batch.length > 1 && isOfOne(error)) for (const one of batch) await attempt([one]);
      else for (const { reject } of batch) reject(error);
    }
  }

  return {
    add: (job) =>
      new Promise((resolve, reject) => {
        if (isClosed) throw new Error('The PostgreSQL store is closed');
        waiting.push({ job, resolve, reject });
        running ??= work();
      }),
    async close() {
      isClosed = true;
      await running;
    },
  };
}

/**
 * Whether others may well succeed: bad data (22), a broken rule (23), a conflict with another transaction (40), a
 * name that is too long for an index (54).
 */
function isOfOne(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^(?:22|23|40|54)...$/.test(String(error.code));
}
