"""What a prediction rests on: the gradient of its log-probability by each character before it, times that input."""

from collections.abc import Sequence

import numpy as np
import torch

from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.util.one_hot import one_hot


def connectivity(
    network: CharRNN,
    ids: np.ndarray,
    states: Sequence[np.ndarray],
    places: Sequence[int],
    reach: int,
    begins: Sequence[int] = (0,),
) -> np.ndarray:
    """Return gradient × input `[len(places), reach]` for the characters at these places of a text.

    Column k belongs to the character k + 1 before. It is the derivative of log p by the one 1 of that character's
    one-hot input: positive if the character made this one more likely. It is 0 before the beginning of the piece.

    ids `[n]` is the text. Its pieces begin at `begins`, each from the zero state. states are what the network's state
    was after each character, `[n, rnn_size]` for each layer and name in STATE.
    """
    width = len(network.cell.STATE)
    places = np.asarray(places)
    begin = np.asarray(begins)[np.searchsorted(begins, places, "right") - 1]
    at = places[:, None] + np.arange(-reach, 0)
    text = torch.from_numpy(np.asarray(ids)[at.clip(min=0)])
    before = torch.from_numpy(at < begin[:, None])[..., None]
    first = at[:, 0] - 1
    state = [torch.from_numpy(each[first.clip(min=0)]).to(network.params.dtype) for each in states]
    state = [each.masked_fill(torch.from_numpy(first < begin)[:, None], 0) for each in state]
    inputs = network.params.new_ones(reach, len(at), 1).requires_grad_()
    for step in range(reach):
        output = one_hot(text[:, step], network.vocab_size, network.params.dtype) * inputs[step]
        after: list[torch.Tensor] = []
        for index, parameters in enumerate(network.layers):
            after += network.cell.step(output, *state[index * width : (index + 1) * width], *parameters.values())
            output = after[-1]
        state = [each.masked_fill(before[:, step], 0) for each in after]
        output = state[-1]
    log_probs = network.log_softmax(torch.nn.functional.linear(output, **network.decoder))
    chosen = log_probs[range(len(at)), torch.from_numpy(np.asarray(ids)[places])]
    (gradient,) = torch.autograd.grad(chosen[torch.from_numpy(places > begin)].sum(), inputs, allow_unused=True)
    return gradient[..., 0].T.flip(1).numpy()
