import type { Gateway, GatewayOptions } from 'megallm-middleware';
import { bareHost } from './hosts/bare.js';
import { express4Below, express5Behind, express5Root } from './hosts/express.js';
import { koaBelow, koaRoot } from './hosts/koa.js';

export interface HostHooks {
  /** Called with each error that reached the application's own error handling. */
  onHostError?(error: unknown): void;
}

/** An application that listens, with the gateway and routes of its own in it. */
export interface RunningHost {
  readonly origin: string;
  /** What an OpenAI client gets as its base URL. */
  readonly baseUrl: string;
  readonly gateway: Gateway;
  /** What reached the application's own error handling. */
  readonly hostErrors: unknown[];
  close(): Promise<void>;
}

/**
 * A kind of application. Each has, besides the gateway: `GET /host` before it, answered with `host`; after it `POST /echo`,
 * answered with the JSON it got, `GET /boom`, which throws, and below the gateway's mount point `GET …/after`, answered
 * with `after`.
 */
export interface HostKind {
  readonly name: string;
  start(options: GatewayOptions, hooks?: HostHooks): Promise<RunningHost>;
}

export const HOSTS: readonly HostKind[] = [express5Root, express4Below, express5Behind, koaRoot, koaBelow, bareHost];

/** The host with nothing between us and the socket, for tests that ask about the core. */
export const BARE_HOST: HostKind = bareHost;
