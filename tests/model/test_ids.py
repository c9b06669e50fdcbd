"""An invalid character id raises an error with every backend: C would read beyond an array."""

import pytest
import torch
from conftest import CPU_BACKENDS

from charrnn_port.model import BACKENDS
from charrnn_port.sampling import Model, Session
from charrnn_port.util.vocabulary import Vocabulary

T, B, V, H = 3, 2, 5, 4


@pytest.mark.parametrize("cell", CPU_BACKENDS)
@pytest.mark.parametrize("id_", [V, V + 1, 10**9, 2**62, -1, -100, -(2**62)])
@pytest.mark.parametrize("place", ["input", "target"])
@pytest.mark.parametrize("model", ["lstm", "gru", "rnn"])
def test_an_id_of_no_character(model, cell, id_, place):
    """The error names the id, and state and gradients are unchanged."""
    network = BACKENDS[cell](model, V, H, 2)
    network.params.uniform_(-0.1, 0.1)
    x, y = torch.zeros(T, B, dtype=torch.int64), torch.zeros(T, B, dtype=torch.int64)
    (x if place == "input" else y)[1, 1] = id_
    state = network.zero_state(B)
    calls = [
        lambda: network.training_pass(x, y, state, None, alias=True),
        lambda: network.evaluation_pass(x, y, state),
    ]
    if place == "input":
        calls.append(lambda: network.log_probs(x, state))
    for call in calls:
        with pytest.raises(IndexError, match=rf"invalid character id {id_}: expected 0 to {V - 1}"):
            call()
    assert not any(tensor.any() for tensor in [*state, network.grad_params])


@pytest.mark.parametrize("cell", CPU_BACKENDS)
def test_the_first_and_the_last_character(cell):
    network = BACKENDS[cell]("lstm", V, H, 2)
    ids = torch.tensor([[0, V - 1]] * T)
    loss = network.training_pass(ids, ids, network.zero_state(2), None, alias=False).mean()
    assert loss.item() == pytest.approx(torch.tensor(float(V)).log().item())


@pytest.mark.parametrize("id_", [V, -1])
def test_a_text_goes_on_by_characters_alone(id_):
    session = Session(Model(BACKENDS["fused"]("lstm", V, H, 2), Vocabulary(b"abcde")))
    with pytest.raises(IndexError, match=f"character id {id_} is out of range: vocab_size is {V}"):
        session.feed([id_])
