// Matrix products, which take nearly all of the time, and sums of rows, in the order of OpenBLAS's dgemm and dgemv as
// Torch7 called them (docs/arithmetic.md).
import { multiplyAdd } from "./fused.js";

/** A matrix in an array: where it begins, and the distance between its rows and between its columns. */
export const matrix = (numbers, from, rowStep, columnStep = 1) => ({ numbers, from, rowStep, columnStep });

/** Returns the length of the next block of a sum, where `left` terms remain. */
export function blockLength(left) {
  if (left >= 512) return 256;
  return left > 256 ? (left >> 1) + 3 & ~3 : left;
}

/**
 * Adds left [rows, inner] times right [inner, columns] to a result [rows, columns], whose columns are contiguous.
 *
 * The terms of a block are added to 0 one by one; their sum is added to the result. The last of an odd number of rows
 * is summed in another order.
 */
export function addProduct(result, left, right, rows, columns, inner) {
  for (let start = 0, length; start < inner; start += length) {
    length = blockLength(inner - start);
    const [l, r] = [left.from + start * left.columnStep, right.from + start * right.rowStep];
    const even = rows - (rows % 2);
    addTiles(result, left, right, l, r, even, columns, length);
    if (even < rows) addLastRow(result, left, right, l, r, even, columns, length);
  }
}

function addTiles(result, left, right, l, r, rows, columns, length) {
  const wide = columns - (columns % 2), high = rows - (rows % 4);
  for (let column = 0; column < wide; column += 2) {
    for (let row = 0; row < high; row += 4) addTile(result, left, right, l, r, row, column, length);
  }
  for (let row = 0; row < rows; row++) {
    for (let column = row < high ? wide : 0; column < columns; column++) {
      result.numbers[result.from + row * result.rowStep + column] += dot(left, right, l, r, row, column, length);
    }
  }
}

/** Adds a block's product to four rows and two columns: eight sums, which the processor computes side by side. */
function addTile(result, left, right, l, r, row, column, length) {
  const [x, y] = [left.numbers, right.numbers];
  const { rowStep, columnStep } = left;
  const rightStep = right.rowStep;
  let i0 = l + row * rowStep, i1 = i0 + rowStep, i2 = i1 + rowStep, i3 = i2 + rowStep;
  let j0 = r + column * right.columnStep, j1 = j0 + right.columnStep;
  let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
  for (let k = 0; k < length; k++) {
    const p = y[j0], q = y[j1], x0 = x[i0], x1 = x[i1], x2 = x[i2], x3 = x[i3];
    a0 = multiplyAdd(x0, p, a0);
    a1 = multiplyAdd(x1, p, a1);
    a2 = multiplyAdd(x2, p, a2);
    a3 = multiplyAdd(x3, p, a3);
    b0 = multiplyAdd(x0, q, b0);
    b1 = multiplyAdd(x1, q, b1);
    b2 = multiplyAdd(x2, q, b2);
    b3 = multiplyAdd(x3, q, b3);
    i0 += columnStep, i1 += columnStep, i2 += columnStep, i3 += columnStep;
    j0 += rightStep, j1 += rightStep;
  }
  const { numbers, rowStep: step } = result;
  const at = result.from + row * step + column;
  numbers[at] += a0, numbers[at + step] += a1, numbers[at + 2 * step] += a2, numbers[at + 3 * step] += a3;
  numbers[at + 1] += b0, numbers[at + step + 1] += b1, numbers[at + 2 * step + 1] += b2;
  numbers[at + 3 * step + 1] += b3;
}

function dot(left, right, l, r, row, column, length) {
  let i = l + row * left.rowStep, j = r + column * right.columnStep, sum = 0;
  for (let k = 0; k < length; k++, i += left.columnStep, j += right.rowStep) {
    sum = multiplyAdd(left.numbers[i], right.numbers[j], sum);
  }
  return sum;
}

/**
 * Columns below the last multiple of 4 have four sums. Term k is added to sum k mod 4, terms after the last multiple of
 * 8 to sum 0.
 */
function addLastRow(result, left, right, l, r, row, columns, length) {
  const at = result.from + row * result.rowStep;
  for (let column = 0; column < columns; column++) {
    if (column >= columns - (columns % 4)) {
      result.numbers[at + column] += dot(left, right, l, r, row, column, length);
      continue;
    }
    let i = l + row * left.rowStep, j = r + column * right.columnStep, s0 = 0, s1 = 0, s2 = 0, s3 = 0, k = 0;
    const term = (sum) => {
      const next = multiplyAdd(left.numbers[i], right.numbers[j], sum);
      i += left.columnStep, j += right.rowStep, k++;
      return next;
    };
    while (k < length - (length % 8)) s0 = term(s0), s1 = term(s1), s2 = term(s2), s3 = term(s3);
    while (k < length) s0 = term(s0);
    result.numbers[at + column] += s0 + s1 + (s2 + s3);
  }
}

/**
 * Adds the rows of a matrix [rows, columns] to `sums`, the gradient of a bias: four rows at a time, in the last columns
 * one at a time. With fewer than 4 columns Torch7's order is another.
 */
export function addRows(sums, { numbers, from, rowStep: step }, rows, columns) {
  const middle = columns - (columns % 4), fours = rows - (rows % 4);
  for (let row = 0; row < fours; row += 4) {
    for (let j = 0, i = from + row * step; j < middle; j++, i++) {
      sums[j] += numbers[i] + numbers[i + 2 * step] + (numbers[i + step] + numbers[i + 3 * step]);
    }
  }
  for (let row = fours; row < rows; row += 2) {
    for (let j = 0, i = from + row * step; j < middle; j++, i++) {
      sums[j] += row + 1 < rows ? numbers[i] + numbers[i + step] : numbers[i];
    }
  }
  for (let j = middle; j < columns; j++) {
    let total = 0;
    for (let row = 0; row < rows; row++) total += numbers[from + row * step + j];
    sums[j] += total;
  }
}

/**
 * Adds each row of a matrix [rows, columns] to column ids[row] of `sums` [columns, vocab]: the gradient of the weight
 * of a one-hot input. In a block, rows of one id are added up first. `ids` begin at `at`.
 */
export function addRowsById(sums, { numbers, from, rowStep }, ids, at, rows, columns, vocab) {
  for (let start = 0, length; start < rows; start += length) {
    length = blockLength(rows - start);
    const same = new Map(); // by id: its rows in this block
    for (let row = 0; row < length; row++) {
      const id = ids[at + start + row];
      if (same.has(id)) same.get(id).push(row);
      else same.set(id, [row]);
    }
    for (const [id, its] of same) {
      for (let j = 0; j < columns; j++) {
        const place = from + start * rowStep + j;
        let total = 0;
        if (j === columns - 1 && columns % 2 && id < vocab - (vocab % 4)) {
          const four = [0, 0, 0, 0];
          for (const row of its) four[row < length - (length % 8) ? row % 4 : 0] += numbers[place + row * rowStep];
          total = four[0] + four[1] + (four[2] + four[3]);
        } else {
          for (let i = 0; i < its.length; i++) total += numbers[place + its[i] * rowStep];
        }
        sums[j * vocab + id] += total;
      }
    }
  }
}
