"""Short runs of all cells, dtypes and optimizers, whose bits must not depend on the compiler or on threads.

    python tests/short_runs.py DATA_DIR THREADS

prints the digests as JSON, for a test that sets another compiler.
"""

import hashlib
import json
import sys
from pathlib import Path

import torch

from charrnn_port.model.compiled_char_rnn import CompiledCharRNN
from charrnn_port.options import TrainOptions
from charrnn_port.training import prepare


def digests(data_dir: Path | str, threads: int) -> dict[str, str]:
    """Return a digest of the losses, norms and last parameters of each run, computed with that many threads."""
    same = {"rnn_size": 45, "batch_size": 13, "seq_length": 11, "dropout": 0.2, "clip_norm": 1.5, "cell": "compiled"}
    same |= {"lr_schedule": "cosine", "weight_decay": 0.01, "data_dir": data_dir, "gpuid": -1}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    found = {}
    for optimizer in ("rmsprop", "adam", "adamw"):
        for model in ("lstm", "gru", "rnn"):
            for dtype in ("float64", "float32"):
                training = prepare(TrainOptions(model=model, dtype=dtype, optimizer=optimizer, **same))
                losses = []
                for i in range(1, 6):
                    losses += [training.iteration(), training.grad_param_norm()]
                    training.schedule.after_iteration(i)
                content = training.network.params.numpy().tobytes() + repr(losses).encode()
                found[f"{optimizer} {model} {dtype}"] = hashlib.sha256(content).hexdigest()
    torch.set_num_threads(before)
    return found


def single_row(threads: int) -> str:
    """Return a digest of passes over a single row, whose units threads share."""
    before, found = torch.get_num_threads(), hashlib.sha256()
    torch.set_num_threads(threads)
    for model in ("lstm", "gru", "rnn"):
        network = CompiledCharRNN(model, 20, 190, 2)
        torch.linspace(-0.3, 0.3, len(network.params), out=network.params)
        x, state = torch.arange(60)[:, None] % 20, network.zero_state(1)
        for result in (network.training_pass(x, x, state, None, alias=False), network.grad_params, *state):
            found.update(result.numpy().tobytes())
    torch.set_num_threads(before)
    return found.hexdigest()


if __name__ == "__main__":
    print(json.dumps(digests(sys.argv[1], int(sys.argv[2]))))
