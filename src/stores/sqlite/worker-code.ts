/**
 * Code of the store's thread, one script. The build puts the bundle of `worker.ts` in the place of `undefined`: a bundler that
 * makes one file of an application would not find a file beside this one, and Jest would not let a thread have its modules.
 * `undefined` in the sources, whose thread loads `worker.ts` itself.
 */
export const WORKER_CODE: string | undefined = undefined;
