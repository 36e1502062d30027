/** Entry point of the process that tensorflow-probe.ts starts: package [device]. Prints a FoundTensorflow or NoTensorflow. */
import { TributaryError } from '../errors/tributary-error.js';
import { selfTest } from './self-test.js';
import { createTensorflowEngine, deviceOf } from './tensorflow.js';
import { loadTensorflowAddon } from './tensorflow-addon.js';
import type { FoundTensorflow, NoTensorflow } from './tensorflow-probe.js';

async function trial(packageName: string, wanted: string | undefined): Promise<FoundTensorflow | NoTensorflow> {
  try {
    const addon = loadTensorflowAddon(packageName);
    const device = wanted ?? deviceOf(addon);
    const wrong = selfTest(await createTensorflowEngine({ engine: 'tensorflow', packageName, device }));
    return wrong === undefined ? { packageName, device, version: addon.TF_Version } : { reason: `it computes wrongly: ${wrong}` };
  } catch (error) {
    return { reason: error instanceof TributaryError ? error.details.what : (error as Error).message };
  }
}

const [packageName = '', device] = process.argv.slice(2);
process.stdout.write(JSON.stringify(await trial(packageName, device)));
