"""Tests of what a prediction rests on."""

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import RECORDINGS
from torch.nn.functional import linear

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.sampling import connectivity, trace

TEXT = b"the cat sat on the mat with another hat"
REACH, EPSILON = 12, 1e-5


@torch.no_grad()
def log_prob(network, ids, place, scaled, factor):
    """Return the log-probability of a character, with the input of another one multiplied by a factor."""
    width = len(network.cell.STATE)
    state = network.zero_state(1)
    for at in range(place):
        output = torch.zeros(1, network.vocab_size, dtype=torch.float64)
        output[0, ids[at]] = factor if at == scaled else 1
        after = []
        for index, parameters in enumerate(network.layers):
            after += network.cell.step(output, *state[index * width : (index + 1) * width], *parameters.values())
            output = after[-1]
        state = after
    return float(network.log_softmax(linear(output, **network.decoder))[0, ids[place]])


@pytest.mark.parametrize("model", list(CELLS))
def test_connectivity_is_the_derivative_by_an_input(model, tmp_path):
    """Compare with finite differences, to 1e-8: as computed, and as `charrnn trace -connectivity` writes it."""
    name = RECORDINGS / f"lua_checkpoints/{model}.t7"
    checkpoint = charrnn_port.load_checkpoint(name)
    network = checkpoint.build("plain", torch.float64)
    text = bytes(each for each in TEXT if each in checkpoint.vocab.symbols)
    ids = np.array(checkpoint.vocab.encode(text))
    steps = list(trace(network, ids.tolist()))
    states = [np.stack([step.layers[layer][name] for step in steps])
              for layer in range(network.num_layers) for name in network.cell.STATE]  # fmt: skip
    places = [0, 1, 5, REACH, len(ids) - 1]
    found = connectivity(network, ids, states, places, REACH)
    for row, place in zip(found, places, strict=True):
        for back in range(1, REACH + 1):
            expected = 0.0
            if back <= place:
                above, below = (log_prob(network, ids, place, place - back, 1 + sign * EPSILON) for sign in (1, -1))
                expected = (above - below) / (2 * EPSILON)
            assert row[back - 1] == pytest.approx(expected, abs=1e-8)
    (tmp_path / "text").write_bytes(text)
    arguments = [str(name), str(tmp_path / "text"), "-connectivity", str(REACH), "-o", str(tmp_path / "trace.h5")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charrnn_port.reports.trace.ROWS", 10)  # less than the reach
        result = CliRunner().invoke(charrnn.trace, arguments)
    assert result.exit_code == 0, result.output
    with h5py.File(tmp_path / "trace.h5") as file:
        assert file["connectivity"].shape == (len(ids), REACH)
        assert np.abs(file["connectivity"][places] - found).max() < 1e-12


def test_no_prediction_rests_on_another_piece():
    """Each piece of a text has the connectivity that it has as a text of its own, and 0 before its beginning."""
    checkpoint = charrnn_port.load_checkpoint(RECORDINGS / "lua_checkpoints/lstm.t7")
    network = checkpoint.build("plain", torch.float64)
    ids = np.array(checkpoint.vocab.encode(bytes(each for each in TEXT if each in checkpoint.vocab.symbols)))
    pieces, begins = np.split(ids, [8, 25]), [0, 8, 25]

    def states_of(text):
        steps = list(trace(network, text.tolist()))
        return [np.stack([step.layers[layer][name] for step in steps])
                for layer in range(network.num_layers) for name in network.cell.STATE]  # fmt: skip

    alone = [connectivity(network, piece, states_of(piece), range(len(piece)), REACH) for piece in pieces]
    states = [np.concatenate(each) for each in zip(*map(states_of, pieces), strict=True)]
    found = connectivity(network, ids, states, range(len(ids)), REACH, begins)
    assert np.abs(found - np.concatenate(alone)).max() < 1e-12
    assert not found[begins].any()
