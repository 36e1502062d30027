/**
 * Vectors of f64 that lie contiguous, and matrices as rows of such: counts are elements, steps are bytes from row to row. Sums are taken in an order
 * that depends on the counts alone.
 */

@inline export function at(start: usize, index: i32): usize {
  return start + (<usize>index << 3);
}

@inline export function get(start: usize, index: i32): f64 {
  return load<f64>(at(start, index));
}

@inline export function set(start: usize, index: i32, value: f64): void {
  store<f64>(at(start, index), value);
}

@inline function sumOf(v: v128): f64 {
  return f64x2.extract_lane(v, 0) + f64x2.extract_lane(v, 1);
}

/** Sum of x y. */
export function dot(x: usize, y: usize, n: i32): f64 {
  let s0 = f64x2.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  let i = 0;
  for (; i + 8 <= n; i += 8, x += 64, y += 64) {
    s0 = f64x2.add(s0, f64x2.mul(v128.load(x), v128.load(y)));
    s1 = f64x2.add(s1, f64x2.mul(v128.load(x, 16), v128.load(y, 16)));
    s2 = f64x2.add(s2, f64x2.mul(v128.load(x, 32), v128.load(y, 32)));
    s3 = f64x2.add(s3, f64x2.mul(v128.load(x, 48), v128.load(y, 48)));
  }
  let sum = sumOf(f64x2.add(f64x2.add(s0, s1), f64x2.add(s2, s3)));
  for (; i < n; i++, x += 8, y += 8) sum += load<f64>(x) * load<f64>(y);
  return sum;
}

/** y += c x */
export function addScaled(x: usize, c: f64, n: i32, y: usize): void {
  const factor = f64x2.splat(c);
  let i = 0;
  for (; i + 2 <= n; i += 2, x += 16, y += 16) v128.store(y, f64x2.add(v128.load(y), f64x2.mul(factor, v128.load(x))));
  if (i < n) store<f64>(y, load<f64>(y) + c * load<f64>(x));
}

/** x *= c */
export function scale(x: usize, c: f64, n: i32): void {
  const factor = f64x2.splat(c);
  let i = 0;
  for (; i + 2 <= n; i += 2, x += 16) v128.store(x, f64x2.mul(v128.load(x), factor));
  if (i < n) store<f64>(x, load<f64>(x) * c);
}

/** (x, y) = (c x + s y, c y - s x) */
export function rotate(x: usize, y: usize, n: i32, c: f64, s: f64): void {
  const cc = f64x2.splat(c);
  const ss = f64x2.splat(s);
  let i = 0;
  for (; i + 2 <= n; i += 2, x += 16, y += 16) {
    const a = v128.load(x);
    const b = v128.load(y);
    v128.store(x, f64x2.add(f64x2.mul(cc, a), f64x2.mul(ss, b)));
    v128.store(y, f64x2.sub(f64x2.mul(cc, b), f64x2.mul(ss, a)));
  }
  if (i < n) {
    const a = load<f64>(x);
    const b = load<f64>(y);
    store<f64>(x, c * a + s * b);
    store<f64>(y, c * b - s * a);
  }
}

/** y = a x: the dot product of x with every row of a. */
export function rowsTimes(a: usize, step: usize, rows: i32, x: usize, n: i32, y: usize): void {
  let r = 0;
  for (; r + 4 <= rows; r += 4, a += 4 * step, y += 32) fourDots(a, step, x, n, y);
  for (; r < rows; r++, a += step, y += 8) store<f64>(y, dot(a, x, n));
}

export function fourDots(a: usize, step: usize, x: usize, n: i32, y: usize): void {
  const b = a + step;
  const c = b + step;
  const d = c + step;
  let va = f64x2.splat(0);
  let vb = va;
  let vc = va;
  let vd = va;
  const end = <usize>(n & ~1) << 3;
  let i: usize = 0;
  for (; i < end; i += 16) {
    const vx = v128.load(x + i);
    va = f64x2.add(va, f64x2.mul(v128.load(a + i), vx));
    vb = f64x2.add(vb, f64x2.mul(v128.load(b + i), vx));
    vc = f64x2.add(vc, f64x2.mul(v128.load(c + i), vx));
    vd = f64x2.add(vd, f64x2.mul(v128.load(d + i), vx));
  }
  let sa = sumOf(va);
  let sb = sumOf(vb);
  let sc = sumOf(vc);
  let sd = sumOf(vd);
  if (n & 1) {
    const value = load<f64>(x + i);
    sa += load<f64>(a + i) * value;
    sb += load<f64>(b + i) * value;
    sc += load<f64>(c + i) * value;
    sd += load<f64>(d + i) * value;
  }
  store<f64>(y, sa);
  store<f64>(y, sb, 8);
  store<f64>(y, sc, 16);
  store<f64>(y, sd, 24);
}

/** y += factor (a^T x): the rows of a, each times its element of x. */
export function addRows(a: usize, step: usize, rows: i32, x: usize, factor: f64, n: i32, y: usize): void {
  let r = 0;
  for (; r + 4 <= rows; r += 4, a += 4 * step, x += 32) addFourRows(a, step, x, factor, n, y);
  for (; r < rows; r++, a += step, x += 8) addScaled(a, factor * load<f64>(x), n, y);
}

export function addFourRows(a: usize, step: usize, x: usize, factor: f64, n: i32, y: usize): void {
  const b = a + step;
  const c = b + step;
  const d = c + step;
  const fa = factor * load<f64>(x);
  const fb = factor * load<f64>(x, 8);
  const fc = factor * load<f64>(x, 16);
  const fd = factor * load<f64>(x, 24);
  const va = f64x2.splat(fa);
  const vb = f64x2.splat(fb);
  const vc = f64x2.splat(fc);
  const vd = f64x2.splat(fd);
  const end = <usize>(n & ~1) << 3;
  let i: usize = 0;
  for (; i < end; i += 16) {
    const ab = f64x2.add(f64x2.mul(va, v128.load(a + i)), f64x2.mul(vb, v128.load(b + i)));
    const cd = f64x2.add(f64x2.mul(vc, v128.load(c + i)), f64x2.mul(vd, v128.load(d + i)));
    v128.store(y + i, f64x2.add(v128.load(y + i), f64x2.add(ab, cd)));
  }
  if (n & 1) {
    const ab = fa * load<f64>(a + i) + fb * load<f64>(b + i);
    store<f64>(y + i, load<f64>(y + i) + (ab + (fc * load<f64>(c + i) + fd * load<f64>(d + i))));
  }
}
