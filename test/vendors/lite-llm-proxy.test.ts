import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { reply } from '../helpers/chat-answers.js';
import { DEPTH } from '../helpers/depth.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { clientOf, UPSTREAM_KEY, withHost } from '../helpers/scene.js';
import { type ScriptedUpstream, scriptedUpstream } from '../helpers/scripted-upstream.js';
import { CELLS, MODEL, PRICING } from './cells.js';
import { installLiteLlm, type LiteLlmServer, liteLlmServer } from './lite-llm-server.js';
import { openAi } from './servers/open-ai.js';
import { type Vendor, vendorScript } from './vendor.js';

/** The model behind the proxy, which must be one that LiteLLM knows. */
const BEHIND = 'gpt-4o-mini';

/** OpenAI's server behind the proxy: its errors come in LiteLLM's words. */
const behindLiteLlm: Vendor = {
  ...openAi,
  name: 'LiteLLM, for real',
  refuse: () => undefined,
  ceilings: ['max_completion_tokens', 'max_tokens'],
};

const TOO_SHALLOW = DEPTH < 10 && 'the real proxy of LiteLLM is tried from MEGALLM_DEPTH=10 on';

describe('LiteLLM’s proxy for real, in front of a scripted server of OpenAI’s', { skip: TOO_SHALLOW }, () => {
  let behind: ScriptedUpstream;
  let proxy: LiteLlmServer | undefined;
  let missing: string | undefined;

  before(async () => {
    missing = await installLiteLlm();
    assert.ok(missing === undefined || process.env.CI !== 'true', missing);
    const chat = vendorScript(behindLiteLlm);
    // When it starts, the proxy looks for the server's models.
    behind = await scriptedUpstream((request, index) =>
      request.body.length === 0 ? reply({ object: 'list', data: [] }) : chat(request, index),
    );
    if (missing === undefined) proxy = await liteLlmServer(BEHIND, behind.baseUrl, UPSTREAM_KEY);
  });
  after(async () => {
    await proxy?.close();
    await behind.close();
  });

  for (const [name, { options, check }] of Object.entries(CELLS)) {
    it(name, { timeout: 60_000 }, async (context) => {
      if (proxy === undefined) {
        context.skip(missing);
        return;
      }
      const { baseUrl } = proxy;
      const seen = behind.requests.length;
      const start = () =>
        Promise.resolve({
          ...behind,
          get requests() {
            return behind.requests.slice(seen);
          },
          baseUrl,
          close: () => Promise.resolve(),
        });
      const models = { [MODEL]: { pricing: PRICING, contextLength: 8_192 }, ...options?.models };
      const named = Object.fromEntries(
        Object.entries(models).map(([id, model]) => [id, { ...model, upstreamModel: BEHIND }]),
      );
      await withHost(BARE_HOST, { ...options, models: named, start }, (hosted) =>
        check(behindLiteLlm, { ...hosted, client: (given) => clientOf(hosted.host, given) }),
      );
      assert.ok(behind.requests.length > seen, 'the server behind the proxy was asked');
    });
  }
});
