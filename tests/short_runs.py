"""Short runs of all cells, dtypes and optimizers, whose bits must not depend on the compiler or on threads.

    python tests/short_runs.py DATA_DIR THREADS

prints the digests as JSON, for a test that sets another compiler.
"""

import hashlib
import json
import sys
from pathlib import Path

import torch

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


if __name__ == "__main__":
    print(json.dumps(digests(sys.argv[1], int(sys.argv[2]))))
