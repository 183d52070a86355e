import { createHash } from 'node:crypto';
import { memberOf, unexpected } from '../../base/checks.js';
import type { Clock } from '../../base/clock.js';
import { LIMITER_SCRIPT } from './script.js';

/** Sends one command. @param key one of its keys, for clients that choose a node by it. */
export type SendCommand = (args: readonly string[], key: string) => PromiseLike<unknown>;

/**
 * The application's own client: one of ioredis (a `Cluster` too), one of node-redis, or a function for every other,
 * such as `(args, key) => cluster.sendCommand(key, false, [...args])` for node-redis's cluster.
 */
export type RedisClient =
  | { call(command: string, args: string[]): PromiseLike<unknown> }
  | { sendCommand(args: readonly string[]): PromiseLike<unknown> }
  | SendCommand;

/** Runs the limiter's script in Redis. */
export interface RedisScript {
  /**
   * Runs the script in one round trip, or two when Redis does not have it yet.
   * @throws {Error} any error of the client, or when it took too long: then nobody knows whether the script ran, or
   * will run.
   */
  run(keys: readonly string[], args: readonly string[]): Promise<string>;
}

/** @throws {TypeError} when the client has none of the shapes. */
export function commandsOf(client: RedisClient): SendCommand {
  if (typeof client === 'function') return client;
  if (typeof client === 'object' && client !== null) {
    // ioredis has a `sendCommand`, too, with other arguments.
    if ('call' in client && typeof client.call === 'function') {
      return ([command = '', ...args]) => client.call(command, args);
    }
    if ('sendCommand' in client && typeof client.sendCommand === 'function') {
      return (args) => client.sendCommand(args);
    }
  }
  throw unexpected('client', 'to be a client of ioredis or node-redis, or a function that sends a command', client);
}

export function redisScript(send: SendCommand, { clock, timeoutMs }: { clock: Clock; timeoutMs: number }): RedisScript {
  const sha = createHash('sha1').update(LIMITER_SCRIPT).digest('hex');

  return {
    run(keys, args) {
      const [key = ''] = keys;
      const tail = [`${keys.length}`, ...keys, ...args];
      return new Promise((resolve, reject) => {
        let isLate = false;
        const cancel = clock.setTimer(() => {
          // When this process was busy, a reply may have been waiting in the socket: it is read before this runs.
          setImmediate(() => {
            isLate = true;
            reject(new Error(`Redis did not answer within ${timeoutMs} ms`));
          });
        }, timeoutMs);
        const sendScript = async (): Promise<unknown> => {
          try {
            return await send(['EVALSHA', sha, ...tail], key);
          } catch (error) {
            // A caller that has given up has it given back: it must not be taken after that.
            if (isLate || !isUnknownScript(error)) throw error;
            return await send(['EVAL', LIMITER_SCRIPT, ...tail], key);
          }
        };
        sendScript()
          .then((reply) => {
            if (typeof reply === 'string') resolve(reply);
            else reject(new Error('Redis answered the script with something other than a string'));
          }, reject)
          .finally(cancel);
      });
    },
  };
}

function isUnknownScript(error: unknown): boolean {
  return String(memberOf(error, 'message')).startsWith('NOSCRIPT');
}
