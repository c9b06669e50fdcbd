// A matrix, and its product with a vector, where nearly all of the time goes.

export class Matrix {
  /** From numbers that are row after row. */
  constructor(numbers, columns) {
    this.columns = columns;
    this.rows = numbers.length / columns;
    // Four rows lie side by side, column after column: they are read together, and memory is quicker where it is read
    // from one end to the other. Up to three rows that are left come after them, as they were.
    this.numbers = numbers.slice();
    for (let row = 0; row + 4 <= this.rows; row += 4) {
      for (let column = 0, place = row * columns; column < columns; column++) {
        for (let each = row; each < row + 4; each++) this.numbers[place++] = numbers[each * columns + column];
      }
    }
  }

  /** Add to sums[at], sums[at + 1], ... the products of the rows with a vector, each summed from the left. */
  addProduct(vector, sums, at = 0) {
    const { numbers, rows, columns } = this;
    let row = 0, place = 0;
    for (; row + 4 <= rows; row += 4) {
      let a = 0, b = 0, c = 0, d = 0; // four sums, which do not wait for each other
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
