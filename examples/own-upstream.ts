// Models of the host's own: a function that answers, and a wrapper that changes what another upstream gets.
import { createServer } from 'node:http';
import { demo, fromFunction, readEnvironment, type Upstream, withBody } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';

const parrot = fromFunction(async function* (body) {
  const last = Array.isArray(body.messages) ? body.messages.at(-1) : undefined;
  for (const word of String(last?.content ?? '').split(' ')) yield `${word} `;
});

/** The same upstream, which is told to be brief. */
function brief(upstream: Upstream): Upstream {
  return {
    name: `brief ${upstream.name}`,
    send: (call) => upstream.send(withBody(call, { ...call.body(), max_completion_tokens: 20 })),
  };
}

const llm = megallm({
  models: {
    parrot: { upstream: parrot, aliases: ['polly'], pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 2 } },
    'house-model': { upstream: brief(demo()), upstreamModel: 'gpt-4o' },
  },
});

const server = createServer(llm);
server.listen(readEnvironment().port, () => {
  console.log('Listening at', server.address());
});
