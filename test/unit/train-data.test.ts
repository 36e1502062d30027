import { describe, expect, it } from 'vitest';
import { type Digits, DOMAIN_IMAGES, INPUT_DEVIATION, loadDigits, prepareImages, splitDigits } from '../../client/train/digits.js';
import { applyDomain, DOMAINS, IMAGE_PIXELS, IMAGE_SIDE, parseDomain } from '../../client/train/domains.js';
import { gaussian, permutation, randomStream } from '../../client/train/random.js';

const DIGITS: Digits = await loadDigits();

describe('the digits', () => {
  it('are the 10 000 images of the package, every class about a tenth', () => {
    expect(DIGITS.count).toBe(10_000);
    expect(DIGITS.pixels).toHaveLength(10_000 * IMAGE_PIXELS);
    const perClass = Array.from({ length: 10 }, () => 0);
    for (const label of DIGITS.labels) perClass[label] = (perClass[label] ?? 0) + 1;
    expect(Math.min(...perClass)).toBeGreaterThan(800);
    let outside = 0;
    for (const pixel of DIGITS.pixels) if (!(pixel >= 0 && pixel <= 1)) outside += 1;
    expect(outside).toBe(0);
  });

  it('are split without overlap, the same for the same seed and another for another', () => {
    const split = splitDigits(DIGITS.count, 5);
    const parts = [split.test, split.validation, split.base, ...DOMAINS.map((domain) => split.contributors[domain])];
    const all = parts.flatMap((part) => [...part]);
    expect(new Set(all).size).toBe(all.length);
    expect(Math.max(...all)).toBeLessThan(DIGITS.count);
    for (const domain of DOMAINS) expect(split.contributors[domain]).toHaveLength(DOMAIN_IMAGES[domain]);
    expect(splitDigits(DIGITS.count, 5)).toEqual(split);
    expect(splitDigits(DIGITS.count, 6).test).not.toEqual(split.test);
  });

  it('are never split when there are too few', () => {
    expect(() => splitDigits(9_999, 1)).toThrow(expect.objectContaining({ code: 'INTERNAL' }));
  });

  it('come standardised and with their own labels', () => {
    const positions = Uint32Array.of(9_000, 3, 4_567);
    const images = prepareImages(DIGITS, positions, (index) => DOMAINS[index] ?? 'upright');
    expect([...images.labels]).toEqual([...positions].map((position) => DIGITS.labels[position]));
    for (let index = 0; index < images.count; index += 1) {
      const image = images.inputs.subarray(index * IMAGE_PIXELS, (index + 1) * IMAGE_PIXELS);
      const mean = image.reduce((sum, value) => sum + value, 0) / IMAGE_PIXELS;
      const deviation = Math.sqrt(image.reduce((sum, value) => sum + (value - mean) ** 2, 0) / IMAGE_PIXELS);
      expect(mean).toBeCloseTo(0, 5);
      expect(deviation).toBeCloseTo(INPUT_DEVIATION, 4);
    }
  });
});

describe('the domains', () => {
  const image = Float32Array.from({ length: IMAGE_PIXELS }, (_, at) => ((at * 7) % 101) / 100);
  const inDomain = (domain: (typeof DOMAINS)[number], from: Float32Array): Float32Array => {
    const to = new Float32Array(IMAGE_PIXELS);
    applyDomain(domain, from, to);
    return to;
  };
  const at = (pixels: Float32Array, x: number, y: number): number | undefined => pixels[y * IMAGE_SIDE + x];

  it('leave an upright image alone', () => expect(inDomain('upright', image)).toEqual(image));

  it('turn a quarter clockwise: the top left corner goes to the top right, four turns give the image back', () => {
    expect(at(inDomain('rotated', image), IMAGE_SIDE - 1, 0)).toBe(at(image, 0, 0));
    expect(at(inDomain('rotated', image), 0, 0)).toBe(at(image, 0, IMAGE_SIDE - 1));
    let turned: Float32Array = image;
    for (let turns = 0; turns < 4; turns += 1) turned = inDomain('rotated', turned);
    expect(turned).toEqual(image);
  });

  it('swap ink and background', () => {
    expect(at(inDomain('inverted', image), 3, 0)).toBe(Math.fround(1 - (at(image, 3, 0) as number)));
  });

  it('draw lines at every fourth pixel and leave the rest', () => {
    const ruled = inDomain('ruled', image);
    expect(at(ruled, 4, 5)).toBe(1);
    expect(at(ruled, 5, 8)).toBe(1);
    expect(at(ruled, 5, 6)).toBe(at(image, 5, 6));
  });

  it('refuse an unknown name', () => {
    expect(() => parseDomain('sideways')).toThrow(expect.objectContaining({ code: 'USAGE' }));
    expect(() => parseDomain('toString')).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});

describe('seeded randomness', () => {
  it('gives the same numbers for the same seed and purpose only', () => {
    const draw = (seed: number, purpose: string): number[] => {
      const random = randomStream(seed, purpose);
      return [random(), random(), random()];
    };
    expect(draw(1, 'a')).toEqual(draw(1, 'a'));
    expect(draw(1, 'a')).not.toEqual(draw(1, 'b'));
    expect(draw(1, 'a')).not.toEqual(draw(2, 'a'));
  });

  it('permutes', () => {
    expect([...permutation(50, randomStream(3, 'p'))].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, index) => index));
  });

  it('draws from a normal distribution', () => {
    const random = randomStream(4, 'g');
    const draws = Array.from({ length: 20_000 }, () => gaussian(random));
    const mean = draws.reduce((sum, value) => sum + value, 0) / draws.length;
    expect(mean).toBeCloseTo(0, 1);
    expect(draws.reduce((sum, value) => sum + (value - mean) ** 2, 0) / draws.length).toBeCloseTo(1, 1);
  });
});
