/** Between contiguous matrices of f32 or f64 as callers have them and rows of f64 at a step; on the way times a factor and, if asked for, transposed. */
import { at } from './rows';

@inline function takeInOf<S>(from: usize, rows: i32, columns: i32, to: usize, step: usize, factor: f64): void {
  for (let r = 0; r < rows; r++, to += step) {
    for (let c = 0; c < columns; c++, from += sizeof<S>()) store<f64>(at(to, c), <f64>load<S>(from) * factor);
  }
}

/** Eight columns at a time, so that every line of the source is used whole. */
@inline function takeAcrossOf<S>(from: usize, rows: i32, columns: i32, to: usize, step: usize, factor: f64): void {
  for (let first = 0; first < columns; first += 8) {
    const last = min(columns, first + 8);
    for (let r = 0; r < rows; r++) {
      const row = from + <usize>r * <usize>columns * sizeof<S>();
      for (let c = first; c < last; c++) store<f64>(at(to + <usize>c * step, r), <f64>load<S>(row + <usize>c * sizeof<S>()) * factor);
    }
  }
}

@inline function giveOutOf<S>(from: usize, step: usize, rows: i32, columns: i32, to: usize, factor: f64): void {
  for (let r = 0; r < rows; r++, from += step) {
    for (let c = 0; c < columns; c++, to += sizeof<S>()) store<S>(to, <S>(load<f64>(at(from, c)) * factor));
  }
}

@inline function giveAcrossOf<S>(from: usize, step: usize, rows: i32, columns: i32, to: usize, factor: f64): void {
  for (let first = 0; first < columns; first += 8) {
    const last = min(columns, first + 8);
    for (let r = 0; r < rows; r++) {
      const row = to + <usize>r * <usize>columns * sizeof<S>();
      for (let c = first; c < last; c++) store<S>(row + <usize>c * sizeof<S>(), <S>(load<f64>(at(from + <usize>c * step, r)) * factor));
    }
  }
}

/** `from` has rows x columns; with `across` row r goes to column r. `wide`: it holds f64. */
export function takeIn(from: usize, wide: bool, rows: i32, columns: i32, to: usize, step: usize, factor: f64, across: bool): void {
  if (wide && across) takeAcrossOf<f64>(from, rows, columns, to, step, factor);
  else if (wide) takeInOf<f64>(from, rows, columns, to, step, factor);
  else if (across) takeAcrossOf<f32>(from, rows, columns, to, step, factor);
  else takeInOf<f32>(from, rows, columns, to, step, factor);
}

/** `to` gets rows x columns; with `across` its row r is column r of `from`. `wide`: it holds f64. */
export function giveOut(from: usize, step: usize, rows: i32, columns: i32, to: usize, wide: bool, factor: f64, across: bool): void {
  if (wide && across) giveAcrossOf<f64>(from, step, rows, columns, to, factor);
  else if (wide) giveOutOf<f64>(from, step, rows, columns, to, factor);
  else if (across) giveAcrossOf<f32>(from, step, rows, columns, to, factor);
  else giveOutOf<f32>(from, step, rows, columns, to, factor);
}
