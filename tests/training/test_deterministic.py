"""The same command writes the same files, byte for byte, with one thread and with two."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT
from runs import TEXT


@pytest.mark.long
@pytest.mark.parametrize("threads", ["1", "2"])
def test_same_files(threads, tmp_path):
    """The network is large enough that PyTorch divides products and sums among its threads."""
    arguments = (
        "-gpuid -1 -rnn_size 64 -batch_size 10 -seq_length 20 -dropout 0.3 -data_dir . -max_epochs 3 -eval_val_every 10"
    ).split()
    contents = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        (folder / "input.txt").write_bytes(TEXT * 2)
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        subprocess.run(
            [sys.executable, ROOT / "train.py", *arguments],
            cwd=folder,
            env=environment,
            check=True,
            capture_output=True,
        )
        contents.append({path.name: path.read_bytes() for path in (folder / "cv").glob("*.t7.pt")})
    assert len(contents[0]) >= 3
    assert contents[0] == contents[1]
