/**
 * Packing: a block of a matrix becomes strips of `width` rows (or columns), k outermost, as the tiles read them. What is missing of the last strip is zero.
 */

/** One strip whose elements of equal p lie side by side; rows of the source are `step` bytes apart and numbered by p. */
@inline function stripAcross<T>(from: usize, step: usize, live: i32, width: i32, k: i32, to: usize): void {
  const bytes = <usize>width * sizeof<T>();
  for (let p = 0; p < k; p++, from += step, to += bytes) {
    if (live < width) {
      for (let i = 0; i < width; i++) store<T>(to + <usize>i * sizeof<T>(), i < live ? load<T>(from + <usize>i * sizeof<T>()) : <T>0);
    } else {
      for (let i: usize = 0; i < bytes; i += 16) v128.store(to + i, v128.load(from + i));
    }
  }
}

/** Four rows of f64, two steps of k at a time. */
@inline function interleave64(from: usize, step: usize, k: i32, to: usize): i32 {
  let p = 0;
  for (; p + 2 <= k; p += 2, from += 16, to += 64) {
    const r0 = v128.load(from);
    const r1 = v128.load(from + step);
    const r2 = v128.load(from + 2 * step);
    const r3 = v128.load(from + 3 * step);
    v128.store(to, v128.shuffle<f64>(r0, r1, 0, 2));
    v128.store(to, v128.shuffle<f64>(r2, r3, 0, 2), 16);
    v128.store(to, v128.shuffle<f64>(r0, r1, 1, 3), 32);
    v128.store(to, v128.shuffle<f64>(r2, r3, 1, 3), 48);
  }
  return p;
}

/** Four rows of f32, four steps of k at a time, `bytes` apart in the strip. */
@inline function interleave32(from: usize, step: usize, k: i32, bytes: usize, to: usize): i32 {
  let p = 0;
  for (; p + 4 <= k; p += 4, from += 16, to += 4 * bytes) {
    const r0 = v128.load(from);
    const r1 = v128.load(from + step);
    const r2 = v128.load(from + 2 * step);
    const r3 = v128.load(from + 3 * step);
    const low01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
    const low23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
    const high01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
    const high23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<f64>(low01, low23, 0, 2));
    v128.store(to + bytes, v128.shuffle<f64>(low01, low23, 1, 3));
    v128.store(to + 2 * bytes, v128.shuffle<f64>(high01, high23, 0, 2));
    v128.store(to + 3 * bytes, v128.shuffle<f64>(high01, high23, 1, 3));
  }
  return p;
}

/** One strip whose elements of equal p lie in `width` rows of the source, `step` bytes apart. */
@inline function stripAlong<T>(from: usize, step: usize, live: i32, width: i32, k: i32, to: usize): void {
  const bytes = <usize>width * sizeof<T>();
  let first = 0;
  if (live == width) {
    if (sizeof<T>() == 8) {
      first = interleave64(from, step, k, to);
    } else {
      for (let i: usize = 0; i < <usize>width; i += 4) first = interleave32(from + i * step, step, k, bytes, to + i * 4);
    }
  }
  for (let p = first; p < k; p++) {
    for (let i = 0; i < width; i++) {
      const value = i < live ? load<T>(from + <usize>i * step + <usize>p * sizeof<T>()) : <T>0;
      store<T>(to + <usize>p * bytes + <usize>i * sizeof<T>(), value);
    }
  }
}

/** Packs `count` x k; `across`: the source has k rows of `count` elements, else `count` rows of k. */
@inline export function pack<T>(from: usize, step: usize, across: bool, count: i32, width: i32, k: i32, to: usize): void {
  const stripBytes = <usize>(k * width) * sizeof<T>();
  for (let i = 0; i < count; i += width, to += stripBytes) {
    const live = min(width, count - i);
    if (across) stripAcross<T>(from + <usize>i * sizeof<T>(), step, live, width, k, to);
    else stripAlong<T>(from + <usize>i * step, step, live, width, k, to);
  }
}
