"""How much there is to do: the work that no way to compute a network can do without."""

from charrnn_port.model.char_rnn import CELLS

# The width of a layer's pre-activations over rnn_size.
GATES = {name: cell.EagerSequence.GATES for name, cell in CELLS.items() if hasattr(cell, "EagerSequence")}
FROM_STATE = {"lstm": 4, "gru": 2, "rnn": 1}  # of these: those whose product is with the state itself


def weight_count(model: str, rnn_size: int, num_layers: int, vocab_size: int) -> int:
    """Numbers in the matrices that a character's step is multiplied by.

    The first layer's i2h is not among them: a one-hot vector takes a row of it, and that is no product.
    """
    matrices = 2 * num_layers - 1  # h2h of each layer, i2h of those above the first
    return matrices * GATES[model] * rnn_size**2 + vocab_size * rnn_size


def training_flops(
    model: str, rnn_size: int, num_layers: int, batch_size: int, seq_length: int, vocab_size: int
) -> int:
    """Multiplications and additions in the matrix products of a training iteration.

    Forward each weight takes both for each character. Backward there are two products for each of forward's: one for
    the gradient by the weights, and one for that by their input, which the state before the first step does not need.
    """
    forward = 2 * weight_count(model, rnn_size, num_layers, vocab_size) * batch_size * seq_length
    by_first_state = 2 * num_layers * FROM_STATE[model] * rnn_size**2 * batch_size
    return 3 * forward - by_first_state
