/**
 * The tiny Llama checkpoints that the golden outputs in test/golden/mergekit are merges of, from the formula of tiny_models.py there, operation
 * by operation. fp64 throughout, then one rounding to fp32 and one to the dtype; results.json holds the SHA-256 that both must give.
 */
import type { MergeDType } from '../../shared/formats/tensor.js';
import { encode } from './scalar-reference.js';
import type { TestTensor } from './write-checkpoint.js';

const HIDDEN = 32;
const LAYERS = 3;
const INTERMEDIATE = 48;
const KV = 16;

interface TinyModel {
  readonly own: string;
  readonly ownSize: number;
  readonly sharedSize: number;
  /** Rows of the embeddings. */
  readonly rows: number;
  /** On every number. */
  readonly factor: number;
}

const model = (own: string, ownSize: number, sharedSize: number, rows = 64, factor = 1): TinyModel => ({
  own,
  ownSize,
  sharedSize,
  rows,
  factor,
});

export const TINY_MODELS: Readonly<Record<string, TinyModel>> = {
  base: model('', 0, 0),
  m1: model('m1', 1, 1),
  m2: model('m2', 1, 1),
  m3: model('m3', 1.5, 1),
  m4: model('m4', 4, 2),
  far: model('far', 40, 0),
  anti: model('anti', 0.5, -1),
  wide: model('wide', 1, 1, 72),
  narrow: model('narrow', 1, 1, 60),
  small1: model('m1', 0.25, 0.25),
  small2: model('m2', 0.25, 0.5),
  bigbase: model('', 0, 0, 64, 1024),
  bigsmall1: model('m1', 0.25, 0.25, 64, 1024),
  bigsmall2: model('m2', 0.25, 0.5, 64, 1024),
};

function shapes(rows: number): [name: string, shape: readonly number[]][] {
  const found: [string, readonly number[]][] = [['model.embed_tokens.weight', [rows, HIDDEN]]];
  for (let layer = 0; layer < LAYERS; layer++) {
    const add = (name: string, ...shape: number[]): number => found.push([`model.layers.${layer}.${name}.weight`, shape]);
    add('input_layernorm', HIDDEN);
    add('self_attn.q_proj', HIDDEN, HIDDEN);
    add('self_attn.k_proj', KV, HIDDEN);
    add('self_attn.v_proj', KV, HIDDEN);
    add('self_attn.o_proj', HIDDEN, HIDDEN);
    add('post_attention_layernorm', HIDDEN);
    add('mlp.gate_proj', INTERMEDIATE, HIDDEN);
    add('mlp.up_proj', INTERMEDIATE, HIDDEN);
    add('mlp.down_proj', HIDDEN, INTERMEDIATE);
  }
  found.push(['model.norm.weight', [HIDDEN]], ['lm_head.weight', [rows, HIDDEN]]);
  return found;
}

/** 32-bit words: MurmurHash3's last step over a counter that begins at the FNV-1a hash of the stream's name. */
function words(stream: string, count: number): Uint32Array {
  let seed = 0x811c9dc5;
  for (const byte of Buffer.from(stream)) seed = Math.imul(seed ^ byte, 0x01000193) >>> 0;
  const found = new Uint32Array(count);
  for (let index = 0; index < count; index++) {
    let h = (seed + Math.imul(index, 0x9e3779b9)) >>> 0;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    found[index] = h ^ (h >>> 16);
  }
  return found;
}

/** Four uniform numbers added up, less 2: variance 1/3. */
function bell(stream: string, count: number): Float64Array {
  const u = words(stream, 4 * count);
  const at = (index: number): number => (u[index] ?? 0) / 2 ** 32;
  return Float64Array.from({ length: count }, (_, i) => at(4 * i) + at(4 * i + 1) + at(4 * i + 2) + at(4 * i + 3) - 2);
}

const OPPOSITE: Readonly<Record<string, number>> = { m1: 2, m2: -2 };

/** fp32 values. Planted: frozen elements, equal magnitudes, elements equal in all models, opposite ones in m1 and m2. */
function values({ own, ownSize, sharedSize, factor }: TinyModel, tensor: string, shape: readonly number[]): Float32Array {
  const count = shape.reduce((product, size) => product * size, 1);
  const norm = shape.length === 1;
  const sign = words(`sign/${own}/${tensor}`, count);
  const weights = bell(`base/${tensor}`, count);
  const shared = bell(`shared/${tensor}`, count);
  const ownNoise = own === '' ? new Float64Array(count) : bell(`${own}/${tensor}`, count);
  const unit = norm ? 0.01 : 0.0011;
  const step = norm ? 2 ** -7 : 2 ** -10;
  const moved = ownSize === 0 ? 0 : 1;
  return Float32Array.from({ length: count }, (_, i) => {
    const free = (weights[i] ?? 0) * (norm ? 0.2 : 0.08) + (norm ? 1 : 0);
    const exact = (norm ? 1 : 0) + (((i >> 5) % 9) - 4) * 2 ** -8;
    const common = shared[i] ?? 0;
    let base = free;
    let delta = unit * (ownSize * (ownNoise[i] ?? 0) + sharedSize * common);
    if (i % 17 === 3) delta = 0;
    else if (i % 23 === 5) [base, delta] = [exact, moved * step * ((sign[i] ?? 0) % 2 === 1 ? 1 : -1)];
    else if (i % 29 === 7) [base, delta] = [i % 31 === 9 ? exact : free, moved * 2 * unit * common];
    else if (i % 31 === 9) [base, delta] = [exact, (OPPOSITE[own] ?? 0) * step];
    else if (i % 19 === 4 && own === 'm1') delta = 0;
    return (base + delta) * factor;
  });
}

export function tinyLlama(name: string, dtype: MergeDType): TestTensor[] {
  const tiny = TINY_MODELS[name];
  if (tiny === undefined) throw new Error(`no tiny model ${name}`);
  return shapes(tiny.rows).map(([tensor, shape]) => {
    const numbers = values(tiny, tensor, shape);
    const bits = dtype === 'F32' ? numbers : Uint16Array.from(numbers, (value) => encode(dtype, value));
    return { name: tensor, dtype, shape, bytes: new Uint8Array(bits.buffer) };
  });
}

export function tinyConfig(rows: number, dtype: MergeDType): string {
  const torchDtype = { F32: 'float32', BF16: 'bfloat16', F16: 'float16' }[dtype];
  return JSON.stringify({
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: HIDDEN,
    intermediate_size: INTERMEDIATE,
    num_hidden_layers: LAYERS,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    vocab_size: rows,
    torch_dtype: torchDtype,
  });
}
