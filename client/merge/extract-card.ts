/** README.md of an adapter that was extracted from a fine-tuned model. Pure. */
import { basename, resolve } from 'node:path';
import type { MergeDType } from '../../shared/formats/tensor.js';
import type { FoundEngine } from '../../shared/linalg/linear-algebra.js';
import { cardTable, engineText, torchDtypeName, yamlText } from '../../shared/merge/model-card.js';

export interface ExtractCard {
  readonly outDir: string;
  readonly baseDir: string;
  readonly tunedDir: string;
  readonly lines: readonly (readonly [string, string])[];
  readonly engine: FoundEngine;
  readonly dtype: MergeDType;
  readonly version: string;
}

/** The tag `tributary` marks the folder as ours (staging.ts). */
export function extractCard({ outDir, baseDir, tunedDir, lines, engine, dtype, version }: ExtractCard): string {
  const front = ['---', 'base_model:', `- ${yamlText(baseDir)}`, 'library_name: peft', 'tags:', '- lora', '- tributary', '---'];
  const facts: (readonly [string, string])[] = [
    ['Base', baseDir],
    ['Fine-tuned model', tunedDir],
    ['Method', 'singular value decomposition of the difference of each weight, truncated'],
    ...lines,
    ['Stored as', torchDtypeName(dtype)],
    ['Linear algebra', engineText(engine)],
    ['Made with', `Tributary ${version}, Node ${process.versions.node}`],
  ];
  const title = `# ${basename(resolve(outDir)).replaceAll(/[\r\n]+/g, ' ')}`;
  return `${[front.join('\n'), title, 'A LoRA adapter extracted from a fine-tuned model with Tributary.', cardTable(['', ''], facts)].join('\n\n')}\n`;
}
