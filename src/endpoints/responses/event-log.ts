/** The events of a response while it is made, so that a client may take them up again. Their places are their sequence numbers. */
export class EventLog {
  private readonly events: string[] = [];
  private isOver = false;
  private waiting: (() => void)[] = [];

  /** @param text any number of whole events. */
  add(text: string): void {
    for (const event of eventsIn(text)) this.events.push(event);
    this.wake();
  }

  /** No more events will come. */
  end(): void {
    this.isOver = true;
    this.wake();
  }

  toString(): string {
    return this.events.join('');
  }

  /** The events after that one, those to come included. */
  async *after(sequenceNumber: number): AsyncGenerator<string> {
    for (let at = sequenceNumber + 1; ; at += 1) {
      while (at >= this.events.length && !this.isOver) await new Promise<void>((resolve) => this.waiting.push(resolve));
      const event = this.events[at];
      if (event === undefined) return;
      yield event;
    }
  }

  private wake(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** The events of a text that has no comments. */
export function eventsIn(text: string): readonly string[] {
  return text
    .split('\n\n')
    .slice(0, -1)
    .map((event) => `${event}\n\n`);
}
