/** How much the demo keeps at most, all of it in memory. */
export interface DemoBounds {
  /** Bytes in one file, one part of an upload, or one recording; more is a 413. @default 16 MiB */
  readonly maxFileBytes: number;
  /**
   * Bytes in all files, parts and attributes. What does not fit is refused, and nothing that somebody stored is thrown
   * away for it: batches and vector stores point at files, and a file that is gone unasked is harder to understand
   * than a 400 that says why. @default 64 MiB
   */
  readonly maxStoredBytes: number;
  /** @default 1_000 */
  readonly maxFiles: number;
  /** Uploads; the oldest that has ended makes room. @default 100 */
  readonly maxUploads: number;
  /** Batches; the oldest that has ended makes room, since nobody can delete one. @default 1_000 */
  readonly maxBatches: number;
  /** Requests in one batch. @default 10_000 */
  readonly maxBatchLines: number;
  /** @default 100 */
  readonly maxVectorStores: number;
}

/** The bounds of a demo whose maker names none. */
export const DEFAULT_BOUNDS: DemoBounds = {
  maxFileBytes: 16 * 1024 * 1024,
  maxStoredBytes: 64 * 1024 * 1024,
  maxFiles: 1_000,
  maxUploads: 100,
  maxBatches: 1_000,
  maxBatchLines: 10_000,
  maxVectorStores: 100,
};
