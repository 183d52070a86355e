import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../../src/base/errors.js';
import { demo } from '../../src/upstreams/demo/demo.js';
import { findDemoModel } from '../../src/upstreams/demo/demo-models.js';
import { callWith } from '../helpers/upstream-call.js';

/** Ids that somebody serves, by family. */
const real: Record<string, string> = {
  'the service': `
    gpt-5 gpt-5.1 gpt-5-mini gpt-4.1 gpt-4o gpt-4o-mini gpt-3.5-turbo openai-gpt-oss-20b openai-gpt-oss-120b
    gpt-4 gpt-4-32k gpt-4-turbo gpt-4-vision claude-opus-4-5-20251101 claude-opus-4-1-20250805 claude-opus-4-20250514
    claude-sonnet-4-5-20250929 claude-sonnet-4-20250514 claude-haiku-4-5-20251001 claude-3.5-sonnet claude-3.7-sonnet
    claude-sonnet-4 claude-opus-4 claude-opus-4-1 claude-3-5-sonnet claude-3-opus claude-3-haiku gemini-3-pro-preview
    gemini-2.5-pro gemini-2.5-flash gemini-2.0-flash-001 grok-4.1-fast-reasoning grok-4.1-fast-non-reasoning
    xai/grok-code-fast-1 llama3.3-70b-instruct llama3-8b-instruct deepseek-r1-distill-llama-70b deepseek-v3.2
    deepseek-ai/deepseek-v3.1 deepseek-ai/deepseek-v3.1-terminus moonshotai/kimi-k2-instruct-0905
    moonshotai/kimi-k2-thinking alibaba-qwen3-32b qwen/qwen3-next-80b-a3b-instruct qwen3-coder-480b-a35b-instruct
    mistral-large-3-675b-instruct-2512 mistralai/mistral-nemotron minimaxai/minimax-m2 glm-4.6`,
  OpenAI: `
    gpt-5.4 gpt-5.6-sol gpt-5.6-terra gpt-5.6-luna gpt-6-astra gpt-6-sol gpt-5.5-2026-04-23 gpt-5.4-mini-2026-03-17
    gpt-5.3-chat-latest gpt-5.2-pro-2025-12-11 gpt-5.1-codex gpt-5.1-codex-max gpt-5.1-codex-mini gpt-5-chat-latest
    gpt-5-2025-08-07 gpt-5-search-api gpt-4.1-nano-2025-04-14 o4-mini-2025-04-16 o3-2025-04-16 o3-mini-2025-01-31
    o3-mini-high o3-deep-research o4-mini-deep-research o3-pro o1 o1-pro o1-preview-2024-09-12 o1-mini gpt-4.5-preview
    gpt-4o-2024-08-06 gpt-4o-mini-2024-07-18 gpt-4o-audio-preview-2025-06-03 gpt-4o-mini-audio-preview
    gpt-4o-mini-search-preview-2025-03-11 gpt-4o-realtime-preview chatgpt-4o-latest codex-mini-latest
    computer-use-preview gpt-4-turbo-2024-04-09 gpt-4-0125-preview gpt-4-turbo-preview gpt-4-1106-preview
    gpt-4-1106-vision-preview gpt-4-vision-preview gpt-4-0613 gpt-4-32k-0314 gpt-3.5-turbo-16k-0613 gpt-3.5-turbo-0125
    gpt-3.5-turbo-instruct gpt-audio gpt-realtime openai/gpt-4o openai/gpt-4o:extended ft:gpt-4o-mini:acme::x1
    ft:gpt-3.5-turbo-0613:acme:suffix:x1 openrouter/openai/gpt-oss-120b:free gpt-oss-safeguard-20b gpt-oss:20b`,
  claude: `
    claude-3-5-sonnet-20241022 claude-3-5-sonnet-latest claude-3-7-sonnet-latest claude-3-7-sonnet-20250219
    claude-3-opus-20240229 claude-3-sonnet claude-haiku-4-5 claude-opus-4-0 claude-opus-4.5 claude-sonnet-4-6
    claude-opus-5 claude-fable-5 claude-opus-4.6-fast claude-4-sonnet claude-2.1 claude-instant-1.2 claude-opus-latest
    anthropic/claude-3.7-sonnet:thinking anthropic.claude-3-5-sonnet-20241022-v2:0
    us.anthropic.claude-sonnet-4-20250514-v1:0`,
  'gemini and gemma': `
    gemini-1.5-pro-002 gemini-1.5-flash-8b gemini-1.5-flash-8b-exp-0924 gemini-1.5-pro-latest gemini-2.0-flash
    gemini-2.0-flash-lite gemini-2.0-flash-lite-001 gemini-2.0-flash-thinking-exp-01-21 gemini-2.0-pro-exp-02-05
    gemini-2.5-flash-preview-05-20 gemini-2.5-flash-preview-05-20:thinking gemini-2.5-flash-lite-preview-09-2025
    gemini-2.5-flash-image-preview gemini-2.5-flash-preview-tts gemini-2.0-flash-live-001 gemini-live-2.5-flash-preview
    gemini-2.5-flash-native-audio-preview-09-2025 gemini-3-pro-image-preview gemini-3.1-flash-lite gemini-pro
    gemini-pro-vision gemini-flash-latest gemini-flash-1.5-8b gemini-exp-1206 gemini-2.0-flash-exp:free
    gemma-2-27b-it gemma2-9b-it gemma-3n-E4B-it gemma-3-4b-it:free gemma-4-26b-a4b-it gemma3:27b google/gemma-7b-it`,
  llama: `
    llama-3.1-8b-instruct Llama-3.3-70B-Instruct llama-4-scout llama-4-scout-17b-16e-instruct llama-4-maverick:free
    meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8 meta-llama/Meta-Llama-3.1-405B-Instruct-Turbo
    meta-llama/Llama-2-13b-chat-hf llama-2-70b-chat llama-3-8b llama-3.2-90b-vision-instruct llama-3.1-70b-versatile
    llama-3.1-8b-instant llama-guard-3-8b llama-3.1-nemotron-70b-instruct llama-3.3-nemotron-super-49b-v1.5
    llama3-70b-8192 llama3.2:1b llama3.1:8b-instruct-q4_K_M meta.llama3-1-70b-instruct-v1:0 Meta-Llama-3_3-70B-Instruct
    accounts/fireworks/models/llama-v3p1-8b-instruct codellama-34b-instruct CodeLlama-7b-Instruct-hf`,
  mistral: `
    mistral mistral-small-latest mistral-large-latest mistral-large-2411 mistral-medium-3.1 mistral-medium-2508
    mistral-tiny mistral-nemo mistral-nemo-instruct-2407 mistral-saba-24b open-mistral-nemo open-mixtral-8x22b
    mistralai/Mistral-7B-Instruct-v0.3 Mistral-Small-3.2-24B-Instruct-2506 mistral:7b mixtral-8x7b-instruct
    mixtral-8x7b-32768 Mixtral-8x22B-Instruct-v0.1 codestral-latest codestral-2508 codestral-mamba devstral-small-2507
    magistral-medium-2506 ministral-3b-latest ministral-8b-2410 pixtral-12b-2409 pixtral-large-latest
    mistral.mistral-7b-instruct-v0:2`,
  deepseek: `
    deepseek-chat deepseek-reasoner deepseek-coder deepseek-r1 deepseek-v3 deepseek-r1-0528 deepseek-r1:14b
    deepseek-chat-v3-0324:free deepseek-v3.2-exp deepseek-v3.2-speciale deepseek-v4-pro deepseek-r1-distill-qwen-32b
    deepseek-r1-0528-qwen3-8b deepseek-coder-33b-instruct deepseek-coder-v2-lite-instruct deepseek-ai/DeepSeek-R1
    deepseek-ai/DeepSeek-V3.1 us.deepseek.r1-v1:0`,
  qwen: `
    qwen-max qwen-plus qwen-turbo qwen-plus-2025-07-28 qwen-max-latest qwen-vl-max qwen2.5-72b-instruct qwen-2.5-7b-instruct
    Qwen/Qwen2.5-Coder-32B-Instruct qwen2.5-vl-72b-instruct qwen3-235b-a22b-thinking-2507 qwen3-30b-a3b:free qwen3-coder
    qwen3-coder-plus qwen3-max qwen3-vl-8b-thinking qwen3.5-397b-a17b qwen3.6-max-preview Qwen/Qwen1.5-0.5B qwen2.5:7b
    qwq-32b qwq-32b-preview qwen-3-32b`,
  others: `
    grok-2-1212 grok-2-vision-1212 grok-3 grok-3-mini grok-3-mini-fast-beta grok-4 grok-4-0709 grok-4-fast
    grok-4-1-fast-non-reasoning grok-4-heavy grok-4.20-multi-agent grok-beta grok-code-fast-1 x-ai/grok-4.1-fast:free
    kimi-k2 kimi-k2.5 kimi-k2-0905-preview kimi-k2-turbo-preview kimi-latest moonshot-v1-128k glm-4.5 glm-4.5-air:free
    glm-4.5v glm-5 glm-4-9b-chat glm-4.7-flash zai-org/GLM-4.5-Air-FP8 zai-glm-4.7 minimax-m1 minimax-m2.1 MiniMax-M2
    minimax-01 phi-4 phi-4-mini-instruct phi-3-medium-128k-instruct phi-4-reasoning-plus phi3:mini microsoft/phi-2
    command-r-plus command-r command-r-08-2024 command-r7b-12-2024 command-a-03-2025 nova-pro-v1 amazon.nova-lite-v1:0
    us.amazon.nova-premier-v1:0 nemotron-nano-9b-v2 nemotron-3-nano-30b-a3b nemotron-4-340b-instruct granite-4.0-h-micro
    granite-3.3-8b-instruct jamba-1.5-large jamba-large-1.7 jamba-instruct`,
};

const madeUp = `
  constructor __proto__ toString hasOwnProperty prototype nope model default gpt gpt- gpt-99 gpt-9.9 gpt-7 gpt-4foo
  gpt-4omni gpt-4o-does-not-exist gpt-4o-mini-mini gpt-4o-mini-nano-pro gpt-5-sol-terra gpt-5.99 gpt-4-5 gpt-4o:acme
  gpt-4-turbo-turbo GPT-4o ft:gpt-4o ft:claude-3-opus:acme::x1 gpt-oss-7b o o9 o33 o1-banana o2 o4 chatgpt chatgpt-5 a/b/c/d/gpt-4o
  /gpt-4o gpt-4o/ ../gpt-4o openai//gpt-4o claude claude- claude-nonsense claudette claude-3 claude-99 claude-9-opus
  claude-opus claude-opus-99 claude-opus-4-nonsense claude-3-5-banana claude-sonnet-4-2025 claude-3-5-sonnet-sonnet
  claude-opus-sonnet-4 claude-4 gemini gemini-xyz-banana gemini-pro-banana gemini-9-pro gemini-2.5 gemini-2.5-mega
  gemini-2.5-pro-ultra-max gemini-2.5-pro-preview-preview gemini:foo gemma-banana gemma-9-it llama llama-foo llama-3-foo
  llama-99 llama-9-70b llama-3.1-8b-banana llama.cpp llama-3.1-8b-instruct-instruct mistral-foo mistral-huge mistral-small-banana
  mixtral-foo codestral-foo ministral-foo deepseek deepseek-foo deepseek-v99 deepseek-r1-banana deepseek-chat-chat qwen-foo
  qwen9-72b qwen3-banana qwq-foo grok grok-foo grok-99 grok-4-banana kimi kimi-foo kimi-k9 glm glm-foo glm-99 minimax
  minimax-foo phi phi-foo phi-9 command-foo command-z nova nova-foo nova-mega-v1 nemotron-foo granite granite-foo jamba-foo
  anthropic.gpt-5-banana us.claude gpt-4o-2024-13-99x`;

const namesIn = (text: string): readonly string[] => text.trim().split(/\s+/);

describe('the demo', () => {
  for (const [family, names] of Object.entries(real)) {
    it(`knows the models of ${family}`, () => {
      for (const name of namesIn(names)) assert.ok(findDemoModel(name) !== undefined, name);
    });
  }

  it('knows no names that are made up', () => {
    const odd = [
      '',
      ' ',
      '-',
      '/',
      ':',
      'gpt-4 ',
      ' gpt-4',
      'gpt-4o\n',
      'gpt-4o\0',
      'gpt‑4o',
      'claude-3-opus/',
      'x'.repeat(200),
    ];
    for (const name of [...namesIn(madeUp), ...odd]) assert.equal(findDemoModel(name), undefined, JSON.stringify(name));
  });

  it('says so at once, however long the name is', () => {
    const startedAt = performance.now();
    for (const unit of [
      'x',
      '-',
      'gpt-4o-',
      'claude-3-',
      '1-',
      'llama-3.1-8b-instruct-',
      'a/',
      '2024-01-01-',
      ':free',
    ]) {
      for (const chars of [250, 10_240]) {
        const name = unit.repeat(chars).slice(0, chars);
        assert.equal(findDemoModel(name), undefined, unit);
        assert.equal(findDemoModel(`gpt-4o-${name}`), undefined, unit);
      }
    }
    assert.ok(performance.now() - startedAt < 200, `${performance.now() - startedAt} ms`);
  });

  it('refuses a name of 10 KB, and answers 404 to a long one', async () => {
    for (const [chars, status] of [
      [10_240, 400],
      [250, 404],
    ]) {
      const body = { model: 'claude-'.repeat(1_500).slice(0, chars), messages: [{ role: 'user', content: 'hi' }] };
      await assert.rejects(
        demo().send(callWith(body)),
        (error) => error instanceof GatewayError && error.status === status,
      );
    }
  });

  const windows: [string, number][] = [
    ['gpt-3.5-turbo-16k', 16_385],
    ['ft:gpt-3.5-turbo:acme::x1', 16_385],
    ['gpt-4', 8_192],
    ['gpt-4-0613', 8_192],
    ['gpt-4-32k-0613', 32_768],
    ['gpt-4-1106-preview', 128_000],
    ['gpt-4.1-mini-2025-04-14', 1_047_576],
    ['gpt-5.1', 400_000],
    ['gpt-6-sol', 400_000],
    ['o4-mini', 200_000],
    ['us.anthropic.claude-sonnet-4-20250514-v1:0', 200_000],
    ['gemini-2.5-pro', 1_048_576],
    ['deepseek-v3.2', 128_000],
  ];
  for (const [name, contextLength] of windows) {
    it(`knows the window of ${name}`, () => assert.equal(findDemoModel(name)?.contextLength, contextLength));
  }

  it('knows how a model counts and whether it thinks', () => {
    assert.equal(findDemoModel('gpt-4-0613')?.encoding, 'cl100k_base');
    assert.equal(findDemoModel('ft:gpt-3.5-turbo:acme::x1')?.encoding, 'cl100k_base');
    for (const name of ['gpt-4o', 'gpt-4.1', 'claude-3-opus'])
      assert.equal(findDemoModel(name)?.encoding, 'o200k_base');
    for (const name of ['o3', 'gpt-5', 'openai/gpt-5-mini']) assert.equal(findDemoModel(name)?.reasoning, true, name);
    for (const name of ['gpt-5-chat-latest', 'gpt-4o', 'claude-3-opus'])
      assert.equal(findDemoModel(name)?.reasoning, false, name);
  });
});
