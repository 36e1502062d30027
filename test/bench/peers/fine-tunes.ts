/**
 * Llama checkpoints as fine-tunes of one base are: small differences, some of them none. The real mergekit takes them for models of its own
 * architecture table, so the configuration is complete. Blocks of noise repeat, with lengths that are prime to one another and to every row.
 */
import { closeSync, existsSync, mkdirSync, openSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { elementCount, encodeSafetensorsHeader } from '../../../shared/formats/safetensors-header.js';
import { llamaShape, llamaTensors } from '../synthetic-checkpoints.js';

export type PeerDType = 'bf16' | 'f32';

export interface FineTunes {
  readonly base: string;
  readonly models: readonly string[];
  readonly modelBytes: number;
}

const BASE_LENGTH = 4_194_301;
const DELTA_LENGTH = 3_999_971;
const CHUNK = 1 << 20;

/** About normal, of variance 1/3; an element in 16 is zero if `sparse`. */
function noise(length: number, seed: number, size: number, sparse: boolean): Float32Array {
  let state = (Math.imul(seed + 1, 2_654_435_761) ^ 0x5bd1e995) >>> 0;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length }, () => {
    const value = next() + next() + next() + next() - 2;
    return sparse && next() < 1 / 16 ? 0 : value * size;
  });
}

/** Rounds to BF16, ties to even; the numbers are finite. */
function toBf16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(words.length);
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? 0;
    halves[index] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return halves;
}

function writeModel(path: string, scale: number, dtype: PeerDType, base: Float32Array, delta: Float32Array | undefined): void {
  const tensors = llamaTensors(llamaShape(scale), dtype === 'bf16' ? 'BF16' : 'F32');
  const file = openSync(`${path}.part`, 'w');
  writeSync(file, encodeSafetensorsHeader(tensors, new Map([['format', 'pt']])));
  const values = new Float32Array(CHUNK);
  let position = 0;
  const end = tensors.reduce((sum, { shape }) => sum + (elementCount(shape) ?? 0), 0);
  while (position < end) {
    const count = Math.min(CHUNK, end - position);
    let [at, deltaAt] = [position % BASE_LENGTH, position % DELTA_LENGTH];
    for (let index = 0; index < count; index++) {
      values[index] = (base[at] ?? 0) + (delta?.[deltaAt] ?? 0);
      if (++at === BASE_LENGTH) at = 0;
      if (++deltaAt === DELTA_LENGTH) deltaAt = 0;
    }
    const chunk = values.subarray(0, count);
    writeSync(file, dtype === 'bf16' ? toBf16(chunk) : chunk);
    position += count;
  }
  closeSync(file);
  renameSync(`${path}.part`, path);
}

function config(scale: number, dtype: PeerDType): string {
  const { hidden, intermediate, vocabulary, layers } = llamaShape(scale);
  return `${JSON.stringify({
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: 16,
    num_key_value_heads: 4,
    vocab_size: vocabulary,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    hidden_act: 'silu',
    tie_word_embeddings: false,
    torch_dtype: dtype === 'bf16' ? 'bfloat16' : 'float32',
  })}\n`;
}

/** Writes what is missing of a base and `count` fine-tunes of about `gigabytes` each. */
export function fineTunes(root: string, gigabytes: number, dtype: PeerDType, count: number): FineTunes {
  const scale = gigabytes / (dtype === 'bf16' ? 0.33 : 0.66);
  const folders = ['base', ...Array.from({ length: count }, (_, index) => `m${index + 1}`)].map((name) =>
    join(root, `${gigabytes}-${dtype}`, name),
  );
  const base = noise(BASE_LENGTH, 0, 0.04, false);
  folders.forEach((folder, index) => {
    const path = join(folder, 'model.safetensors');
    if (existsSync(path)) return;
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'config.json'), config(scale, dtype));
    writeModel(path, scale, dtype, base, index === 0 ? undefined : noise(DELTA_LENGTH, index, 0.001 * (1 + index / 4), true));
  });
  const [first = '', ...models] = folders;
  const bytes = llamaTensors(llamaShape(scale)).reduce((sum, { shape }) => sum + (elementCount(shape) ?? 0), 0);
  return { base: first, models, modelBytes: bytes * (dtype === 'bf16' ? 2 : 4) };
}
