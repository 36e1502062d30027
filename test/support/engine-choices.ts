/** The linear algebra engines that this machine has; those in TRIBUTARY_REQUIRE_ENGINES have to be there. The fastest is first. */
import { findEngine } from '../../shared/linalg/find-engine.js';
import type { EngineChoice, EngineName } from '../../shared/linalg/linear-algebra.js';

const required = (process.env['TRIBUTARY_REQUIRE_ENGINES'] ?? '').split(',');

async function choiceOf(name: EngineName): Promise<readonly EngineChoice[]> {
  try {
    return [(await findEngine(name, process.env)).choice];
  } catch (error) {
    if (required.includes(name)) throw error;
    return [];
  }
}

const found = [await choiceOf('lapack'), await choiceOf('portable'), await choiceOf('tensorflow')].flat();

export const engineChoices = (): readonly EngineChoice[] => found;

/** What tests that are about something else compute with. */
export const fastestEngine: EngineChoice = found[0] ?? { engine: 'portable' };
