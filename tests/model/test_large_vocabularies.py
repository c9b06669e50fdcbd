"""With thousands of characters, as in Chinese, all backends agree, for all characters."""

import pytest
import torch
from conftest import CPU_BACKENDS

from charrnn_port.model import BACKENDS
from charrnn_port.util.one_hot import one_hot

T, B, V, H = 5, 3, 5000, 6


def ids() -> tuple[torch.Tensor, torch.Tensor]:
    """Return x and y `[T, B]` with ids below and above 256, the first and the last one, and one several times."""
    drawn = torch.randint(V, (T + 1, B), generator=torch.Generator().manual_seed(1))
    drawn[:3, 0] = torch.tensor([0, V - 1, 255])
    drawn[1:4, 1] = 4711
    return drawn[:-1], drawn[1:]


@pytest.mark.parametrize("cell", CPU_BACKENDS[1:])
@pytest.mark.parametrize("model", ["lstm", "gru", "rnn"])
def test_the_same_loss_and_gradients_as_plain(model, cell):
    results = []
    for backend in ("plain", cell):
        network = BACKENDS[backend](model, V, H, 2)
        network.params.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(2))
        x, y = ids()
        state = network.zero_state(B)
        loss = network.training_pass(x, y, state, None, alias=False).mean()
        columns = next(iter(network.layers[0].values())).grad.abs().sum(0).nonzero().flatten()
        assert columns.tolist() == sorted(
            set(x.flatten().tolist())
        )  # a character's column gets a gradient if the character is in the input
        after = network.evaluation_pass(x, y, state).mean()
        results.append([loss, after, network.grad_params, *state])
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-11, atol=1e-13)


def test_one_hot_takes_no_more_memory_than_its_result():
    """An identity matrix would take a terabyte."""
    x = torch.tensor([0, 500_000, 999_999])
    rows = one_hot(x, 1_000_000, torch.float64)
    assert rows.shape == (3, 1_000_000)
    assert rows.nonzero().tolist() == [[0, 0], [1, 500_000], [2, 999_999]]
    assert rows.sum() == 3
