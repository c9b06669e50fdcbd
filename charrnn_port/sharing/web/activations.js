// exp and tanh with identical results in every browser; those of Math differ between browsers in the last digit. The
// error is at most 0.52 units in the last place for exp and 0.6 for tanh. Both look up the value at the nearest point
// of a table and add a short series.

// The tables are computed in fixed point, with integers that count units of 2 ** -160.
const ONE = 1n << 160n;
const UNIT = 1 / Number(ONE);

/** Returns the exponential of a fixed-point number, in fixed point. */
function exponential(x) {
  let sum = 0n;
  for (let n = 1n, term = ONE; term; n++) {
    sum += term;
    term = (term * x) / ONE / n;
  }
  return sum;
}

/** Returns the natural logarithm of 2 in fixed point: the sum of 1 / (n * 2 ** n). */
function logarithmOfTwo() {
  let sum = 0n;
  for (let n = 1n; n <= 160n; n++) sum += (ONE >> n) / n;
  return sum;
}

/** Stores a fixed-point number in two arrays: the nearest double, and the remainder. */
function put(x, high, low, place) {
  high[place] = Number(x) * UNIT;
  low[place] = Number(x - BigInt(high[place] / UNIT)) * UNIT;
}

// exp: the points are the multiples of ln(2) / 32, where exp is 2 ** (j / 32) times a power of two.
const POINTS = 32;
const EXP_HIGH = new Float64Array(POINTS);
const EXP_LOW = new Float64Array(POINTS);
const LN2 = logarithmOfTwo();
for (let j = 0; j < POINTS; j++) put(exponential((LN2 * BigInt(j)) / BigInt(POINTS)), EXP_HIGH, EXP_LOW, j);
// The distance between two points, in two parts; the first has 36 bits, so that its multiples are exact.
const BITS = 41n;
const DISTANCE_HIGH = Number((LN2 << BITS) / BigInt(POINTS) / ONE) / Number(1n << BITS);
const DISTANCE_LOW = Number(LN2 / BigInt(POINTS) - BigInt(DISTANCE_HIGH / UNIT)) * UNIT;
const PER_POINT = 1 / (DISTANCE_HIGH + DISTANCE_LOW);
// POWERS[n - LEAST] is 2 ** n, for n from -1100 to 1030.
const LEAST = -1100;
const POWERS = new Float64Array(2131);
POWERS[-LEAST] = 1;
for (let n = -LEAST; n > 0; n--) POWERS[n - 1] = POWERS[n] / 2;
for (let n = -LEAST; n < 2130; n++) POWERS[n + 1] = POWERS[n] * 2;

/** Returns exp(x); 0 below -746 and Infinity above 710. */
export function exp(x) {
  if (!(x > -746)) return x !== x ? x : 0;
  if (x > 710) return Infinity;
  const k = Math.round(x * PER_POINT);
  const j = k & (POINTS - 1);
  const r = x - k * DISTANCE_HIGH - k * DISTANCE_LOW;
  const more = r + r * r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r / 5040)))));
  const value = EXP_HIGH[j] + (EXP_LOW[j] + EXP_HIGH[j] * more);
  const half = k >> 6; // the power is applied as two factors, since 2 ** 1024 overflows
  return value * POWERS[half - LEAST] * POWERS[(k >> 5) - half - LEAST];
}

// tanh: the points are the multiples of 1 / 64, up to where tanh rounds to 1.
const LAST = 20;
const TANH_HIGH = new Float64Array(64 * LAST + 1);
const TANH_LOW = new Float64Array(64 * LAST + 1);
const SLOPE = new Float64Array(64 * LAST + 1);
const FACTOR = exponential(-ONE / 32n); // the ratio of exp(-2 x) between two points
for (let k = 0, power = ONE; k <= 64 * LAST; k++) {
  const value = ((ONE - power) * ONE) / (ONE + power);
  put(value, TANH_HIGH, TANH_LOW, k);
  SLOPE[k] = Number(ONE - (value * value) / ONE) * UNIT;
  power = (power * FACTOR) / ONE;
}

/** Returns tanh(x). */
export function tanh(x) {
  const size = Math.abs(x);
  if (size < 1 / 8) {
    const s = x * x;
    const powers =
      -1 / 3 + s * (2 / 15 + s * (-17 / 315 + s * (62 / 2835 + s * (-1382 / 155925 + s * (21844 / 6081075 +
      s * (-929569 / 638512875 + s * (6404582 / 10854718875)))))));
    return x + x * s * powers;
  }
  if (!(size < LAST)) return x !== x ? x : Math.sign(x);
  const k = (size * 64 + 0.5) | 0;
  const d = size - k / 64;
  const s = d * d;
  const t = d + d * s * (-1 / 3 + s * (2 / 15 + s * (-17 / 315)));
  const value = TANH_HIGH[k] + (TANH_LOW[k] + (SLOPE[k] * t) / (1 + TANH_HIGH[k] * t));
  return x < 0 ? -value : value;
}

/** Returns 1 / (1 + exp(-x)), computed with tanh as in sample.py. */
export function sigmoid(x) {
  return 0.5 * tanh(0.5 * x) + 0.5;
}
