/** Long enough for a busy two-core machine; a wait that meets it has failed. */
export const DEADLINE_MS = 15_000;

/** The promise's value, or a rejection that says what did not happen in time. */
export async function within<T>(promise: PromiseLike<T>, what: string, deadlineMs = DEADLINE_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`Not within ${deadlineMs} ms: ${what}`)), deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves once `holds` is true; rejects, saying what was waited for, when it does not become so in time. */
export async function eventually(
  holds: () => boolean | Promise<boolean>,
  what: string | (() => string),
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await holds())) {
    if (performance.now() > end) {
      throw new Error(`Not within ${deadlineMs} ms: ${typeof what === 'string' ? what : what()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Lets sockets of this process deliver what was written to them: a few rounds of the event loop. */
export async function settleSockets(rounds = 3): Promise<void> {
  for (let round = 0; round < rounds; round += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** A promise and the function that resolves it. */
export interface Gate {
  readonly opened: Promise<void>;
  open(): void;
}

export function gate(): Gate {
  let open: () => void = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
