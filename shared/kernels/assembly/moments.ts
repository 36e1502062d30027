/** Optimisers of the server over rounds (arXiv 2003.00295): the second moment, and the step that two moments make. */
import { bytesOf } from './vectors';

@inline function secondMoment<T>(v: usize, delta: usize, beta2: f64, yogi: bool, count: i32): void {
  const keep = v128.splat<T>(<T>beta2);
  const rest = v128.splat<T>(<T>(1 - beta2));
  const end = v + bytesOf<T>(count);
  for (; v < end; v += 16, delta += 16) {
    const old = v128.load(v);
    const d = v128.load(delta);
    const square = v128.mul<T>(d, d);
    const change = v128.mul<T>(rest, square);
    if (yogi) {
      const grown = v128.add<T>(old, v128.and(change, v128.lt<T>(old, square)));
      v128.store(v, v128.sub<T>(grown, v128.and(change, v128.gt<T>(old, square))));
    } else {
      v128.store(v, v128.add<T>(v128.mul<T>(keep, old), change));
    }
  }
}

@inline function adaptive<T>(m: usize, v: usize, tau: f64, out: usize, count: i32): void {
  const taus = v128.splat<T>(<T>tau);
  const zero = v128.splat<T>(0);
  const end = m + bytesOf<T>(count);
  for (; m < end; m += 16, v += 16, out += 16) {
    const moment = v128.load(m);
    const quotient = v128.div<T>(moment, v128.add<T>(v128.sqrt<T>(v128.load(v)), taus));
    v128.store(out, v128.and(quotient, v128.ne<T>(moment, zero)));
  }
}

/** v = beta2 v + (1 - beta2) delta^2; `yogi`: v - (1 - beta2) delta^2 sign(v - delta^2). In place. */
export function secondMoment32(v: usize, delta: usize, beta2: f64, yogi: bool, count: i32): void {
  secondMoment<f32>(v, delta, beta2, yogi, count);
}

export function secondMoment64(v: usize, delta: usize, beta2: f64, yogi: bool, count: i32): void {
  secondMoment<f64>(v, delta, beta2, yogi, count);
}

/** out = m / (sqrt(v) + tau); +0 where m is zero, whatever v and tau are. */
export function adaptive32(m: usize, v: usize, tau: f64, out: usize, count: i32): void {
  adaptive<f32>(m, v, tau, out, count);
}

export function adaptive64(m: usize, v: usize, tau: f64, out: usize, count: i32): void {
  adaptive<f64>(m, v, tau, out, count);
}
