/**
 * Reads HTTP/1.1 messages off one socket as they come, without Node's parser, so that the parties that are not being
 * measured stay cheap. It understands what this benchmark's parties send: `content-length` and chunked bodies.
 *
 * @param {{
 *   onHead(head: string): void,
 *   onData(bytes: Buffer): void,
 *   onEnd(): void,
 * }} on Called in order for each message. Throwing from any of them, or from `push`, means the connection is broken.
 */
export function messageReader(on) {
  let state = 'head';
  /** Bytes of the body, or of the chunk, still to come. */
  let left = 0;
  /** The start of a line or head whose end has not arrived. */
  let rest = null;

  function take(bytes, from, separator) {
    const at = bytes.indexOf(separator, from);
    if (at !== -1) return at;
    if (bytes.length - from > 65_536) throw new Error('a head of more than 64 KB');
    rest = from < bytes.length ? bytes.subarray(from) : null;
    return -1;
  }

  function end() {
    state = 'head';
    on.onEnd();
  }

  function begin(head) {
    on.onHead(head);
    if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
      state = 'size';
      return;
    }
    const length = /\r\ncontent-length: *(\d+)/i.exec(head);
    left = length ? Number(length[1]) : 0;
    state = 'length';
    if (left === 0) end();
  }

  function size(line) {
    left = Number.parseInt(line, 16);
    if (!(left >= 0)) throw new Error(`not a chunk size: ${JSON.stringify(line.slice(0, 40))}`);
    state = left === 0 ? 'trailer' : 'chunk';
  }

  function body(bytes, from) {
    const to = Math.min(bytes.length, from + left);
    left -= to - from;
    on.onData(bytes.subarray(from, to));
    if (left === 0) {
      if (state === 'length') end();
      else state = 'gap';
    }
    return to;
  }

  /** Feeds what was read from the socket. */
  return function push(read) {
    const bytes = rest === null ? read : Buffer.concat([rest, read]);
    rest = null;
    let from = 0;
    while (from < bytes.length) {
      if (state === 'length' || state === 'chunk') {
        from = body(bytes, from);
        continue;
      }
      const separator = state === 'head' ? '\r\n\r\n' : '\r\n';
      const at = take(bytes, from, separator);
      if (at === -1) return;
      const line = state === 'gap' ? '' : bytes.latin1Slice(from, at + 2);
      from = at + separator.length;
      if (state === 'head') begin(line);
      else if (state === 'size') size(line);
      else if (state === 'gap') state = 'size';
      else if (line === '\r\n') end();
    }
  };
}
