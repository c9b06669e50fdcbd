"""Tests of the loss with each unit silenced."""

import numpy as np
import pytest
import torch
from conftest import RECORDINGS
from planted import SIZE, UNIT, bracketed_text, planted

import charrnn_port
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.reports.look import silence
from charrnn_port.reports.look.properties import characters_at
from charrnn_port.reports.look.recording import record
from charrnn_port.sampling import Model, Session, trace

PLAY = (RECORDINGS / "play/input.txt").read_bytes()


def found_in(checkpoint, text):
    network = checkpoint.build("plain", torch.float32)
    recording = record(network, checkpoint.vocab.encode(text))
    return silence.ablation(network, recording, characters_at(text))


@pytest.mark.parametrize("model", list(CELLS))
def test_losses_are_those_of_a_clamped_model(model):
    """Those that sample.py -clamp "2:3=0" has, for units of all layers side by side, to 1e-12 in float64."""
    checkpoint = charrnn_port.load_checkpoint(RECORDINGS / f"lua_checkpoints/{model}.t7")
    network = checkpoint.build("plain", torch.float64)
    ids = checkpoint.vocab.encode(bytes(each for each in PLAY if each in checkpoint.vocab.symbols)[:60])
    units = [(layer, unit) for layer in range(1, network.num_layers + 1) for unit in (0, 3)]
    recording = record(network, ids)
    steps = list(trace(network, ids))  # the recording has float32
    recording.layers = [
        {"h": np.stack([step.layers[layer]["h"] for step in steps])} for layer in range(network.num_layers)
    ]
    found = silence.losses(network, recording, units, len(ids))
    for unit, nats in zip(units, found, strict=True):
        session = Session(Model.of(checkpoint).clamped({unit: 0.0}))
        for id_, after, loss in zip(ids, ids[1:], nats, strict=False):
            session.feed([id_])
            assert loss == pytest.approx(-session.log_probs()[after], abs=1e-12)


def test_pieces_are_read_alone():
    """Each piece of a text has the losses that it has as a text of its own, to 1e-6 in float32."""
    checkpoint = planted()
    network = checkpoint.build("plain", torch.float32)
    ids, begins = checkpoint.vocab.encode(bracketed_text(120)), [0, 50, 80]
    units = [(1, 2), (1, UNIT)]
    found = silence.losses(network, record(network, ids, begins), units, 100)
    alone = [silence.losses(network, record(network, piece), units, len(piece))
             for piece in (ids[:50], ids[50:80], ids[80:100])]  # fmt: skip
    assert np.abs(found - np.concatenate(alone, 1)).max() < 1e-6


def test_a_unit_that_predictions_rest_on_is_found():
    """By far the first; without it letters are predicted worse, and brackets, which it makes unlikely, better."""
    found = found_in(planted(), bracketed_text(1500))
    best, *others = found.units
    assert best.name == f"1:{UNIT}"
    assert best.nats > 0.5
    assert all(each.nats < best.nats / 50 for each in others)
    assert best.kinds["punctuation"] < 0 < best.kinds["lower case"]
    assert sum(found.counts.values()) == found.length - 1 == 1499


def test_random_weights_have_no_unit_that_matters():
    found = found_in(planted(False), bracketed_text(1500))
    assert not found.learned
    assert found.units == []


def test_a_large_network_is_screened(monkeypatch):
    """The units with the largest increase over fewer characters are measured on all of them."""
    monkeypatch.setattr(silence, "WORK", 1)
    monkeypatch.setattr(silence, "CANDIDATES", 3)
    found = found_in(planted(), bracketed_text(1000))
    assert found.screened == silence.SCREEN
    assert found.units[0].name == f"1:{UNIT}"
    assert len(found.units) <= 3 < SIZE


def test_the_noise_of_a_text_is_that_of_its_blocks():
    """For independent values the standard error is the usual one; for values that repeat, more."""
    values = np.random.RandomState(1).standard_normal(20_000)
    assert silence.standard_error(values) == pytest.approx(1 / np.sqrt(20_000), rel=0.1)
    assert silence.standard_error(np.repeat(values[:1000], 20)) > 3 / np.sqrt(20_000)
    assert silence.standard_error(values[:60]) == float("inf")
    assert silence.entropy(np.array([0, 1, 2, 3] * 5)) == pytest.approx(np.log(4))
