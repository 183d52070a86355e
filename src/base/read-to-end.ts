import type { AnswerStream } from '../http/exchange.js';
import { nextOf } from '../upstreams/answer.js';
import { iterableOf, type StepSource } from './steps.js';

/** A stream that goes on when its reader leaves: then nobody sees the rest, but it comes to its end all the same. */
export function readToEnd(given: AnswerStream): { readonly stream: AnswerStream; readonly over: Promise<void> } {
  let isLeft = false;
  let isReading = false;
  let onOver: () => void;
  const over = new Promise<void>((resolve) => {
    onOver = resolve;
  });

  async function readRest(): Promise<void> {
    while ((await nextOf(given)) !== undefined);
    onOver();
  }

  const source: StepSource<string | Uint8Array> = {
    read(onStep, onFailure) {
      isReading = true;
      given.read((step) => {
        isReading = false;
        if (step === undefined) onOver();
        else if (isLeft) void readRest();
        onStep(isLeft ? undefined : step);
      }, onFailure);
    },
    leave() {
      if (isLeft) return;
      isLeft = true;
      if (!isReading) void readRest();
    },
  };
  return { stream: Object.assign(source, iterableOf(source)), over };
}
