"""The lstm and rnn agree with nn.LSTM and nn.RNN, and the gru with its formula, which differs from nn.GRU's."""

import pytest
import torch
from conftest import CPU_BACKENDS
from torch import Tensor, nn

from charrnn_port.model import gru, lstm, rnn
from charrnn_port.model.char_rnn import CELLS, CharRNN, script
from charrnn_port.reports.verify.cells import (
    B,
    H,
    T,
    V,
    against_plain,
    against_torch,
    batch,
    dropout_masks,
    network,
    random_state,
)
from charrnn_port.util.one_hot import one_hot

TOLERANCE = {"rtol": 1e-12, "atol": 1e-13}


@pytest.mark.parametrize("cell", CPU_BACKENDS)
@pytest.mark.parametrize("model", ["lstm", "rnn"])
def test_equals_torch_forward_and_every_gradient(model, cell):
    difference = against_torch(model, cell)
    assert difference.largest <= 1e-12, difference
    assert difference.holds


def test_gru_equals_its_formula():
    layer = network("gru", 1).layers[0]
    x, h = one_hot(batch()[0][0], V, torch.float64), torch.rand(B, H, dtype=torch.float64) - 0.5

    def affine(name: str, value: Tensor) -> Tensor:
        return value @ layer[f"{name}_weight"].T + layer[f"{name}_bias"]

    z = torch.sigmoid(affine("update_i2h", x) + affine("update_h2h", h))
    r = torch.sigmoid(affine("reset_i2h", x) + affine("reset_h2h", h))
    candidate = torch.tanh(affine("candidate_i2h", x) + affine("candidate_h2h", r * h))
    assert torch.allclose(gru.step(x, h, *layer.values())[0], z * candidate + (1 - z) * h, **TOLERANCE)


def test_torch_gru_is_another_function():
    layer = network("gru", 1).layers[0]
    x, h = one_hot(batch()[0][0], V, torch.float64), torch.rand(B, H, dtype=torch.float64) - 0.5
    theirs = nn.GRUCell(V, H, dtype=torch.float64)
    with torch.no_grad():
        for side, name in (("ih", "i2h"), ("hh", "h2h")):
            for kind in ("weight", "bias"):
                # torch: h' = (1 - z) n + z h, ours: z n + (1 - z) h; sigmoid(-a) = 1 - sigmoid(a)
                gates = [
                    layer[f"reset_{name}_{kind}"],
                    -layer[f"update_{name}_{kind}"],
                    layer[f"candidate_{name}_{kind}"],
                ]
                getattr(theirs, f"{kind}_{side}").copy_(torch.cat(gates))
    ours = gru.step(x, h, *layer.values())[0]
    assert (ours - theirs(x, h)).abs().max() > 1e-3
    zero = torch.zeros_like(h)  # without a previous state, and so without a reset, they agree except for biases of h2h
    with torch.no_grad():
        layer["candidate_h2h_bias"].zero_()
        theirs.bias_hh[2 * H :].zero_()
    assert torch.allclose(gru.step(x, zero, *layer.values())[0], theirs(x, zero), **TOLERANCE)


@pytest.mark.parametrize("cell", [lstm, gru, rnn])
def test_step_passes_gradcheck(cell):
    generator = torch.Generator().manual_seed(8)
    shapes = [(B, V), *[(B, H)] * len(cell.STATE), *cell.parameter_shapes(V, H).values()]
    inputs = [torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(cell.step, inputs)


@pytest.mark.parametrize("masks", [None, dropout_masks(3)], ids=["no_dropout", "dropout"])
@pytest.mark.parametrize("alias", [False, True])
@pytest.mark.parametrize("model", list(CELLS))
@pytest.mark.parametrize("cell", CPU_BACKENDS[1:])
def test_other_ways_to_run_equal_the_plain_one(cell, model, alias, masks):
    """Losses, gradients and states agree over four batches, each of which starts from the previous state."""
    differences = against_plain(model, cell, alias, masks)
    assert [each.what for each in differences] == ["loss", "gradient", "state"]
    for each in differences:
        assert each.largest <= 1e-12, each
        assert each.holds


@pytest.mark.parametrize("cell", CPU_BACKENDS[2:])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("model", list(CELLS))
def test_fused_buffers_serve_batches_of_several_shapes(model, num_layers, cell):
    fused, plain = network(model, num_layers, cell), network(model, num_layers)
    for rows in (T, 1, 3, T):
        x = batch()[0][:rows]
        state = random_state(plain)
        assert torch.allclose(fused.log_probs(x, state)[0], plain.log_probs(x, state)[0], **TOLERANCE)
    assert fused.weights() is fused.weights()  # rebuilt only if the parameters have changed


def test_scripting_shows_no_deprecation_warning(recwarn):
    script(lstm.step)
    assert not recwarn.list


@pytest.mark.parametrize("cell", CPU_BACKENDS)
@pytest.mark.parametrize("model", list(CELLS))
def test_aliased_state_is_read_as_the_final_one_in_the_backward_pass(model, cell):
    """-state_carry alias changes gradients but not losses; copy gives the true gradient."""
    gradients, losses = [], []
    for alias in (False, True):
        net = network(model, cell=cell)
        state = random_state(net)
        before = [tensor.clone() for tensor in state]
        losses.append(net.training_pass(*batch(), state, None, alias).mean())
        gradients.append(net.grad_params.clone())
        assert all(torch.equal(a, b) for a, b in zip(state, net.log_probs(batch()[0], before)[1], strict=True))
    assert losses[0] == losses[1]
    assert not torch.allclose(gradients[0], gradients[1], rtol=1e-3)


@pytest.mark.parametrize("cell", CPU_BACKENDS)
@pytest.mark.parametrize("model", list(CELLS))
def test_gradient_is_of_the_sum_over_time(model, cell):
    """The derivative along a random direction, by central differences, is seq_length times that of the loss."""
    net = network(model, cell=cell)
    x, y = batch()
    start = random_state(net)
    net.training_pass(x, y, [tensor.clone() for tensor in start], None, alias=False)
    direction = torch.randn(net.params.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    slope = net.grad_params @ direction
    losses = []
    for sign in (1, -1):
        net.params.add_(direction, alpha=sign * 1e-6)
        losses.append(net.evaluation_pass(x, y, [tensor.clone() for tensor in start]).mean())
        net.params.sub_(direction, alpha=sign * 1e-6)
    assert torch.isclose((losses[0] - losses[1]) / 2e-6 * T, slope, rtol=1e-6)


def reference_step(model: str, parameters: dict[str, Tensor], x: Tensor, state: list[Tensor]) -> list[Tensor]:
    """Compute the next state of a layer by the formulas of its cell."""

    def affine(name: str, value: Tensor) -> Tensor:
        return value @ parameters[f"{name}_weight"].T + parameters[f"{name}_bias"]

    h = state[-1]
    if model == "lstm":
        i, f, o, g = (affine("i2h", x) + affine("h2h", h)).split(H, dim=1)
        c = f.sigmoid() * state[0] + i.sigmoid() * g.tanh()
        return [c, o.sigmoid() * c.tanh()]
    if model == "gru":
        z = (affine("update_i2h", x) + affine("update_h2h", h)).sigmoid()
        r = (affine("reset_i2h", x) + affine("reset_h2h", h)).sigmoid()
        candidate = (affine("candidate_i2h", x) + affine("candidate_h2h", r * h)).tanh()
        return [z * candidate + (1 - z) * h]
    return [(affine("i2h", x) + affine("h2h", h)).tanh()]


def reference_gradient(net: CharRNN, state: list[Tensor], masks: Tensor | None, alias: bool) -> Tensor:
    """Compute the gradient by `params`, flat, with autograd through a loop over time steps and layers.

    With `alias` the final state overwrites the initial one before the backward pass.
    """
    *layers, decoder = [
        {name: tensor.detach().clone().requires_grad_() for name, tensor in part.items()}
        for part in (*net.layers, net.decoder)
    ]
    width = len(state) // len(layers)
    before = [tensor.detach().clone() for tensor in state]
    states = [before[i : i + width] for i in range(0, len(before), width)]
    x, y = batch()
    loss = torch.zeros((), dtype=torch.float64)
    for t in range(T):
        output = torch.eye(V, dtype=torch.float64)[x[t]]
        for index, parameters in enumerate(layers):
            states[index] = reference_step(net.model, parameters, output, states[index])
            output = states[index][-1] if masks is None else states[index][-1] * masks[t, index]
        loss = loss + nn.functional.cross_entropy(output @ decoder["weight"].T + decoder["bias"], y[t])
    if alias:
        for tensor, final in zip(before, [tensor for layer in states for tensor in layer], strict=True):
            tensor.data.copy_(final)  # without autograd's knowledge: its backward pass reads the changed tensors
    tensors = [tensor for part in (*layers, decoder) for tensor in part.values()]
    return torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, tensors)])


@pytest.mark.parametrize("masks", [None, dropout_masks(2)], ids=["no_dropout", "dropout"])
@pytest.mark.parametrize("cell", CPU_BACKENDS)
@pytest.mark.parametrize("model", list(CELLS))
def test_gradients_by_a_copied_and_by_an_aliased_state(model, cell, masks):
    """-state_carry copy differentiates at the state before the sequence; alias puts the final state in its place."""
    net = network(model, cell=cell)
    gradients = {}
    for alias in (False, True):
        state = random_state(net)
        expected = reference_gradient(net, state, masks, alias)
        net.training_pass(*batch(), state, masks, alias)
        assert torch.allclose(net.grad_params, expected, **TOLERANCE)
        gradients[alias] = expected
    assert not torch.allclose(gradients[False], gradients[True], rtol=1e-3)
