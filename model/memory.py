"""How much memory training takes, before any is taken.

In numbers (of 8 bytes in float64, 4 in float32), for T = seq_length, B = batch_size, H = rnn_size, V = vocab_size and L
layers, the buffers of a pass (model/fused.py) are

    lstm  T*B * (L * 8*H + V)    gates 4, c, h, tanh_c, grad_h; in PyTorch dh_by_dc too: L * 9*H
    gru   T*B * (L * 6*H + V)    gates 3, h, reset_h, grad_h; in PyTorch reset and keep too: L * 8*H
    rnn   T*B * (L * 3*H + V)    pre_activations, h, grad_h

and V * 4*H (gru 3*H, rnn H) for the gradient by the first layer's input, which counts with thousands of characters;
2 * T*B*H a layer with dropout (masks, outputs), B*H here and there, and a weight's gradient before it is transposed, or
in C, for each thread, the space that products are packed in (0.6 MB at the defaults, 2 MB at 512 units). As long as
all parameters are seven vectors: they, their gradients, RMSprop's mean square and its denominator, the weights in
another layout, and train.py's copies of the first and the third, for when the loss explodes (two more while it makes
new ones; in the CPU's memory). At the defaults in double precision 42 MB and 13 MB. Adam has another mean, and so
there is another copy.
"""

import math

from charrnn_port.model.char_rnn import CELLS

ON_DEVICE, COPIES = 5, 2  # of the vectors as long as the parameters
MORE = {"rmsprop": 0, "adam": 1, "adamw": 1}  # of them with an optimiser that keeps two running means
WIDTH = {"lstm": 8, "gru": 6, "rnn": 3}  # of the buffers, in rnn_size
GATES = {"lstm": 4, "gru": 3, "rnn": 1}  # the width of pre-activations, in rnn_size


def parameter_count(model: str, vocab_size: int, rnn_size: int, num_layers: int) -> int:
    """How many parameters a network has, decoder included."""

    def layer(input_size: int) -> int:
        return sum(math.prod(shape) for shape in CELLS[model].parameter_shapes(input_size, rnn_size).values())

    return layer(vocab_size) + (num_layers - 1) * layer(rnn_size) + vocab_size * (rnn_size + 1)


def buffer_count(
    model: str, vocab_size: int, rnn_size: int, num_layers: int, seq_length: int, batch_size: int, dropout: bool
) -> int:
    """How many numbers the buffers of a pass hold, at least."""
    width = WIDTH[model] + (2 if dropout else 0)
    passes = seq_length * batch_size * (num_layers * width * rnn_size + vocab_size)
    return passes + vocab_size * GATES[model] * rnn_size
