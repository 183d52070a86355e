import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, beforeEach } from 'node:test';
import { specIsMissing } from './description.js';
import { witness } from './witness.js';

/** Where test/run.mjs adds up what each test file saw. */
const LEDGER = process.env.MEGALLM_CONFORMANCE_LEDGER;

/** Sees every answer that this test file gets from a gateway in one of the hosts. */
export const everyAnswer = witness();

beforeEach((context) => {
  everyAnswer.testBegins('fullName' in context ? String(context.fullName) : context.name);
});

// Judged at the end, so that the tests' own time is not taken by reading three megabytes of description.
after(() => {
  if (specIsMissing !== false || everyAnswer.distinct().length === 0) return;
  const violations = everyAnswer.violations();
  if (LEDGER !== undefined) {
    const distinct = everyAnswer.distinct().map((text) => createHash('sha1').update(text).digest('base64'));
    writeFileSync(join(LEDGER, `${process.pid}.json`), JSON.stringify({ distinct, violations: violations.length }));
  }
  if (violations.length === 0) return;
  const shown = violations.slice(0, 20).join('\n  ');
  throw new Error(`${violations.length} answers or events are not what OpenAI describes:\n  ${shown}`);
});
