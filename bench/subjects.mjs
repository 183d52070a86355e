/**
 * What is compared, in the order in which they take turns. `line` is what all others are compared with.
 *
 * `server` names one of servers.mjs and `options` go to it; `program` names one of programs.mjs. `load` is what the load
 * generator must know of a subject. A subject with `needs` is left out, with a line, where that is not there.
 */
const own = (label, host, store = 'memory') => ({ label, server: 'ours', options: { host, store } });

export const subjects = {
  line: { label: 'bare proxy: `node:http` + undici `dispatch` (the line)', server: 'line' },
  node: own('megallm on bare Node', 'node'),
  koa: own('megallm on Koa', 'koa'),
  express: own('megallm on Express', 'express'),
  'express-fast': own('megallm before Express (the fast lane)', 'before-express'),
  'node-ledger': own('megallm on Node, ledger in SQLite', 'node', 'sqlite-ledger'),
  'node-sqlite': own('megallm on Node, all in SQLite', 'node', 'sqlite'),
  'node-redis': { ...own('megallm on Node, limits in Redis', 'node', 'redis'), needs: 'redis' },
  'koa-proxy': { label: 'bare proxy on Koa', server: 'koa-proxy' },
  'express-proxy': { label: 'bare proxy on Express', server: 'express-proxy' },
  naive: { label: 'by hand: Express + `openai` client', server: 'naive' },
  portkey: { label: 'Portkey', program: 'portkey' },
  litellm: { label: 'LiteLLM', program: 'litellm' },
  bifrost: { label: 'Bifrost', program: 'bifrost' },
};
