import type { SumDifference } from '../usage-columns.js';
import { findDriver } from './driver.js';
import { verifyInThread } from './thread.js';

/**
 * Adds up every hour of a `sqliteStore` file from its calls again, and compares it with the kept sums. The file may be
 * in use. All of it is read, in a thread of its own: the event loop stays free.
 * @returns the hours that differ: none when all is well.
 * @throws {Error} when the file is damaged, another program's or a newer version's, or not there.
 */
export async function verifySums(file: string): Promise<readonly SumDifference[]> {
  return verifyInThread({ verifies: file, driver: await findDriver() });
}
