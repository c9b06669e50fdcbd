"""`-clamp` fixes the outputs of units."""

import numpy as np
import pytest
import torch
from conftest import RECORDINGS, assert_one_line_error, run_sample

from charrnn_port.checkpoints import load_checkpoint
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.sampling import Model, Session

LUA = RECORDINGS / "lua_checkpoints"


@pytest.mark.parametrize("cell", list(CELLS))
def test_held_units_are_held(cell):
    """Log-probabilities equal those of the plain cells with outputs replaced after each step, to 1e-12."""
    checkpoint = load_checkpoint(LUA / f"{cell}.t7")
    network, ids = checkpoint.build("plain", torch.float64), [3, 1, 4, 1, 5, 9, 2, 6]
    clamps = {(1, 0): 0.9, (1, 3): -0.25, (2, 2): 0.5}
    session = Session(Model.of(checkpoint).clamped(clamps))
    width = len(network.cell.STATE)
    state = network.zero_state(1)
    for id_ in ids:
        session.feed([id_])
        x = torch.nn.functional.one_hot(torch.tensor([id_]), network.vocab_size).double()
        for number, parameters in enumerate(network.layers, start=1):
            places = slice((number - 1) * width, number * width)
            state[places] = network.cell.step(x, *state[places], **parameters)
            x = state[places][-1].detach().clone()
            for (layer, unit), value in clamps.items():
                if layer == number:
                    x[0, unit] = value
            state[number * width - 1] = x
        expected = torch.log_softmax(x @ network.decoder["weight"].T + network.decoder["bias"], 1)
        assert np.abs(session.log_probs() - expected[0].detach().numpy()).max() < 1e-12


def sampled(*arguments):
    quiet = ("-verbose", 0, "-gpuid", -1, "-length", 200)
    result = run_sample(LUA / "lstm.t7", *quiet, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


def test_several_at_once():
    """Each clamp changes the text; their order makes no difference."""
    texts = [sampled(*(["-clamp", clamp] if clamp else [])) for clamp in ("", "2:1=0.9", "2:1=0.9,1:4=-0.9")]
    assert len(set(texts)) == 3
    assert sampled("-clamp", "1:4=-0.9, 2:1=0.9") == texts[2]


def test_texts_side_by_side_are_held_too():
    """Each is the same text as alone, with its own seed."""
    both = sampled("-clamp", "2:1=0.9", "-n", 2)
    assert sampled("-clamp", "2:1=0.9").rstrip(b"\n") in both


@pytest.mark.parametrize(
    ("clamp", "words"),
    [
        ("2:1", ["invalid value '2:1'", "2:131=0.9"]),
        ("x:1=1", ["'x:1=1'"]),
        ("3:1=1", ["no unit 3:1", "from 1 to 2"]),
        ("1:-1=1", ["no unit 1:-1"]),
        ("1:1=2", ["1:1=2", "between -1 and 1"]),
        ("1:1=nan", ["1:1=nan"]),
    ],
)
def test_what_is_no_clamp(clamp, words):
    """The error is one line that names the wrong part."""
    assert_one_line_error(run_sample(LUA / "lstm.t7", "-clamp", clamp), 2, "-clamp", *words)
