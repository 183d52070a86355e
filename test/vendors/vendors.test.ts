import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { BARE_HOST } from '../helpers/hosts.js';
import { type SceneOptions, withScene } from '../helpers/scene.js';
import { CELLS, MODEL, PRICING } from './cells.js';
import { azure } from './servers/azure.js';
import { deepSeek } from './servers/deep-seek.js';
import { fireworks } from './servers/fireworks.js';
import { gemini } from './servers/gemini.js';
import { groq } from './servers/groq.js';
import { liteLlm } from './servers/lite-llm.js';
import { llamaCpp } from './servers/llama-cpp.js';
import { llamaCppPython } from './servers/llama-cpp-python.js';
import { lmStudio } from './servers/lm-studio.js';
import { mistral } from './servers/mistral.js';
import { ollama } from './servers/ollama.js';
import { openAi } from './servers/open-ai.js';
import { openRouter } from './servers/open-router.js';
import { perplexity } from './servers/perplexity.js';
import { tgi } from './servers/tgi.js';
import { together } from './servers/together.js';
import { vllm } from './servers/vllm.js';
import { xAi } from './servers/x-ai.js';
import { type Vendor, vendorScript } from './vendor.js';

const VENDORS: readonly Vendor[] = [
  openAi,
  azure,
  mistral,
  groq,
  deepSeek,
  xAi,
  gemini,
  openRouter,
  together,
  fireworks,
  perplexity,
  vllm,
  llamaCpp,
  llamaCppPython,
  ollama,
  lmStudio,
  tgi,
  liteLlm,
];

const verdicts = new Map<string, Map<string, string>>(VENDORS.map(({ name }) => [name, new Map()]));

for (const vendor of VENDORS) {
  for (const [name, { options, check }] of Object.entries(CELLS)) {
    it(`${vendor.name}: ${name}`, { timeout: 30_000 }, async () => {
      verdicts.get(vendor.name)?.set(name, 'RED');
      const given: SceneOptions = {
        script: vendorScript(vendor),
        models: { [MODEL]: { pricing: PRICING, contextLength: 8_192 } },
        ...options,
      };
      await withScene(BARE_HOST, given, (scene) => check(vendor, scene));
      verdicts.get(vendor.name)?.set(name, 'ok');
    });
  }
}

it('every cell of the table is green', (context: TestContext) => {
  const names = Object.keys(CELLS);
  const width = Math.max(...VENDORS.map(({ name }) => name.length));
  context.diagnostic(`${''.padEnd(width)}  ${names.join('  ')}`);
  for (const [vendor, cells] of verdicts) {
    const row = names.map((name) => (cells.get(name) ?? '-').padEnd(name.length)).join('  ');
    context.diagnostic(`${vendor.padEnd(width)}  ${row}`);
  }
  for (const cells of verdicts.values()) for (const name of names) assert.equal(cells.get(name), 'ok');
});
