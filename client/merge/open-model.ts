/** Opens what one model reference of a recipe means: a folder, a folder with an adapter on it, or an adapter on the base of the recipe. */
import { resolve } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type Adapter, adapterFolderAt, expandAdapter, ontoBase, openAdapter } from '../../shared/formats/adapter.js';
import { type Checkpoint, openCheckpoint } from '../../shared/formats/checkpoint.js';
import type { TensorMap } from '../../shared/formats/tensor.js';
import { requireRepeated } from '../../shared/merge/repeated-tensors.js';
import type { Recipe } from '../../shared/recipe/recipe.js';

export interface OfflineModel {
  /** Its own files; of an adapter those of its base, with the tokenizer that lies beside the adapter. */
  readonly checkpoint: Checkpoint;
  readonly tensors: TensorMap;
  readonly adapter?: Adapter | undefined;
}

/** The parts of FOLDER or FOLDER+ADAPTER. */
function partsOf(reference: string): { folder: string; adapter: string | undefined } {
  const [folder = '', adapter] = reference.split('+');
  return { folder, adapter };
}

/** The same for references that mean the same. */
export function keyOf(reference: string): string {
  const { folder, adapter } = partsOf(reference);
  return adapter === undefined ? resolve(folder) : `${resolve(folder)}+${resolve(adapter)}`;
}

export interface ModelOpener {
  /** @param baseModel what an adapter without a base of its own is trained on: of the slice, or of the recipe */
  open(reference: string, baseModel: string | undefined): Promise<OfflineModel>;
}

/**
 * Opens every folder once.
 * @throws RECIPE_INVALID (an adapter without base), and what opening checkpoints and adapters throws
 */
export function createModelOpener(recipe: Recipe): ModelOpener {
  const checkpoints = new Map<string, Promise<Checkpoint>>();
  const models = new Map<string, Promise<OfflineModel>>();

  function checkpointAt(folder: string): Promise<Checkpoint> {
    const path = resolve(folder);
    const opened = checkpoints.get(path) ?? openCheckpoint(folder);
    checkpoints.set(path, opened);
    return opened;
  }

  /** Differences are to the base of the whole merge; layers that move, and mergekit's roundings, want whole weights. */
  function isDifference(folder: string): boolean {
    const { baseModel, numerics, slices, modules } = recipe;
    const whole = slices.length === 0 && modules.every((module) => module.slices.length === 0);
    return baseModel !== undefined && keyOf(baseModel) === resolve(folder) && numerics === 'exact' && whole;
  }

  async function openOn(folder: string, adapterPath: string, reference: string): Promise<OfflineModel> {
    if ((await adapterFolderAt(folder)) !== undefined)
      throw new TributaryError('RECIPE_INVALID', {
        what: `the base of the adapter ${adapterPath} is an adapter itself`,
        where: recipe.fileName,
        expected: 'a whole model',
        got: folder,
      });
    const checkpoint = await checkpointAt(folder);
    const opened = await openAdapter(adapterPath);
    const adapter = { ...opened, name: reference };
    const base = { name: folder, tensors: checkpoint.tensors };
    await requireRepeated(adapter, base, { threads: 1 });
    const expanded = expandAdapter(adapter, base);
    const own = new Set(opened.sidecars.map(({ name }) => name));
    const sidecars = [...checkpoint.sidecars.filter(({ name }) => !own.has(name)), ...opened.sidecars];
    return {
      checkpoint: { ...checkpoint, path: adapterPath, sidecars },
      tensors: isDifference(folder) ? expanded : ontoBase(expanded, checkpoint.tensors),
      adapter,
    };
  }

  async function openOne(reference: string, baseModel: string | undefined): Promise<OfflineModel> {
    const { folder, adapter } = partsOf(reference);
    if (adapter !== undefined) return openOn(folder, adapter, reference);
    if ((await adapterFolderAt(folder)) === undefined) {
      const checkpoint = await checkpointAt(folder);
      return { checkpoint, tensors: checkpoint.tensors };
    }
    if (baseModel === undefined || baseModel.includes('+') || keyOf(baseModel) === keyOf(reference))
      throw new TributaryError('RECIPE_INVALID', {
        what: `${reference} is a LoRA adapter, and the recipe does not say on which model`,
        where: recipe.fileName,
        expected: 'base_model: the folder of the model it was trained on',
        fix: `Add base_model, or write MODEL+${reference}.`,
      });
    return openOn(baseModel, folder, reference);
  }

  return {
    open(reference, baseModel) {
      const key = `${keyOf(reference)} ${baseModel === undefined ? '' : keyOf(baseModel)}`;
      const opened = models.get(key) ?? openOne(reference, baseModel);
      models.set(key, opened);
      return opened;
    },
  };
}
