"""Count the weights and floating-point operations that every backend needs."""

GATES = {"lstm": 4, "gru": 3, "rnn": 1}  # the width of a layer's pre-activations over rnn_size
FROM_STATE = {"lstm": 4, "gru": 2, "rnn": 1}  # the part of GATES that is a product with the state itself


def weight_count(model: str, rnn_size: int, num_layers: int, vocab_size: int) -> int:
    """Return the number of weights in the matrix products of one character.

    The first layer's i2h is excluded, since a one-hot vector selects a row of it without a product.
    """
    matrices = 2 * num_layers - 1  # h2h of each layer, i2h of those above the first
    return matrices * GATES[model] * rnn_size**2 + vocab_size * rnn_size


def training_flops(
    model: str, rnn_size: int, num_layers: int, batch_size: int, seq_length: int, vocab_size: int
) -> int:
    """Return the multiplications and additions in the matrix products of a training iteration.

    Forward, each weight takes one of both for each character. Backward has two products for each forward product: the
    gradient of the weights, and the gradient of their input. The state before the first step needs no gradient.
    """
    forward = 2 * weight_count(model, rnn_size, num_layers, vocab_size) * batch_size * seq_length
    by_first_state = 2 * num_layers * FROM_STATE[model] * rnn_size**2 * batch_size
    return 3 * forward - by_first_state
