import { Pool } from 'undici';

const hopByHop = new Set(['connection', 'keep-alive', 'transfer-encoding']);

/**
 * The least a proxy over undici can do: `dispatch` with a handler, bytes piped both ways, back-pressure honoured,
 * the upstream call cancelled when the client leaves. No keys, no limits, no look at the content.
 *
 * @param {string} origin
 * @returns {import('node:http').RequestListener}
 */
export function undiciProxy(origin) {
  const pool = new Pool(origin, { connections: null, pipelining: 1, headersTimeout: 600_000, bodyTimeout: 600_000 });
  return (req, res) => {
    const headers = {};
    for (const name in req.headers) if (name !== 'host' && !hopByHop.has(name)) headers[name] = req.headers[name];
    pool.dispatch({ path: req.url, method: req.method, headers, body: req }, answerTo(res));
  };
}

/** @param {import('node:http').ServerResponse} res */
function answerTo(res) {
  let call;
  res.on('close', () => {
    if (!res.writableFinished) call?.abort(new Error('The client went away'));
  });
  return {
    onRequestStart(controller) {
      call = controller;
      if (res.closed) controller.abort(new Error('The client went away'));
    },
    onResponseStart(_controller, status, headers) {
      const flat = [];
      for (const name in headers) if (!hopByHop.has(name)) flat.push(name, headers[name]);
      res.writeHead(status, flat);
    },
    onResponseData(controller, chunk) {
      if (res.write(chunk)) return;
      controller.pause();
      res.once('drain', () => controller.resume());
    },
    onResponseEnd() {
      res.end();
    },
    onResponseError() {
      if (res.headersSent) res.destroy();
      else res.writeHead(502).end();
    },
  };
}
