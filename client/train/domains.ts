/**
 * The four ways in which the teams of the demo see digits. Each is a fixed, invertible-or-not function of the image alone: no randomness,
 * so a test set is the same for everybody who evaluates it.
 */
import { TributaryError } from '../../shared/errors/tributary-error.js';

export const IMAGE_SIDE = 28;
export const IMAGE_PIXELS = IMAGE_SIDE * IMAGE_SIDE;
/** Distance of the lines of the squared paper, in pixels. */
const RULED_SPACING = 4;

/** Fills `to` (one image) from `from` (one image); pixels are 0 (background) to 1 (ink). */
type Transform = (from: Float32Array, to: Float32Array) => void;

const TRANSFORMS = {
  /** As scanned. */
  upright: (from, to) => to.set(from),
  /** A quarter turn clockwise. */
  rotated: (from, to) => {
    for (let y = 0; y < IMAGE_SIDE; y += 1) {
      for (let x = 0; x < IMAGE_SIDE; x += 1) to[y * IMAGE_SIDE + x] = from[(IMAGE_SIDE - 1 - x) * IMAGE_SIDE + y] as number;
    }
  },
  /** Chalk on a blackboard. */
  inverted: (from, to) => {
    for (let at = 0; at < IMAGE_PIXELS; at += 1) to[at] = 1 - (from[at] as number);
  },
  /** On squared paper, whose lines are as dark as the ink. */
  ruled: (from, to) => {
    for (let y = 0; y < IMAGE_SIDE; y += 1) {
      for (let x = 0; x < IMAGE_SIDE; x += 1) {
        const onLine = x % RULED_SPACING === 0 || y % RULED_SPACING === 0;
        to[y * IMAGE_SIDE + x] = onLine ? 1 : (from[y * IMAGE_SIDE + x] as number);
      }
    }
  },
} as const satisfies Record<string, Transform>;

export type Domain = keyof typeof TRANSFORMS;

export const DOMAINS: readonly Domain[] = ['upright', 'rotated', 'inverted', 'ruled'];

/** @throws USAGE when the name is none of DOMAINS */
export function parseDomain(name: string): Domain {
  if (Object.hasOwn(TRANSFORMS, name)) return name as Domain;
  throw new TributaryError('USAGE', { what: 'no such domain', expected: DOMAINS.join(', '), got: name });
}

export function applyDomain(domain: Domain, from: Float32Array, to: Float32Array): void {
  TRANSFORMS[domain](from, to);
}
