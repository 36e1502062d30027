/**
 * The innermost loops of products: a tile of 4 x 32 bytes of the result (4 x 8 f32, 4 x 4 f64) stays in eight registers while two packed strips run by.
 * An element is summed over k in index order, from zero, wherever its tile lies.
 */

/** Rows of a tile. */
export const TILE_ROWS: i32 = 4;

/** Columns of a tile. */
@inline export function tileColumns<T>(): i32 {
  return 32 / sizeof<T>();
}

/** c += alpha a b: `a` k x 4, `b` k x tileColumns, both with k outermost; rows of c are `step` bytes apart. */
@inline function tile<T>(a: usize, b: usize, k: i32, alpha: T, c: usize, step: usize): void {
  let c00 = v128.splat<T>(0);
  let c01 = c00;
  let c10 = c00;
  let c11 = c00;
  let c20 = c00;
  let c21 = c00;
  let c30 = c00;
  let c31 = c00;
  // One step at a time: the host loads all of a body first, and more of them would not fit into its registers.
  for (; k > 0; k--) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const x0 = v128.load_splat<T>(a);
    c00 = v128.add<T>(c00, v128.mul<T>(x0, b0));
    c01 = v128.add<T>(c01, v128.mul<T>(x0, b1));
    const x1 = v128.load_splat<T>(a, sizeof<T>());
    c10 = v128.add<T>(c10, v128.mul<T>(x1, b0));
    c11 = v128.add<T>(c11, v128.mul<T>(x1, b1));
    const x2 = v128.load_splat<T>(a, 2 * sizeof<T>());
    c20 = v128.add<T>(c20, v128.mul<T>(x2, b0));
    c21 = v128.add<T>(c21, v128.mul<T>(x2, b1));
    const x3 = v128.load_splat<T>(a, 3 * sizeof<T>());
    c30 = v128.add<T>(c30, v128.mul<T>(x3, b0));
    c31 = v128.add<T>(c31, v128.mul<T>(x3, b1));
    a += 4 * sizeof<T>();
    b += 32;
  }
  const factor = v128.splat<T>(alpha);
  addRow<T>(c, factor, c00, c01);
  addRow<T>(c + step, factor, c10, c11);
  addRow<T>(c + 2 * step, factor, c20, c21);
  addRow<T>(c + 3 * step, factor, c30, c31);
}

@inline function addRow<T>(c: usize, factor: v128, x: v128, y: v128): void {
  v128.store(c, v128.add<T>(v128.load(c), v128.mul<T>(factor, x)));
  v128.store(c, v128.add<T>(v128.load(c, 16), v128.mul<T>(factor, y)), 16);
}

// Exported so that they stay functions of their own: the compiler of the host optimises a function for its next call, never a loop that is running.

export function tile32(a: usize, b: usize, k: i32, alpha: f32, c: usize, step: usize): void {
  tile<f32>(a, b, k, alpha, c, step);
}

export function tile64(a: usize, b: usize, k: i32, alpha: f64, c: usize, step: usize): void {
  tile<f64>(a, b, k, alpha, c, step);
}
