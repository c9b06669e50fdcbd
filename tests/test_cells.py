"""The cells compute what nn.LSTM and nn.RNN compute, and the gru what its formula says (nn.GRU is another)."""

import pytest
import torch
from torch import Tensor, nn

from model import gru, lstm, rnn
from model.char_rnn import CELLS, CharRNN, script
from util.one_hot import one_hot

T, B, V, H = 7, 4, 11, 6
TOLERANCE = {"rtol": 1e-12, "atol": 1e-13}


def network(model: str, num_layers: int = 2, **options) -> CharRNN:
    """A network in double precision with parameters large enough to bend every gate."""
    built = CharRNN(model, V, H, num_layers, **options)
    built.params.uniform_(-0.8, 0.8, generator=torch.Generator().manual_seed(5))
    return built


def batch() -> tuple[Tensor, Tensor]:
    """x and y, [T, B]."""
    ids = torch.randint(V, (T + 1, B), generator=torch.Generator().manual_seed(6))
    return ids[:-1], ids[1:]


def random_state(network: CharRNN) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.rand(tensor.shape, dtype=tensor.dtype, generator=generator) - 0.5 for tensor in network.zero_state(B)]


def rows_for_torch(weight: Tensor, model: str) -> Tensor:
    """Rows in torch's gate order: in, forget, transform, out; ours has the last two the other way round."""
    if model == "rnn":
        return weight
    in_gate, forget_gate, out_gate, transform = weight.chunk(4)
    return torch.cat([in_gate, forget_gate, transform, out_gate])


TORCH_NAMES = {"weight_ih": "i2h_weight", "weight_hh": "h2h_weight", "bias_ih": "i2h_bias", "bias_hh": "h2h_bias"}


@pytest.mark.parametrize("model", ["lstm", "rnn"])
def test_equals_torch_forward_and_every_gradient(model):
    ours = network(model)
    theirs = (nn.LSTM if model == "lstm" else nn.RNN)(V, H, 2, dtype=torch.float64)
    decoder = nn.Linear(H, V, dtype=torch.float64)
    with torch.no_grad():
        for layer in range(2):
            for their_name, our_name in TORCH_NAMES.items():
                mapped = rows_for_torch(ours.layers[layer][our_name], model)
                getattr(theirs, f"{their_name}_l{layer}").copy_(mapped)
        decoder.weight.copy_(ours.decoder["weight"])
        decoder.bias.copy_(ours.decoder["bias"])
    x, y = batch()
    state = random_state(ours)
    if model == "lstm":
        start = (torch.stack(state[1::2]), torch.stack(state[0::2]))  # torch: (h, c)
    else:
        start = torch.stack(state)

    output, final = theirs(one_hot(x, V, torch.float64), start)
    log_probs = decoder(output).log_softmax(dim=2)
    (nn.functional.nll_loss(log_probs.flatten(0, 1), y.flatten()) * T).backward()
    our_log_probs, our_final = ours.log_probs(x, state)
    ours.training_pass(x, y, state, None, alias=False)

    assert torch.allclose(our_log_probs, log_probs, **TOLERANCE)
    final_h = final[0] if model == "lstm" else final
    assert torch.allclose(
        torch.stack(our_final[len(ours.cell.STATE) - 1 :: len(ours.cell.STATE)]), final_h, **TOLERANCE
    )
    for layer in range(2):
        for their_name, our_name in TORCH_NAMES.items():
            gradient = rows_for_torch(ours.layers[layer][our_name].grad, model)
            assert torch.allclose(gradient, getattr(theirs, f"{their_name}_l{layer}").grad, **TOLERANCE)
    assert torch.allclose(ours.decoder["weight"].grad, decoder.weight.grad, **TOLERANCE)
    assert torch.allclose(ours.decoder["bias"].grad, decoder.bias.grad, **TOLERANCE)


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
    zero = torch.zeros_like(h)  # without a previous state (and so without a reset) they agree, biases of h2h aside
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


@pytest.mark.parametrize("alias", [False, True])
@pytest.mark.parametrize("model", list(CELLS))
def test_scripted_cells_equal_plain_ones(model, alias):
    results = []
    for scripted in (False, True):
        net = network(model, num_layers=3, scripted=scripted)
        state = random_state(net)
        masks = torch.bernoulli(
            torch.full((T, 3, B, H), 0.5, dtype=torch.float64), generator=torch.Generator().manual_seed(9)
        )
        for _ in range(4):  # TorchScript rewrites what it runs after it has seen a few calls
            loss = net.training_pass(*batch(), state, masks, alias)
        results.append([loss, net.grad_params, *state])
    for plain, scripted in zip(*results, strict=True):
        assert torch.allclose(plain, scripted, **TOLERANCE)


def test_scripting_shows_no_deprecation_warning(recwarn):
    script(lstm.step)
    assert not recwarn.list


@pytest.mark.parametrize("model", list(CELLS))
def test_aliased_state_is_read_as_the_final_one_in_the_backward_pass(model):
    """Aliasing changes gradients, not losses; copying gives the true gradient."""
    gradients, losses = [], []
    for alias in (False, True):
        net = network(model)
        state = random_state(net)
        before = [tensor.clone() for tensor in state]
        losses.append(net.training_pass(*batch(), state, None, alias))
        gradients.append(net.grad_params.clone())
        assert all(torch.equal(a, b) for a, b in zip(state, net.log_probs(batch()[0], before)[1], strict=True))
    assert losses[0] == losses[1]
    assert not torch.allclose(gradients[0], gradients[1], rtol=1e-3)


@pytest.mark.parametrize("model", list(CELLS))
def test_gradient_is_of_the_sum_over_time(model):
    """The derivative along a random direction, by central differences, is seq_length times that of the loss."""
    net = network(model)
    x, y = batch()
    start = random_state(net)
    net.training_pass(x, y, [tensor.clone() for tensor in start], None, alias=False)
    direction = torch.randn(net.params.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    slope = net.grad_params @ direction
    losses = []
    for sign in (1, -1):
        net.params.add_(direction, alpha=sign * 1e-6)
        losses.append(net.evaluation_pass(x, y, [tensor.clone() for tensor in start]))
        net.params.sub_(direction, alpha=sign * 1e-6)
    assert torch.isclose((losses[0] - losses[1]) / 2e-6 * T, slope, rtol=1e-6)
