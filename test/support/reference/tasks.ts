/** Rules that give one model per task: base + lambda x the task's own share of what all have in common. */
import { numberFrom, onBase, tausOf } from './request.js';
import { emrTask, emrUnified, masked, tallMask } from './task-masks.js';
import type { ReferenceRequest } from './types.js';
import { combination, perTensor, type ReferenceModel } from './vectors.js';

/** In the order of the inputs. */
export function emrModels(request: ReferenceRequest): ReferenceModel[] {
  const taus = tausOf(request);
  const unified = perTensor(taus, (vectors) => emrUnified(vectors));
  return taus.map((tau) => onBase(request, emrTask(tau, unified, 'official')));
}

/** In the order of the inputs. */
export function tallModels(request: ReferenceRequest): ReferenceModel[] {
  const taus = tausOf(request);
  const [alpha, threshold] = [numberFrom(request, 'alpha', 0.4), numberFrom(request, 'mask_lambda', 0.4)];
  return taus.map((_, task) =>
    onBase(
      request,
      perTensor(taus, (vectors) => {
        const merged = combination(
          vectors,
          vectors.map(() => alpha),
        );
        return masked(merged, tallMask(vectors[task] ?? merged, merged, threshold));
      }),
    ),
  );
}
