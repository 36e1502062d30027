/** Sorting networks with the fewest exchanges for two to eight vectors, all values of an element in registers. */
import { vectorAt } from './vectors';

// Of equal values (zeros of either sign) the first stays first: an exchange never loses one of the two.

@inline export function lesser<T>(a: v128, b: v128): v128 {
  return v128.pmin<T>(a, b);
}

@inline export function greater<T>(a: v128, b: v128): v128 {
  return v128.pmax<T>(b, a);
}

export function sort2<T>(ptrs: usize, bytes: usize): void {
  const p0 = vectorAt(ptrs, 0);
  const p1 = vectorAt(ptrs, 1);
  for (let i: usize = 0; i < bytes; i += 16) {
    let v0 = v128.load(p0 + i);
    let v1 = v128.load(p1 + i);
    let t: v128;
    (t = lesser<T>(v0, v1)), (v1 = greater<T>(v0, v1)), (v0 = t);
    v128.store(p0 + i, v0);
    v128.store(p1 + i, v1);
  }
}

export function sort3<T>(ptrs: usize, bytes: usize): void {
  const p0 = vectorAt(ptrs, 0);
  const p1 = vectorAt(ptrs, 1);
  const p2 = vectorAt(ptrs, 2);
  for (let i: usize = 0; i < bytes; i += 16) {
    let v0 = v128.load(p0 + i);
    let v1 = v128.load(p1 + i);
    let v2 = v128.load(p2 + i);
    let t: v128;
    (t = lesser<T>(v0, v2)), (v2 = greater<T>(v0, v2)), (v0 = t);
    (t = lesser<T>(v0, v1)), (v1 = greater<T>(v0, v1)), (v0 = t);
    (t = lesser<T>(v1, v2)), (v2 = greater<T>(v1, v2)), (v1 = t);
    v128.store(p0 + i, v0);
    v128.store(p1 + i, v1);
    v128.store(p2 + i, v2);
  }
}

export function sort4<T>(ptrs: usize, bytes: usize): void {
  const p0 = vectorAt(ptrs, 0);
  const p1 = vectorAt(ptrs, 1);
  const p2 = vectorAt(ptrs, 2);
  const p3 = vectorAt(ptrs, 3);
  for (let i: usize = 0; i < bytes; i += 16) {
    let v0 = v128.load(p0 + i);
    let v1 = v128.load(p1 + i);
    let v2 = v128.load(p2 + i);
    let v3 = v128.load(p3 + i);
    let t: v128;
    (t = lesser<T>(v0, v2)), (v2 = greater<T>(v0, v2)), (v0 = t);
    (t = lesser<T>(v1, v3)), (v3 = greater<T>(v1, v3)), (v1 = t);
    (t = lesser<T>(v0, v1)), (v1 = greater<T>(v0, v1)), (v0 = t);
    (t = lesser<T>(v2, v3)), (v3 = greater<T>(v2, v3)), (v2 = t);
    (t = lesser<T>(v1, v2)), (v2 = greater<T>(v1, v2)), (v1 = t);
    v128.store(p0 + i, v0);
    v128.store(p1 + i, v1);
    v128.store(p2 + i, v2);
    v128.store(p3 + i, v3);
  }
}

export function sort5<T>(ptrs: usize, bytes: usize): void {
  const p0 = vectorAt(ptrs, 0);
  const p1 = vectorAt(ptrs, 1);
  const p2 = vectorAt(ptrs, 2);
  const p3 = vectorAt(ptrs, 3);
  const p4 = vectorAt(ptrs, 4);
  for (let i: usize = 0; i < bytes; i += 16) {
    let v0 = v128.load(p0 + i);
    let v1 = v128.load(p1 + i);
    let v2 = v128.load(p2 + i);
    let v3 = v128.load(p3 + i);
    let v4 = v128.load(p4 + i);
    let t: v128;
    (t = lesser<T>(v0, v3)), (v3 = greater<T>(v0, v3)), (v0 = t);
    (t = lesser<T>(v1, v4)), (v4 = greater<T>(v1, v4)), (v1 = t);
    (t = lesser<T>(v0, v2)), (v2 = greater<T>(v0, v2)), (v0 = t);
    (t = lesser<T>(v1, v3)), (v3 = greater<T>(v1, v3)), (v1 = t);
    (t = lesser<T>(v0, v1)), (v1 = greater<T>(v0, v1)), (v0 = t);
    (t = lesser<T>(v2, v4)), (v4 = greater<T>(v2, v4)), (v2 = t);
    (t = lesser<T>(v1, v2)), (v2 = greater<T>(v1, v2)), (v1 = t);
    (t = lesser<T>(v3, v4)), (v4 = greater<T>(v3, v4)), (v3 = t);
    (t = lesser<T>(v2, v3)), (v3 = greater<T>(v2, v3)), (v2 = t);
    v128.store(p0 + i, v0);
    v128.store(p1 + i, v1);
    v128.store(p2 + i, v2);
    v128.store(p3 + i, v3);
    v128.store(p4 + i, v4);
  }
}

export function sort6<T>(ptrs: usize, bytes: usize): void {
  const p0 = vectorAt(ptrs, 0);
  const p1 = vectorAt(ptrs, 1);
  const p2 = vectorAt(ptrs, 2);
  const p3 = vectorAt(ptrs, 3);
  const p4 = vectorAt(ptrs, 4);
  const p5 = vectorAt(ptrs, 5);
  for (let i: usize = 0; i < bytes; i += 16) {
    let v0 = v128.load(p0 + i);
    let v1 = v128.load(p1 + i);
    let v2 = v128.load(p2 + i);
    let v3 = v128.load(p3 + i);
    let v4 = v128.load(p4 + i);
    let v5 = v128.load(p5 + i);
    let t: v128;
    (t = lesser<T>(v0, v5)), (v5 = greater<T>(v0, v5)), (v0 = t);
    (t = lesser<T>(v1, v3)), (v3 = greater<T>(v1, v3)), (v1 = t);
    (t = lesser<T>(v2, v4)), (v4 = greater<T>(v2, v4)), (v2 = t);
    (t = lesser<T>(v1, v2)), (v2 = greater<T>(v1, v2)), (v1 = t);
    (t = lesser<T>(v3, v4)), (v4 = greater<T>(v3, v4)), (v3 = t);
    (t = lesser<T>(v0, v3)), (v3 = greater<T>(v0, v3)), (v0 = t);
    (t = lesser<T>(v2, v5)), (v5 = greater<T>(v2, v5)), (v2 = t);
    (t = lesser<T>(v0, v1)), (v1 = greater<T>(v0, v1)), (v0 = t);
    (t = lesser<T>(v2, v3)), (v3 = greater<T>(v2, v3)), (v2 = t);
    (t = lesser<T>(v4, v5)), (v5 = greater<T>(v4, v5)), (v4 = t);
    (t = lesser<T>(v1, v2)), (v2 = greater<T>(v1, v2)), (v1 = t);
    (t = lesser<T>(v3, v4)), (v4 = greater<T>(v3, v4)), (v3 = t);
    v128.store(p0 + i, v0);
    v128.store(p1 + i, v1);
    v128.store(p2 + i, v2);
    v128.store(p3 + i, v3);
    v128.store(p4 + i, v4);
    v128.store(p5 + i, v5);
  }
}

export function sort7<T>(ptrs: usize, bytes: usize): void {
  const p0 = vectorAt(ptrs, 0);
  const p1 = vectorAt(ptrs, 1);
  const p2 = vectorAt(ptrs, 2);
  const p3 = vectorAt(ptrs, 3);
  const p4 = vectorAt(ptrs, 4);
  const p5 = vectorAt(ptrs, 5);
  const p6 = vectorAt(ptrs, 6);
  for (let i: usize = 0; i < bytes; i += 16) {
    let v0 = v128.load(p0 + i);
    let v1 = v128.load(p1 + i);
    let v2 = v128.load(p2 + i);
    let v3 = v128.load(p3 + i);
    let v4 = v128.load(p4 + i);
    let v5 = v128.load(p5 + i);
    let v6 = v128.load(p6 + i);
    let t: v128;
    (t = lesser<T>(v0, v6)), (v6 = greater<T>(v0, v6)), (v0 = t);
    (t = lesser<T>(v2, v3)), (v3 = greater<T>(v2, v3)), (v2 = t);
    (t = lesser<T>(v4, v5)), (v5 = greater<T>(v4, v5)), (v4 = t);
    (t = lesser<T>(v0, v2)), (v2 = greater<T>(v0, v2)), (v0 = t);
    (t = lesser<T>(v1, v4)), (v4 = greater<T>(v1, v4)), (v1 = t);
    (t = lesser<T>(v3, v6)), (v6 = greater<T>(v3, v6)), (v3 = t);
    (t = lesser<T>(v0, v1)), (v1 = greater<T>(v0, v1)), (v0 = t);
    (t = lesser<T>(v2, v5)), (v5 = greater<T>(v2, v5)), (v2 = t);
    (t = lesser<T>(v3, v4)), (v4 = greater<T>(v3, v4)), (v3 = t);
    (t = lesser<T>(v1, v2)), (v2 = greater<T>(v1, v2)), (v1 = t);
    (t = lesser<T>(v4, v6)), (v6 = greater<T>(v4, v6)), (v4 = t);
    (t = lesser<T>(v2, v3)), (v3 = greater<T>(v2, v3)), (v2 = t);
    (t = lesser<T>(v4, v5)), (v5 = greater<T>(v4, v5)), (v4 = t);
    (t = lesser<T>(v1, v2)), (v2 = greater<T>(v1, v2)), (v1 = t);
    (t = lesser<T>(v3, v4)), (v4 = greater<T>(v3, v4)), (v3 = t);
    (t = lesser<T>(v5, v6)), (v6 = greater<T>(v5, v6)), (v5 = t);
    v128.store(p0 + i, v0);
    v128.store(p1 + i, v1);
    v128.store(p2 + i, v2);
    v128.store(p3 + i, v3);
    v128.store(p4 + i, v4);
    v128.store(p5 + i, v5);
    v128.store(p6 + i, v6);
  }
}

export function sort8<T>(ptrs: usize, bytes: usize): void {
  const p0 = vectorAt(ptrs, 0);
  const p1 = vectorAt(ptrs, 1);
  const p2 = vectorAt(ptrs, 2);
  const p3 = vectorAt(ptrs, 3);
  const p4 = vectorAt(ptrs, 4);
  const p5 = vectorAt(ptrs, 5);
  const p6 = vectorAt(ptrs, 6);
  const p7 = vectorAt(ptrs, 7);
  for (let i: usize = 0; i < bytes; i += 16) {
    let v0 = v128.load(p0 + i);
    let v1 = v128.load(p1 + i);
    let v2 = v128.load(p2 + i);
    let v3 = v128.load(p3 + i);
    let v4 = v128.load(p4 + i);
    let v5 = v128.load(p5 + i);
    let v6 = v128.load(p6 + i);
    let v7 = v128.load(p7 + i);
    let t: v128;
    (t = lesser<T>(v0, v2)), (v2 = greater<T>(v0, v2)), (v0 = t);
    (t = lesser<T>(v1, v3)), (v3 = greater<T>(v1, v3)), (v1 = t);
    (t = lesser<T>(v4, v6)), (v6 = greater<T>(v4, v6)), (v4 = t);
    (t = lesser<T>(v5, v7)), (v7 = greater<T>(v5, v7)), (v5 = t);
    (t = lesser<T>(v0, v4)), (v4 = greater<T>(v0, v4)), (v0 = t);
    (t = lesser<T>(v1, v5)), (v5 = greater<T>(v1, v5)), (v1 = t);
    (t = lesser<T>(v2, v6)), (v6 = greater<T>(v2, v6)), (v2 = t);
    (t = lesser<T>(v3, v7)), (v7 = greater<T>(v3, v7)), (v3 = t);
    (t = lesser<T>(v0, v1)), (v1 = greater<T>(v0, v1)), (v0 = t);
    (t = lesser<T>(v2, v3)), (v3 = greater<T>(v2, v3)), (v2 = t);
    (t = lesser<T>(v4, v5)), (v5 = greater<T>(v4, v5)), (v4 = t);
    (t = lesser<T>(v6, v7)), (v7 = greater<T>(v6, v7)), (v6 = t);
    (t = lesser<T>(v2, v4)), (v4 = greater<T>(v2, v4)), (v2 = t);
    (t = lesser<T>(v3, v5)), (v5 = greater<T>(v3, v5)), (v3 = t);
    (t = lesser<T>(v1, v4)), (v4 = greater<T>(v1, v4)), (v1 = t);
    (t = lesser<T>(v3, v6)), (v6 = greater<T>(v3, v6)), (v3 = t);
    (t = lesser<T>(v1, v2)), (v2 = greater<T>(v1, v2)), (v1 = t);
    (t = lesser<T>(v3, v4)), (v4 = greater<T>(v3, v4)), (v3 = t);
    (t = lesser<T>(v5, v6)), (v6 = greater<T>(v5, v6)), (v5 = t);
    v128.store(p0 + i, v0);
    v128.store(p1 + i, v1);
    v128.store(p2 + i, v2);
    v128.store(p3 + i, v3);
    v128.store(p4 + i, v4);
    v128.store(p5 + i, v5);
    v128.store(p6 + i, v6);
    v128.store(p7 + i, v7);
  }
}
