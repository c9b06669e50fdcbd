// A training run, as in charrnn_port/training/iteration.py: truncated backpropagation through time and RMSprop.
import { Batches } from "./batches.js";
import { Network, Pass } from "./network.js";
import { Generator } from "./random.js";

const GRAD_CLIP = 5, DECAY_RATE = 0.95, EPSILON = 1e-8;
const LEARNING_RATE_DECAY = 0.97, LEARNING_RATE_DECAY_AFTER = 10; // epochs

export class Training {
  /** Options have the names of train.py's. `text` are bytes. Throws RangeError for a text that is too short. */
  constructor(text, options) {
    this.options = options;
    this.batches = new Batches(text, options);
    this.network = new Network(options, this.batches.symbols.length, new Generator(options.seed));
    this.pass = new Pass(this.network, options.seq_length, options.batch_size);
    this.meanSquare = new Float64Array(this.network.params.length);
    this.learningRate = options.learning_rate;
    this.i = 0; // iterations done
  }

  /** Trains on the next batch. Returns its loss before the update, in nats per character. */
  iterate() {
    const { pass, batches } = this;
    const { x, y } = batches.batch(this.i % batches.ntrain);
    pass.forward(x);
    const loss = pass.addLosses(y, 0) / batches.T;
    // In the original the state before the sequence is the buffer that the last time step writes into. So from the
    // second iteration on, the backward pass reads the final state in its place (docs/quirks.md).
    if (this.i) pass.carry();
    pass.backward(y);
    if (!this.i) pass.carry();
    this.update();
    this.i++;
    const epoch = this.i / batches.ntrain;
    if (Number.isInteger(epoch) && epoch >= LEARNING_RATE_DECAY_AFTER) this.learningRate *= LEARNING_RATE_DECAY;
    return loss;
  }

  /** Clips the gradients and does a step of RMSprop. */
  update() {
    const { meanSquare } = this;
    const { params, gradients } = this.network;
    const rate = -this.learningRate, share = 1 - DECAY_RATE;
    for (let i = 0; i < params.length; i++) {
      const g = (gradients[i] = Math.min(Math.max(gradients[i], -GRAD_CLIP), GRAD_CLIP));
      meanSquare[i] = meanSquare[i] * DECAY_RATE + share * g * g;
      params[i] += (rate * g) / (Math.sqrt(meanSquare[i]) + EPSILON);
    }
  }

  /**
   * Returns the mean loss over the validation part, from a zero state. As in the original, the next batch continues
   * from the state at its end.
   */
  evaluate() {
    const { pass, batches } = this;
    pass.reset();
    let total = 0;
    for (let number = batches.ntrain; number < batches.nbatches; number++) {
      const { x, y } = batches.batch(number);
      pass.forward(x);
      total = pass.addLosses(y, total);
      pass.carry();
    }
    return total / batches.T / batches.nval;
  }
}
