import { expect } from 'vitest';
import type { ErrorCode } from '../../shared/errors/catalogue.js';
import { TributaryError } from '../../shared/errors/tributary-error.js';

/** Runs `action`, expects it to fail with `code`, and hands back the error for a closer look. */
export async function expectError(code: ErrorCode, action: () => unknown): Promise<TributaryError> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof TributaryError)) throw error;
    expect(`${error.code}: ${error.message}`).toMatch(new RegExp(`^${code}: `));
    return error;
  }
  throw new Error(`expected ${code}, nothing was thrown`);
}
