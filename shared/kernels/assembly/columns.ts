/**
 * Columns of a matrix, one row at a time: sums of products for each column by itself, and rows made of two rows with coefficients for each column.
 * Rows may begin anywhere and have any length: exactly `columns` elements are read and written.
 */

/** Elements i and i + 1 as f64. */
@inline function pairAt<T>(a: usize): v128 {
  return sizeof<T>() == 4 ? f64x2.promote_low_f32x4(v128.load64_zero(a)) : v128.load(a);
}

@inline function addTo(sums: usize, product: v128): void {
  v128.store(sums, f64x2.add(v128.load(sums), product));
}

@inline function columnProducts<T>(a: usize, b: usize, columns: i32, sums: usize): void {
  const stride = <usize>columns << 3;
  const pairs = columns & ~1;
  for (let i = 0; i < pairs; i += 2) {
    const x = pairAt<T>(a + <usize>i * sizeof<T>());
    const y = pairAt<T>(b + <usize>i * sizeof<T>());
    const to = sums + (<usize>i << 3);
    addTo(to, f64x2.mul(x, x));
    addTo(to + stride, f64x2.mul(x, y));
    addTo(to + 2 * stride, f64x2.mul(y, y));
  }
  if (pairs == columns) return;
  const x = <f64>load<T>(a + <usize>pairs * sizeof<T>());
  const y = <f64>load<T>(b + <usize>pairs * sizeof<T>());
  const to = sums + (<usize>pairs << 3);
  store<f64>(to, load<f64>(to) + x * x);
  store<f64>(to + stride, load<f64>(to + stride) + x * y);
  store<f64>(to + 2 * stride, load<f64>(to + 2 * stride) + y * y);
}

@inline function mixColumns<T>(a: usize, b: usize, ofA: usize, ofB: usize, out: usize, columns: i32): void {
  const bytes = <usize>columns * sizeof<T>();
  const whole = bytes & ~15;
  let i: usize = 0;
  for (; i < whole; i += 16) {
    const x = v128.mul<T>(v128.load(ofA + i), v128.load(a + i));
    v128.store(out + i, v128.add<T>(x, v128.mul<T>(v128.load(ofB + i), v128.load(b + i))));
  }
  for (; i < bytes; i += sizeof<T>()) store<T>(out + i, load<T>(ofA + i) * load<T>(a + i) + load<T>(ofB + i) * load<T>(b + i));
}

/** sums: f64[3][columns], += a a, a b and b b of one row. */
export function columnProducts32(a: usize, b: usize, columns: i32, sums: usize): void {
  columnProducts<f32>(a, b, columns, sums);
}

export function columnProducts64(a: usize, b: usize, columns: i32, sums: usize): void {
  columnProducts<f64>(a, b, columns, sums);
}

/** out = ofA a + ofB b, element by element: one row of two matrices, a coefficient for each column. */
export function mixColumns32(a: usize, b: usize, ofA: usize, ofB: usize, out: usize, columns: i32): void {
  mixColumns<f32>(a, b, ofA, ofB, out, columns);
}

export function mixColumns64(a: usize, b: usize, ofA: usize, ofB: usize, out: usize, columns: i32): void {
  mixColumns<f64>(a, b, ofA, ofB, out, columns);
}
