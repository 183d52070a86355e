import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { specIsMissing } from './description.js';
import { witness } from './witness.js';

/** Where test/run.mjs adds up what each process saw. */
const LEDGER = process.env.MEGALLM_CONFORMANCE_LEDGER;

/** Sees every answer that the tests of this process get from a gateway in one of the hosts. */
export const everyAnswer = witness();

const distinct = new Set<string>();

/** Throws if a client received something that OpenAI's description does not allow; then forgets all. */
export function judgeAnswers(): void {
  const documents = everyAnswer.distinct();
  const violations = specIsMissing === false ? everyAnswer.violations() : [];
  everyAnswer.forget();
  for (const text of documents) distinct.add(createHash('sha1').update(text).digest('base64'));
  if (violations.length === 0) return;
  const shown = violations.slice(0, 20).join('\n  ');
  throw new Error(`${violations.length} answers or events are not what OpenAI describes:\n  ${shown}`);
}

/** Notes for test/run.mjs which answers were judged. */
export function noteAnswers(): void {
  if (LEDGER === undefined || specIsMissing !== false) return;
  writeFileSync(join(LEDGER, `${process.pid}.json`), JSON.stringify([...distinct]));
}
