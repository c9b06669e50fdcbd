"""-vocab merge: a network goes on with a text that has other characters than it was trained on."""

import torch

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.util.vocabulary import Vocabulary


@torch.no_grad()
def merge(saved: Checkpoint, network: CharRNN, vocab: Vocabulary) -> str:
    """Write into a new network with this vocabulary what a saved one has: all parameters but those of new characters.

    A character's own are a column of each of the first layer's i2h weights, a row of the decoder's weight, and an
    element of its bias. The network's other sizes must be the saved one's. Returns a line that says how it went.
    """
    pairs = vocab.shared(saved.vocab)
    ours, theirs = torch.tensor(pairs, dtype=torch.int64, device=network.params.device).view(len(pairs), 2).T
    old = saved.build("plain", network.params.dtype, network.params.device)
    for layer, (new_parameters, old_parameters) in enumerate(zip(network.layers, old.layers, strict=True)):
        for name, parameter in new_parameters.items():
            if layer == 0 and name.endswith("i2h_weight"):
                parameter[:, ours] = old_parameters[name][:, theirs]
            else:
                parameter.copy_(old_parameters[name])
    for name, parameter in network.decoder.items():
        parameter[ours] = old.decoder[name][theirs]
    known, new, left_out = len(pairs), len(vocab) - len(pairs), len(saved.vocab) - len(pairs)
    return f"-vocab merge: {known} of the text's characters known, {new} new; {left_out} of the checkpoint's left out"
