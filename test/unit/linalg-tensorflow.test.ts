import { describe, expect, it } from 'vitest';
import { enginesFolder } from '../../shared/linalg/engines-folder.js';
import { createTensorflowEngine } from '../../shared/linalg/tensorflow.js';
import { loadTensorflowAddon } from '../../shared/linalg/tensorflow-addon.js';
import { probeTensorflow } from '../../shared/linalg/tensorflow-probe.js';
import { declareConformance } from '../support/linalg-conformance.js';

const found = await probeTensorflow(enginesFolder(process.env));
const required = (process.env['TRIBUTARY_REQUIRE_ENGINES'] ?? '').split(',').includes('tensorflow');
if ('reason' in found && !required) it.skip(`no tensorflow here: ${found.reason}`, () => {});
else {
  declareConformance('tensorflow', async () => {
    if ('reason' in found) throw new Error(found.reason);
    return createTensorflowEngine({ engine: 'tensorflow', ...found });
  });
}
void describe;
void expect;
void loadTensorflowAddon;
