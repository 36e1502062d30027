import { afterAll } from 'vitest';
import { killLeftovers } from './processes.js';

/** Call once at the top of a test file that starts processes. */
export function killLeftoversAfterAll(): void {
  afterAll(killLeftovers);
}
