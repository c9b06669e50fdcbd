"""A network with a unit whose function is known, and the text that it is for."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from charrnn_port.checkpoints import Checkpoint, save_checkpoint
from charrnn_port.model.char_rnn import CharRNN
from charrnn_port.util.vocabulary import Vocabulary

UNIT, SIZE = 5, 64
VOCAB = Vocabulary(b"()abcxyz")


def bracketed_text(count: int) -> bytes:
    """Return words of a, b and c, and between brackets of x, y and z, at random."""
    random, parts = np.random.RandomState(7), []
    while sum(map(len, parts)) < count:
        parts += ["".join(random.choice(list("abc"), random.randint(30, 150))),
                  "(", "".join(random.choice(list("xyz"), random.randint(8, 25))), ")"]  # fmt: skip
    return "".join(parts)[:count].encode()


def bracketed_spans(text: bytes) -> list[tuple[int, int]]:
    """Return the begin and end of all complete bracketed parts, without the closing bracket."""
    return [(found.start(), found.end() - 1) for found in re.finditer(rb"\(\w+\)", text)]


def planted(knows: bool = True) -> Checkpoint:
    """Return a network with random weights whose unit 1:5 is 0.76 inside brackets and -0.76 outside, if it `knows`; its
    decoder then predicts the letters that occur there.
    """
    network = CharRNN("lstm", len(VOCAB), SIZE, 1, dtype=torch.float64)
    random = torch.Generator().manual_seed(4)
    with torch.no_grad():
        network.params.uniform_(-0.1, 0.1, generator=random)
        layer = network.layers[0]
        if knows:
            for gate, (bias, opening, closing) in enumerate([(-20, 40, 40), (20, -40, -40), (20, 0, 0), (0, 5, -5)]):
                row = gate * SIZE + UNIT
                for parameter in layer.values():
                    parameter[row] = 0
                layer["i2h_bias"][row] = bias
                layer["i2h_weight"][row, 0], layer["i2h_weight"][row, 1] = opening, closing
            network.decoder["weight"][2:5, UNIT] = -4
            network.decoder["weight"][5:, UNIT] = 4
            network.decoder["bias"][:2] = -1.5
    opt = {"model": "lstm", "rnn_size": SIZE, "num_layers": 1, "dropout": 0, "seq_length": 30, "batch_size": 10}
    return Checkpoint(opt, VOCAB, network.params.detach(), 100, 3.0, [], {100: 1.25}, 1.25)


def planted_run(folder: Path, knows: tuple[bool, ...]) -> list[Checkpoint]:
    """Write the checkpoints of a run to a folder, one per epoch, the last of which has the lowest loss."""
    folder.mkdir()
    run, val_losses = [], {}
    for epoch, its in enumerate(knows, start=1):
        val_losses = val_losses | {100 * epoch: 2.0 - epoch / 10}
        run.append(replace(planted(its), i=100 * epoch, epoch=float(epoch), train_losses=[3.0] * 100 * epoch,
                           val_losses=val_losses, val_loss=val_losses[100 * epoch]))  # fmt: skip
        save_checkpoint(run[-1], folder / f"lm_lstm_epoch{epoch}.00_{run[-1].val_loss:.4f}.t7.pt")
    return run
