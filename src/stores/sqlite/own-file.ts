/**
 * Path or address of the file in which this code stands: after bundling, the bundle. Asked of the stack, as `import.meta` is
 * not to be had in CommonJS, nor `__filename` in ES modules, and bundlers warn of either.
 */
export function ownFile(): string | undefined {
  const { prepareStackTrace } = Error;
  let file: string | null | undefined;
  try {
    Error.prepareStackTrace = (_error, [site]) => {
      file = site?.getFileName();
    };
    // Read, as it is made when it is first read.
    void new Error('Where').stack;
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
  }
  return file ?? undefined;
}
