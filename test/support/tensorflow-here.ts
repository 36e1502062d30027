import { enginesFolder } from '../../shared/linalg/engines-folder.js';
import type { TensorflowChoice } from '../../shared/linalg/tensorflow.js';
import { probeTensorflow } from '../../shared/linalg/tensorflow-probe.js';

const found = await probeTensorflow(enginesFolder(process.env));

/** Why this machine has no TensorFlow. */
export const NO_TENSORFLOW: string | undefined = 'reason' in found ? found.reason : undefined;

/** The TensorFlow of this machine; stands for nothing where there is none. */
export const TENSORFLOW: TensorflowChoice =
  'reason' in found
    ? { engine: 'tensorflow', packageName: 'none', device: 'cpu' }
    : { engine: 'tensorflow', packageName: found.packageName, device: found.device };
