// a * b + c, the operation that sums consist of. Processors can compute it with a single rounding (fused
// multiply-add), as Torch7 did; JavaScript cannot. A worker with the name "exact" computes that rounding with some 40
// operations, which gives train.py's bits. Any other rounds the product first, which is 13 times as fast.

/** Returns a * b + c, rounded once; correct unless a * b overflows, or its error is subnormal. */
function fused(a, b, c) {
  // product + error = a * b (Dekker 1971): the factors are split into halves, whose products are exact.
  const product = a * b;
  let shifted = a * 134217729; // 2 ** 27 + 1
  const a1 = shifted - (shifted - a), a2 = a - a1;
  shifted = b * 134217729;
  const b1 = shifted - (shifted - b), b2 = b - b1;
  const error = a2 * b2 - (product - a1 * b1 - a2 * b1 - a1 * b2);
  // sum + low + rest = product + error + c (Knuth 1969).
  const sum = product + c, most = sum - product, lost = product - (sum - most) + (c - most);
  const low = error + lost, part = low - error, rest = error - (low - part) + (lost - part);
  const result = sum + low;
  if (rest === 0) return result;
  // `result` is the nearest double to sum + low. If these lie midway between two doubles, `rest` decides.
  const twice = 2 * (low - (result - sum));
  if (twice === 0 || result + twice - result !== twice) return result;
  return twice > 0 === rest > 0 ? result + twice : result;
}

export const multiplyAdd = globalThis.name === "exact" ? fused : (a, b, c) => a * b + c;
