/** Arithmetic on vectors, in place on the first one; one rounding an operation. */
import { bytesOf } from './vectors';

@inline function scale<T>(a: usize, factor: f64, count: i32): void {
  const c = v128.splat<T>(<T>factor);
  const end = a + bytesOf<T>(count);
  for (; a < end; a += 32) {
    v128.store(a, v128.mul<T>(v128.load(a), c));
    v128.store(a, v128.mul<T>(v128.load(a, 16), c), 16);
  }
}

@inline function add<T>(a: usize, b: usize, count: i32): void {
  const end = a + bytesOf<T>(count);
  for (; a < end; a += 32, b += 32) {
    v128.store(a, v128.add<T>(v128.load(a), v128.load(b)));
    v128.store(a, v128.add<T>(v128.load(a, 16), v128.load(b, 16)), 16);
  }
}

@inline function subtract<T>(a: usize, b: usize, count: i32): void {
  const end = a + bytesOf<T>(count);
  for (; a < end; a += 32, b += 32) {
    v128.store(a, v128.sub<T>(v128.load(a), v128.load(b)));
    v128.store(a, v128.sub<T>(v128.load(a, 16), v128.load(b, 16)), 16);
  }
}

@inline function addScaled<T>(a: usize, b: usize, factor: f64, count: i32): void {
  const c = v128.splat<T>(<T>factor);
  const end = a + bytesOf<T>(count);
  for (; a < end; a += 32, b += 32) {
    v128.store(a, v128.add<T>(v128.load(a), v128.mul<T>(c, v128.load(b))));
    v128.store(a, v128.add<T>(v128.load(a, 16), v128.mul<T>(c, v128.load(b, 16))), 16);
  }
}

@inline function divideBy<T>(a: usize, divisor: f64, count: i32): void {
  const c = v128.splat<T>(<T>divisor);
  const end = a + bytesOf<T>(count);
  for (; a < end; a += 32) {
    v128.store(a, v128.div<T>(v128.load(a), c));
    v128.store(a, v128.div<T>(v128.load(a, 16), c), 16);
  }
}

/** a /= c */
export function divideBy32(a: usize, c: f64, count: i32): void {
  divideBy<f32>(a, c, count);
}

export function divideBy64(a: usize, c: f64, count: i32): void {
  divideBy<f64>(a, c, count);
}

/** a *= c */
export function scale32(a: usize, c: f64, count: i32): void {
  scale<f32>(a, c, count);
}

export function scale64(a: usize, c: f64, count: i32): void {
  scale<f64>(a, c, count);
}

/** a += b */
export function add32(a: usize, b: usize, count: i32): void {
  add<f32>(a, b, count);
}

export function add64(a: usize, b: usize, count: i32): void {
  add<f64>(a, b, count);
}

/** a -= b */
export function subtract32(a: usize, b: usize, count: i32): void {
  subtract<f32>(a, b, count);
}

export function subtract64(a: usize, b: usize, count: i32): void {
  subtract<f64>(a, b, count);
}

/** a += c b, the product rounded before the sum */
export function addScaled32(a: usize, b: usize, c: f64, count: i32): void {
  addScaled<f32>(a, b, c, count);
}

export function addScaled64(a: usize, b: usize, c: f64, count: i32): void {
  addScaled<f64>(a, b, c, count);
}

/** Zeroes exactly `bytes` bytes. */
export function clear(a: usize, bytes: usize): void {
  memory.fill(a, 0, bytes);
}
