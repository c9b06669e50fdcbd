// exp, tanh and log, step by step as in model/libm.h: with the fused multiplyAdd they have the bits of glibc 2.36,
// which Torch7 called. The constants of exp and log are from Arm's optimized routines (MIT license), those of tanh
// from fdlibm: Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved. Developed at SunPro, a Sun Microsystems,
// Inc. business. Permission to use, copy, modify, and distribute this software is freely granted, provided that this
// notice is preserved.
import { multiplyAdd } from "./fused.js";
import { TABLES } from "./tables.js"; // made by charrnn_port/sharing/lesson.py from model/libm_tables.h

const POWER = new Float64Array(BigUint64Array.from(TABLES.EXP_POWER.map((bits, i) => BigInt(bits) + (BigInt(i) << 45n)))
  .buffer); // 2 ** (i / 128)
const TAIL = Float64Array.from(TABLES.EXP_TAIL);
const INVERSE = Float64Array.from(TABLES.LOG_INVERSE);
const CENTER = Float64Array.from(TABLES.LOG_CENTRE);

// TWO[n + 1100] is 2 ** n.
const TWO = Float64Array.from({ length: 2124 }, (_, n) => 2 ** (n - 1100));
const ROUNDER = 6755399441055744; // 1.5 * 2 ** 52: a sum with it has no bits for a fraction
const double = new Float64Array(1);
const [low, high] = [0, 1];
const words = new Uint32Array(double.buffer); // of a little-endian machine, as all that have browsers are

/** Returns exp(x), for results that are neither subnormal nor infinite; 0 below -708 and Infinity above 709. */
export function exp(x) {
  if (!(x > -708)) return x !== x ? x : 0;
  if (x > 709) return Infinity;
  const k = multiplyAdd(x, 184.6649652337873, ROUNDER) - ROUNDER; // of 128 / ln(2)
  const r = multiplyAdd(k, -1.2864023111638346e-14, multiplyAdd(k, -0.005415212348111709, x));
  const square = r * r;
  const index = k & 127;
  const first = multiplyAdd(r, 0.16666666666665886, 0.49999999999996786);
  const second = multiplyAdd(r, 0.008333335853059549, 0.0416666808410674);
  const part = multiplyAdd(square * square, second, multiplyAdd(first, square, TAIL[index] + r));
  const power = POWER[index];
  // For x <= -512 glibc rounds the product separately.
  const value = x <= -512 ? power + power * part : multiplyAdd(power, part, power);
  return value * TWO[(k - index) / 128 + 1100];
}

export function sigmoid(x) {
  return 1 / (1 + exp(-x));
}

/** Returns tanh(x): -t / (t + 2) with t = exp(-2|x|) - 1 for |x| < 1, else 1 - 2 / (t + 2) with t = exp(2|x|) - 1. */
export function tanh(x) {
  const size = Math.abs(x), twice = size + size, large = size >= 1;
  if (!(size < 22)) return x !== x ? x : Math.sign(x);
  if (twice === 0) return x;

  // 2|x| or -2|x| = k ln(2) + r + rest.
  const argument = large ? twice : -twice;
  const reduced = twice >= 0.3465735912322998; // otherwise k and rest are 0, and glibc omits them
  const n = reduced ? Math.floor(twice * 1.4426950408889634 + 0.5) : 0;
  const k = large ? n : -n;
  const above = multiplyAdd(k, -0.6931471803691238, argument);
  const below = k * (1.9082149292705877e-10);
  const r = above - below, rest = above - r - below;

  // exp(r + rest) - 1 = r - error.
  const half = 0.5 * r, square = r * half, fourth = square * square;
  const first = multiplyAdd(square, -0.03333333333333313, 1);
  const second = multiplyAdd(square, -7.93650757867488e-05, 0.0015873015872548146);
  const third = multiplyAdd(square, -2.0109921818362437e-07, 4.008217827329362e-06);
  const sum = multiplyAdd(fourth * fourth, third, multiplyAdd(fourth, second, first));
  const other = multiplyAdd(-sum, half, 3);
  const ratio = square * ((sum - other) / multiplyAdd(-r, other, 6));
  const error = multiplyAdd(r, ratio - rest, -(reduced ? rest : square)) - (reduced ? square : 0);

  // t = 2 ** k (from - (error + added - r)) + offset.
  const scale = TWO[k + 1100], inverse = TWO[1100 - n];
  const huge = n >= 20;
  const from = (n >= 2 ? 1 : 0) - (large && !huge ? inverse : 0), added = huge ? inverse : 0;
  const offset = large ? 0 : n >= 2 ? -1 : -0.5 * n;
  const t = multiplyAdd(scale, from - (error + added - r), offset);
  const y = large ? 1 - 2 / (t + 2) : -t / (t + 2);
  return x < 0 ? -y : y;
}

/** Returns log(x) for a sum of exponentials, x from 1 - 1/16 on. */
export function log(x) {
  if (x < 1 + 0.064697265625) return logNearOne(x - 1);
  if (!(x < Infinity)) return x;
  double[0] = x;
  // x = 2 ** k z, where z is in part i of the range 0x1.6p-1 to 0x1.6p0. log(x) = k ln(2) + log(c) + log(1 + r).
  const above = words[high] - 0x3fe60000;
  const i = (above >> 13) & 127, k = above >> 20;
  words[high] -= above & 0xfff00000;
  const r = multiplyAdd(double[0], INVERSE[i], -1), square = r * r;
  const whole = multiplyAdd(k, 0.6931471805598903, CENTER[i]), upper = whole + r;
  const lower = multiplyAdd(k, 5.497923018708371e-14, whole - upper + r);
  const left = multiplyAdd(r, -0.2499999999622955, 0.33333333331825593);
  const right = multiplyAdd(r, -0.16667054827627667, 0.20000304511814496);
  const series = multiplyAdd(right, square, left);
  return multiplyAdd(r * square, series, multiplyAdd(square, -0.5000000000000001, lower)) + upper;
}

/** Returns log(1 + r) for r from -1/16 to 0x1.09p-4: r - r ** 2 / 2 + r ** 3 times a polynomial. */
function logNearOne(r) {
  const square = r * r, cube = r * square;
  const first = multiplyAdd(square, 0.19999999999320328,
    multiplyAdd(r, -0.24999999999998432, 0.3333333333333352));
  const second = multiplyAdd(square, -0.12499997863982555,
    multiplyAdd(r, 0.14285715076560868, -0.16666666669929706));
  const third = multiplyAdd(square, 0.09181994006195467,
    multiplyAdd(r, -0.10000486757818193, 0.11110712032936046));
  const fourth = multiplyAdd(cube, -0.08328363062289341, third);
  const rest = multiplyAdd(multiplyAdd(fourth, cube, second), cube, first);
  // r - r ** 2 / 2 = sum + error: the square of r's upper bits is exact.
  const upper = multiplyAdd(-134217728, r, multiplyAdd(134217728, r, r)), upperSquare = upper * upper;
  const sum = multiplyAdd(upperSquare, -0.5, r);
  const error = multiplyAdd(-0.5 * (r - upper), upper + r, multiplyAdd(upperSquare, -0.5, r - sum));
  return multiplyAdd(rest, cube, error) + sum;
}
