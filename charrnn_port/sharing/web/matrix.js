// A matrix and its product with a vector, which takes nearly all of the computing time.

export class Matrix {
  /** Creates a matrix from numbers in row-major order. */
  constructor(numbers, columns) {
    this.columns = columns;
    this.rows = numbers.length / columns;
    // Rows are interleaved in groups of four, column by column, so that a product of four rows reads memory in order,
    // which is faster. The last rows, up to three, stay as they are.
    this.numbers = numbers.slice();
    for (let row = 0; row + 4 <= this.rows; row += 4) {
      for (let column = 0, place = row * columns; column < columns; column++) {
        for (let each = row; each < row + 4; each++) this.numbers[place++] = numbers[each * columns + column];
      }
    }
  }

  /** Adds the products of the rows with a vector to sums[at], sums[at + 1], ...; each is summed from the left. */
  addProduct(vector, sums, at = 0) {
    const { numbers, rows, columns } = this;
    let row = 0, place = 0;
    for (; row + 4 <= rows; row += 4) {
      let a = 0, b = 0, c = 0, d = 0; // four independent sums, which the processor computes in parallel
      for (let column = 0; column < columns; column++, place += 4) {
        const x = vector[column];
        a += numbers[place] * x;
        b += numbers[place + 1] * x;
        c += numbers[place + 2] * x;
        d += numbers[place + 3] * x;
      }
      sums[at + row] += a;
      sums[at + row + 1] += b;
      sums[at + row + 2] += c;
      sums[at + row + 3] += d;
    }
    for (; row < rows; row++) {
      let sum = 0;
      for (let column = 0; column < columns; column++) sum += numbers[place++] * vector[column];
      sums[at + row] += sum;
    }
  }
}
