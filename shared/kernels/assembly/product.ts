/**
 * Rows of scale x left x right without either product being whole anywhere. Each element is one sum over the rank, in ascending order, in f64 (products of
 * two f32 are exact there), then scaled and rounded to f32 once: which rows and columns are asked for together changes no bit.
 *
 * `right` lies in panels of four columns: for each of the rank its four numbers (f32), panel after panel. `left` lies row by row as f64.
 */
import { demote, high, low } from './lanes';

/** Four rows or four panels that are not wanted whole. */
const SCRATCH = memory.data(64, 16);

@inline function put(out: usize, lower: v128, upper: v128, scale: v128): void {
  v128.store(out, demote(f64x2.mul(lower, scale), f64x2.mul(upper, scale)));
}

/** Four rows, one panel. */
function fourRows(left: usize, panel: usize, rank: i32, out: usize, stride: usize, scale: f64): void {
  const row = <usize>rank << 3;
  let l0 = left;
  let l1 = l0 + row;
  let l2 = l1 + row;
  let l3 = l2 + row;
  const end = l1;
  let a0 = f64x2.splat(0);
  let b0 = a0;
  let a1 = a0;
  let b1 = a0;
  let a2 = a0;
  let b2 = a0;
  let a3 = a0;
  let b3 = a0;
  while (l0 < end) {
    const four = v128.load(panel);
    const a = low(four);
    const b = high(four);
    let x = v128.load64_splat(l0);
    a0 = f64x2.add(a0, f64x2.mul(x, a));
    b0 = f64x2.add(b0, f64x2.mul(x, b));
    x = v128.load64_splat(l1);
    a1 = f64x2.add(a1, f64x2.mul(x, a));
    b1 = f64x2.add(b1, f64x2.mul(x, b));
    x = v128.load64_splat(l2);
    a2 = f64x2.add(a2, f64x2.mul(x, a));
    b2 = f64x2.add(b2, f64x2.mul(x, b));
    x = v128.load64_splat(l3);
    a3 = f64x2.add(a3, f64x2.mul(x, a));
    b3 = f64x2.add(b3, f64x2.mul(x, b));
    l0 += 8;
    l1 += 8;
    l2 += 8;
    l3 += 8;
    panel += 16;
  }
  const s = f64x2.splat(scale);
  put(out, a0, b0, s);
  put(out + stride, a1, b1, s);
  put(out + 2 * stride, a2, b2, s);
  put(out + 3 * stride, a3, b3, s);
}

/** One row, four panels, of which the last ones may be the same. */
function fourPanels(left: usize, p0: usize, p1: usize, p2: usize, p3: usize, rank: i32, out: usize, scale: f64): void {
  const end = left + (<usize>rank << 3);
  let a0 = f64x2.splat(0);
  let b0 = a0;
  let a1 = a0;
  let b1 = a0;
  let a2 = a0;
  let b2 = a0;
  let a3 = a0;
  let b3 = a0;
  for (let at: usize = 0; left < end; at += 16) {
    const x = v128.load64_splat(left);
    let four = v128.load(p0 + at);
    a0 = f64x2.add(a0, f64x2.mul(x, low(four)));
    b0 = f64x2.add(b0, f64x2.mul(x, high(four)));
    four = v128.load(p1 + at);
    a1 = f64x2.add(a1, f64x2.mul(x, low(four)));
    b1 = f64x2.add(b1, f64x2.mul(x, high(four)));
    four = v128.load(p2 + at);
    a2 = f64x2.add(a2, f64x2.mul(x, low(four)));
    b2 = f64x2.add(b2, f64x2.mul(x, high(four)));
    four = v128.load(p3 + at);
    a3 = f64x2.add(a3, f64x2.mul(x, low(four)));
    b3 = f64x2.add(b3, f64x2.mul(x, high(four)));
    left += 8;
  }
  const s = f64x2.splat(scale);
  put(out, a0, b0, s);
  put(out + 16, a1, b1, s);
  put(out + 32, a2, b2, s);
  put(out + 48, a3, b3, s);
}

/** Copies those of the columns [at, at + size) that lie in [from, to) out of the scratch. */
@inline function copyWanted(scratch: usize, at: i32, size: i32, from: i32, to: i32, out: usize): void {
  const first = max(at, from);
  const count = min(at + size, to) - first;
  memory.copy(out + (<usize>(first - from) << 2), scratch + (<usize>(first - at) << 2), <usize>count << 2);
}

/** Columns [from, to) of `rows` rows of the product, as f32; rows of the result lie to - from elements apart. */
export function productRows(left: usize, right: usize, rank: i32, rows: i32, from: i32, to: i32, out: usize, scale: f64): void {
  const stride = <usize>(to - from) << 2;
  const panelBytes = <usize>rank << 4;
  const rowBytes = <usize>rank << 3;
  const fours = rows & ~3;
  if (fours > 0) {
    for (let at = from & ~3; at < to; at += 4) {
      const panel = right + <usize>(at >> 2) * panelBytes;
      const whole = at >= from && at + 4 <= to;
      for (let row = 0; row < fours; row += 4) {
        const target = out + <usize>row * stride;
        if (whole) {
          fourRows(left + <usize>row * rowBytes, panel, rank, target + (<usize>(at - from) << 2), stride, scale);
          continue;
        }
        fourRows(left + <usize>row * rowBytes, panel, rank, SCRATCH, 16, scale);
        for (let one = 0; one < 4; one++) copyWanted(SCRATCH + (<usize>one << 4), at, 4, from, to, target + <usize>one * stride);
      }
    }
  }
  const last = right + <usize>((to - 1) >> 2) * panelBytes;
  for (let row = fours; row < rows; row++) {
    const l = left + <usize>row * rowBytes;
    const target = out + <usize>row * stride;
    for (let at = from & ~3; at < to; at += 16) {
      const p0 = right + <usize>(at >> 2) * panelBytes;
      const p1 = min(p0 + panelBytes, last);
      const p2 = min(p1 + panelBytes, last);
      const p3 = min(p2 + panelBytes, last);
      if (at >= from && at + 16 <= to) {
        fourPanels(l, p0, p1, p2, p3, rank, target + (<usize>(at - from) << 2), scale);
        continue;
      }
      fourPanels(l, p0, p1, p2, p3, rank, SCRATCH, scale);
      copyWanted(SCRATCH, at, 16, from, to, target);
    }
  }
}

/**
 * Puts elements [first, first + count) of a matrix (f32) into panels of four columns: of rank x columns, or of columns x rank when `turned`.
 * Lanes behind the last column stay what they are.
 */
export function packPanels(from: usize, first: i32, count: i32, rank: i32, columns: i32, turned: bool, to: usize): void {
  const length = turned ? rank : columns;
  let outer = first / length;
  let inner = first % length;
  for (let i = 0; i < count; i++) {
    const column = turned ? outer : inner;
    const k = turned ? inner : outer;
    store<f32>(to + ((<usize>(column >> 2) * rank + k) << 4) + (<usize>(column & 3) << 2), load<f32>(from + (<usize>i << 2)));
    if (++inner == length) {
      inner = 0;
      outer++;
    }
  }
}

/** to[i x step] = from[i], f64. */
export function spread64(from: usize, to: usize, step: i32, count: i32): void {
  const stride = <usize>step << 3;
  for (let i = 0; i < count; i++) store<f64>(to + <usize>i * stride, load<f64>(from + (<usize>i << 3)));
}
