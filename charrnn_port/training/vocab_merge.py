"""-vocab merge: fine-tunes a checkpoint on a text with other characters than it was trained on."""

import torch

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.util.vocabulary import Vocabulary


@torch.no_grad()
def merge(saved: Checkpoint, network: CharRNN, vocab: Vocabulary) -> str:
    """Copy the parameters of a checkpoint into a new network with the vocabulary `vocab`.

    The parameters of new characters are left as they are. Those of one character are a column of each i2h weight of the
    first layer, a row of the decoder's weight and an element of its bias. All other sizes must agree. Returns a line
    with the numbers of known, new and dropped characters.
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
