/** Which files of a model folder travel with the weights: configuration and tokenizer, never code, weights or hidden files. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface Sidecar {
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
}

const SIDECAR_NAMES: readonly RegExp[] = [
  /^config\.json$/,
  /^generation_config\.json$/,
  /^tokenizer[^/]*\.(?:json|model|txt)$/,
  /^(?:special_tokens_map|added_tokens|vocab|tekken)\.json$/,
  /^(?:vocab|merges)\.txt$/,
  /\.(?:model|tiktoken|jinja|spm|bpe)$/,
  /^chat_template/,
  /^(?:preprocessor|processor|image_processor|video_preprocessor|feature_extractor)(?:_config)?\.json$/,
];

const WEIGHTS = /\.(?:safetensors|bin|pt|pth|ckpt|gguf|h5|msgpack|onnx)$|\.index\.json$/;

export function isSidecarName(name: string): boolean {
  return !name.startsWith('.') && !WEIGHTS.test(name) && SIDECAR_NAMES.some((pattern) => pattern.test(name));
}

/** In order of name. Symbolic links are followed: a Hugging Face cache consists of them. */
export async function listSidecars(folder: string): Promise<Sidecar[]> {
  const names = (await readdir(folder)).filter(isSidecarName).sort();
  const sidecars: Sidecar[] = [];
  for (const name of names) {
    const path = join(folder, name);
    const info = await stat(path);
    if (info.isFile()) sidecars.push({ name, path, sizeBytes: info.size });
  }
  return sidecars;
}
