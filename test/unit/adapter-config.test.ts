/** adapter_config.json: what each key means, and what is refused with which reason. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { parseAdapterConfig } from '../../shared/formats/adapter-config.js';
import { scalesOf } from '../../shared/formats/adapter-scales.js';
import { requireChosen } from '../../shared/formats/adapter-targets.js';
import { firstMatches } from '../../shared/formats/python-patterns.js';
import { expectError } from '../support/expect-error.js';

const WHERE = 'adapter/adapter_config.json';
const LEAST = { peft_type: 'LORA', r: 8, lora_alpha: 16 };
const parse = (more: object = {}) => parseAdapterConfig(JSON.stringify({ ...LEAST, ...more }), WHERE);

/** What PEFT 0.21 writes when nothing is asked for. */
const DEFAULTS = {
  alora_invocation_tokens: null,
  alpha_pattern: {},
  arrow_config: null,
  auto_mapping: { base_model_class: 'LlamaForCausalLM', parent_library: 'transformers' },
  base_model_name_or_path: 'meta-llama/Llama-3.2-1B',
  bias: 'none',
  corda_config: null,
  ensure_weight_tying: false,
  eva_config: null,
  exclude_modules: null,
  fan_in_fan_out: false,
  inference_mode: true,
  init_lora_weights: true,
  kasa_config: null,
  layer_replication: null,
  layers_pattern: null,
  layers_to_transform: null,
  loftq_config: {},
  lora_alpha: 16,
  lora_bias: false,
  lora_dropout: 0.05,
  lora_ga_config: null,
  megatron_config: null,
  megatron_core: 'megatron.core',
  modules_to_save: null,
  monteclora_config: null,
  peft_type: 'LORA',
  peft_version: '0.21.2',
  qalora_group_size: 16,
  r: 8,
  rank_pattern: {},
  revision: null,
  target_modules: ['q_proj', 'v_proj'],
  target_parameters: null,
  task_type: 'CAUSAL_LM',
  trainable_token_indices: null,
  use_bdlora: null,
  use_dora: false,
  use_qalora: false,
  use_rslora: false,
  velora_config: null,
};

describe('an adapter configuration', () => {
  it('with all keys that PEFT writes is the one without', () => {
    expect(parseAdapterConfig(JSON.stringify(DEFAULTS), WHERE)).toEqual({
      ...parse({ target_modules: ['q_proj', 'v_proj'] }),
      baseName: 'meta-llama/Llama-3.2-1B',
    });
  });

  it('says nothing with keys that say nothing', () => {
    expect(parse({ enable_lora: null, merge_weights: false, of_tomorrow: null, another: {}, third: [], fourth: '' })).toEqual(parse());
  });

  it.each([
    ['use_dora', true, /DoRA/],
    ['lora_bias', true, /bias/],
    ['layer_replication', [[0, 4]], /other layers/],
    ['megatron_config', { tensor_model_parallel_size: 2 }, /Megatron/],
    ['alora_invocation_tokens', [1, 2], /certain tokens/],
    ['arrow_config', { top_k: 3 }, /token by token/],
    ['trainable_token_indices', [5], /rows of the embeddings/],
    ['target_parameters', ['experts.down_proj'], /experts/],
    ['use_qalora', true, /groups/],
    ['use_bdlora', { target_modules_bd_a: [] }, /block-diagonal/],
    ['kasa_config', { beta: 1 }, /cut off/],
    ['velora_config', { num_groups: 2 }, /more than factors/],
    ['monteclora_config', { num_samples: 8 }, /random/],
    ['enable_lora', [true, false, true], /factors of their own/],
    ['use_mora', true, /"use_mora" is not known/],
    ['init_lora_weights', 'pissa', /moved into the adapter/],
    ['init_lora_weights', 'pissa_niter_16', /moved into the adapter/],
    ['init_lora_weights', 'OLoRA', /moved into the adapter/],
    ['init_lora_weights', 'corda', /moved into the adapter/],
    ['init_lora_weights', 'lora_ga', /moved into the adapter/],
    ['init_lora_weights', 'loftq', /quantized/],
    ['init_lora_weights', 'of tomorrow', /not known/],
    ['init_lora_weights', 3, /known here/],
    ['peft_type', 'ADALORA', /only LoRA/],
  ])('%s: %j is refused with the reason', async (key, value, reason) => {
    const error = await expectError('ADAPTER_UNSUPPORTED', () => parse({ [key]: value }));
    expect(error.message).toMatch(reason);
    expect(error.details.where).toBe(WHERE);
  });

  it.each([true, false, null, 'gaussian', 'eva', 'orthogonal', 'mica'])('init_lora_weights: %j leaves the base as it is', (value) => {
    expect(parse({ init_lora_weights: value })).toEqual(parse());
  });

  it.each([
    [{ r: 0 }, /^r /],
    [{ r: 2.5 }, /^r /],
    [{ r: null }, /^r /],
    [{ lora_alpha: '16' }, /^lora_alpha/],
    [{ lora_alpha: null }, /^lora_alpha/],
    [{ use_rslora: 1 }, /^use_rslora/],
    [{ rank_pattern: { q: 0 } }, /^rank_pattern\.q/],
    [{ rank_pattern: ['q'] }, /^rank_pattern/],
    [{ alpha_pattern: { q: 'x' } }, /^alpha_pattern\.q/],
    [{ bias: 'some' }, /^bias/],
    [{ target_modules: 7 }, /^target_modules/],
    [{ modules_to_save: 'head' }, /^modules_to_save/],
    [{ layers_to_transform: ['1'] }, /^layers_to_transform/],
    [{ peft_type: null }, /only LoRA/],
  ])('%j cannot be', async (more, message) => {
    expect((await expectError('ADAPTER_INVALID', () => parse(more))).message).toMatch(message);
  });

  it.each(['', '{', '[]', 'null', '{"r": 8, "r": 9}', '{"r": NaN}', '{"a": '.repeat(50), '{"r":8} x', '{"r":1e999}'])(
    'garbage (%j) is refused',
    async (text) => {
      await expectError('ADAPTER_INVALID', () => parseAdapterConfig(text, WHERE));
    },
  );

  it('takes any JSON without failing otherwise', () => {
    const keys = fc.constantFrom(...Object.keys(DEFAULTS));
    fc.assert(
      fc.property(fc.dictionary(fc.oneof(keys, fc.string()), fc.jsonValue()), (random) => {
        try {
          parse(random);
        } catch (error) {
          if (!(error instanceof TributaryError) || !error.code.startsWith('ADAPTER_')) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('ranks and scales', () => {
  const NAMES = ['model.layers.0.q_proj', 'model.layers.10.q_proj', 'model.layers.0.k_proj', 'q_proj'];
  const scales = (more: object) => scalesOf(parse(more), NAMES, WHERE);

  it('are alpha / r, or alpha / sqrt(r)', () => {
    expect(scales({})).toEqual(NAMES.map(() => ({ rank: 8, scale: 2 })));
    expect(scales({ use_rslora: true, r: 16 })).toEqual(NAMES.map(() => ({ rank: 16, scale: 4 })));
    expect(scales({ r: 2, rank_pattern: { k_proj: 16 }, use_rslora: true }).map(({ scale }) => scale)).toEqual([
      16 / Math.SQRT2,
      16 / Math.SQRT2,
      4,
      16 / Math.SQRT2,
    ]);
  });

  it('follow the first pattern that matches the end of the name', () => {
    expect(scales({ rank_pattern: { q_proj: 4, 'layers.0.q_proj': 2 } }).map(({ rank }) => rank)).toEqual([4, 4, 8, 4]);
    expect(scales({ rank_pattern: { 'layers.0.q_proj': 2, q_proj: 4 } }).map(({ rank }) => rank)).toEqual([2, 4, 8, 4]);
    expect(scales({ rank_pattern: { '^q_proj': 2 } }).map(({ rank }) => rank)).toEqual([8, 8, 8, 2]);
    expect(scales({ rank_pattern: { 'layers\\.\\d+\\.(?:q|k)_proj': 2 } }).map(({ rank }) => rank)).toEqual([2, 2, 2, 8]);
    expect(scales({ rank_pattern: { proj: 2, 'layers.0': 2 } }).map(({ rank }) => rank)).toEqual([8, 8, 8, 8]);
    expect(scales({ alpha_pattern: { k_proj: 4 }, rank_pattern: { k_proj: 2 } }).map(({ scale }) => scale)).toEqual([2, 2, 2, 2]);
  });
});

describe('patterns of Python', () => {
  const match = (pattern: string, name: string): boolean => firstMatches([pattern], [name], 'whole', WHERE)[0] === 0;
  it('mean what they mean there', () => {
    expect(match('(?P<stack>layers)\\.(?P=stack)', 'layers.layers')).toBe(true);
    expect(match('\\Aq_proj\\Z', 'q_proj')).toBe(true);
    expect(match('q{,2}x', 'qqx')).toBe(true);
    expect(match('q_proj', 'q_proj2')).toBe(false);
    expect(match('[\\w.]*\\.(?:q_proj|v_proj)', 'model.layers.3.v_proj')).toBe(true);
  });

  it('that are names match in the order of the configuration, and a dot is any character', () => {
    const first = (patterns: readonly string[], name: string): number | undefined => firstMatches(patterns, [name], 'end', WHERE)[0];
    expect(first(['b', 'a.b', '.*b'], 'x.a.b')).toBe(0);
    expect(first(['.*b', 'b'], 'x.a.b')).toBe(0);
    expect(first(['c', '(a|c)\\.b', 'a.b'], 'x.a.b')).toBe(1);
    expect(first(['c', 'a.b', '(a|c)\\.b'], 'x.a.b')).toBe(1);
    expect(first(['a.b'], 'x.a_b')).toBe(0);
    expect(first(['a.b'], 'xa.b')).toBe(-1);
    expect(first(['x.a.b', 'xXaXb'], 'x.a.b')).toBe(0);
    expect(first(['\\w+.a.b'], '🌊.a.b')).toBe(-1);
    expect(first(['a.b'], '🌊x.a_b')).toBe(0);
  });

  it('are looked up where every module of a large model has its own', () => {
    const names = Array.from({ length: 9216 }, (_, index) => `model.layers.${index % 48}.mlp.experts.${Math.floor(index / 48)}.up_proj`);
    expect(firstMatches(names, names, 'end', WHERE)).toEqual(names.map((_, index) => index));
  });

  it('that JavaScript does not know, or that never end, are refused', async () => {
    await expectError('ADAPTER_UNSUPPORTED', () => match('(?i)q_proj', 'Q_PROJ'));
    await expectError('ADAPTER_UNSUPPORTED', () => match('q_proj(', 'q_proj('));
    await expectError('ADAPTER_UNSUPPORTED', () => match('(\\w+)+!', 'a'.repeat(60)));
  });
});

describe('which modules have factors', () => {
  const chosen = (more: object, module: string) => () => requireChosen(parse(more), [module], WHERE);
  const Q = 'model.layers.3.self_attn.q_proj';
  it.each([
    [{}],
    [{ target_modules: 'all-linear' }],
    [{ target_modules: ['q_proj'] }],
    [{ target_modules: [Q] }],
    [{ target_modules: '.*q_proj' }],
    [{ target_modules: ['q_proj'], layers_to_transform: 3 }],
    [{ target_modules: ['q_proj'], layers_to_transform: [1, 3], layers_pattern: ['layers'] }],
    [{ target_modules: [Q], layers_to_transform: [1] }],
    [{ target_modules: ['q_proj'], exclude_modules: ['self_attn'] }],
  ])('%j has it', (more) => {
    expect(chosen(more, Q)).not.toThrow();
  });
  it.each([
    [{ target_modules: ['v_proj'] }],
    [{ target_modules: ['_proj'] }],
    [{ target_modules: 'q_proj' }],
    [{ target_modules: ['q_proj'], layers_to_transform: [1, 2] }],
    [{ target_modules: ['q_proj'], layers_to_transform: 3, layers_pattern: 'h' }],
    [{ target_modules: ['q_proj'], exclude_modules: '.*layers\\.3\\..*' }],
    [{ target_modules: ['q_proj'], exclude_modules: ['self_attn.q_proj'] }],
    [{ target_modules: ['q_proj'], modules_to_save: ['self_attn'] }],
  ])('%j has not', async (more) => {
    await expectError('ADAPTER_INVALID', chosen(more, Q));
  });
});
