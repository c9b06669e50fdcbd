"""Targets that are IGNORED have no loss and no gradient, with every backend."""

import pytest
import torch

from charrnn_port.model import BACKENDS
from charrnn_port.util.errors import UserError
from charrnn_port.util.vocabulary import IGNORED

V, H, T = 5, 4, 6
LENGTHS = [6, 2, 0, 4]  # time steps of each row; the rest is padding


def network_of(cell: str, model: str):
    try:
        network = BACKENDS[cell](model, V, H, 2, dtype=torch.float64)
    except UserError as error:  # no C compiler, or no GPU
        pytest.skip(str(error))
    values = torch.rand(network.params.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    network.params.copy_(values - 0.5)
    return network


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids `[T, B]`, and their targets with padding."""
    ids = torch.randint(V, (T + 1, len(LENGTHS)), generator=torch.Generator().manual_seed(2))
    padding = torch.arange(T)[:, None] >= torch.tensor(LENGTHS)
    return ids[:-1], ids[1:].masked_fill(padding, IGNORED)


@pytest.mark.parametrize("model", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("cell", ["plain", "fused", "compiled"])
def test_the_gradient_is_that_of_each_row_alone(cell, model):
    """Cut to its time steps, without padding; to 1e-12. The loss of each step is the sum over rows / batch_size."""
    network, alone = network_of(cell, model), network_of("plain", model)
    network.padded = True
    x, y = batch()
    losses = network.training_pass(x, y, network.zero_state(4), None, False)
    gradient, expected = torch.zeros_like(network.params), torch.zeros(T, dtype=torch.float64)
    for row, length in enumerate(LENGTHS):
        if length:
            part = x[:length, row : row + 1], y[:length, row : row + 1]
            expected[:length] += alone.training_pass(*part, alone.zero_state(1), None, False) / 4
            gradient += alone.grad_params / 4
    assert torch.allclose(losses.double(), expected, rtol=0, atol=1e-12)
    assert torch.allclose(network.grad_params, gradient, rtol=0, atol=1e-12)
    assert torch.equal(network.evaluation_pass(x, y, network.zero_state(4)), losses)


@pytest.mark.parametrize("cell", ["plain", "fused", "compiled"])
def test_a_batch_without_padding_has_the_same_bits(cell):
    network = network_of(cell, "lstm")
    x, y = batch()[0], batch()[0].flip(0)
    found = []
    for padded in (False, True):
        network.padded = padded
        losses = network.training_pass(x, y, network.zero_state(4), None, False).clone()
        found.append((losses, network.grad_params.clone()))
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize("cell", ["plain", "fused", "compiled"])
def test_other_negative_targets_are_invalid(cell):
    network = network_of(cell, "lstm")
    network.padded = True
    x, y = batch()
    with pytest.raises(IndexError):
        network.training_pass(x, y.masked_fill(y == IGNORED, -1), network.zero_state(4), None, False)
