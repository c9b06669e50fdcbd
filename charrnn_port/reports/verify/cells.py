"""Compare all backends with the plain cells, and with PyTorch's own layers.

The reference is computed in double precision on the CPU. The networks are small, with parameters large enough for every
gate to be nonlinear.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from charrnn_port.model import BACKENDS
from charrnn_port.model.char_rnn import CELLS, CharRNN
from charrnn_port.reports.verify.results import Difference
from charrnn_port.util.errors import UserError
from charrnn_port.util.one_hot import one_hot

PART = "backends"
T, B, V, H = 7, 4, 11, 6
LIMITS = {torch.float64: 1e-12, torch.float32: 5e-5}  # in single precision 7e-6 was seen
TORCH_LAYERS = {"lstm": nn.LSTM, "rnn": nn.RNN}  # nn.GRU computes another function
TORCH_NAMES = {"weight_ih": "i2h_weight", "weight_hh": "h2h_weight", "bias_ih": "i2h_bias", "bias_hh": "h2h_bias"}


def backends(dtype: torch.dtype, device: torch.device) -> Iterator[tuple[str, str]]:
    """Yield (cell, backend) for each backend that is available for this data type and device."""
    for model in CELLS:
        for cell in BACKENDS:
            try:
                network(model, 1, cell, dtype, device)
            except UserError:
                continue
            yield model, cell


def checks(model: str, cell: str, dtype: torch.dtype, device: torch.device) -> list[Difference]:
    """Compare a backend of a cell with the plain cells and with PyTorch."""
    found = []
    for alias in (False, True):
        for masks in (None, dropout_masks(3)):
            found += against_plain(model, cell, alias, masks, dtype, device)
    return [*found, against_torch(model, cell, dtype, device)] if model in TORCH_LAYERS else found


def network(
    model: str,
    num_layers: int = 2,
    cell: str = "plain",
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> CharRNN:
    """Return a network with fixed random parameters, which are single precision numbers for both data types."""
    built = BACKENDS[cell](model, V, H, num_layers, dtype=dtype, device=device)
    numbers = torch.empty(built.params.shape, dtype=torch.float32)
    built.params.copy_(numbers.uniform_(-0.8, 0.8, generator=torch.Generator().manual_seed(5)))
    return built


def batch() -> tuple[Tensor, Tensor]:
    """Return x and y, `[T, B]` int64."""
    ids = torch.randint(V, (T + 1, B), generator=torch.Generator().manual_seed(6))
    return ids[:-1], ids[1:]


def random_state(network: CharRNN) -> list[Tensor]:
    """Return a random state, as in the middle of a text."""
    generator = torch.Generator().manual_seed(7)
    numbers = (torch.rand(tensor.shape, generator=generator) - 0.5 for tensor in network.zero_state(B))
    return [each.to(network.params) for each in numbers]


def dropout_masks(num_layers: int) -> Tensor:
    """Return dropout masks `[T, num_layers, B, H]` that keep half of the units."""
    probability = torch.full((T, num_layers, B, H), 0.5, dtype=torch.float64)
    return torch.bernoulli(probability, generator=torch.Generator().manual_seed(9)) / 0.5


def against_plain(
    model: str,
    cell: str,
    alias: bool,
    masks: Tensor | None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> list[Difference]:
    """Compare losses, gradients and states over four training batches and an evaluation, with the state carried on."""
    plain, other = network(model, 3), network(model, 3, cell, dtype, device)
    plain_state, other_state = random_state(plain), random_state(other)
    x, y = batch()
    there = x.to(device), y.to(device)
    their_masks = None if masks is None else masks.to(other.params)
    off: dict[str, list[float]] = {"loss": [], "gradient": [], "state": []}
    for _ in range(4):  # TorchScript optimizes functions after a few calls
        losses = plain.training_pass(x, y, plain_state, masks, alias)
        off["loss"].append(apart(other.training_pass(*there, other_state, their_masks, alias), losses))
        gradients = other.grad_params.cpu().double()
        off["gradient"].append(((gradients - plain.grad_params).norm() / plain.grad_params.norm()).item())
        off["state"] += map(apart, other_state, plain_state)
        for each in (plain, other):
            each.params.sub_(each.grad_params, alpha=0.01)  # what is derived from the parameters must be updated
    losses = plain.evaluation_pass(x, y, plain_state)
    off["loss"].append(apart(other.evaluation_pass(*there, other_state), losses))
    off["state"] += map(apart, other_state, plain_state)
    return [Difference(PART, f"{model} {cell}", what, float(np.max(each)), LIMITS[dtype]) for what, each in off.items()]


def against_torch(
    model: str, cell: str, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> Difference:
    """Compare log-probabilities, the final output and all gradients with nn.LSTM or nn.RNN of the same parameters."""
    ours = network(model, cell=cell, dtype=dtype, device=device)
    theirs, decoder = as_torch(network(model))
    x, y = batch()
    state = random_state(ours)
    width = len(ours.cell.STATE)
    start = [tensor.cpu().double() for tensor in state]
    h = torch.stack(start[width - 1 :: width])
    output, final = theirs(one_hot(x, V, torch.float64), (h, torch.stack(start[::2])) if model == "lstm" else h)
    log_probs = decoder(output).log_softmax(dim=2)
    (nn.functional.nll_loss(log_probs.flatten(0, 1), y.flatten()) * T).backward()

    x, y = x.to(device), y.to(device)
    our_log_probs, our_final = ours.log_probs(x, state)
    pairs = [(our_log_probs.clone(), log_probs)]  # the fused network reuses its buffers
    pairs.append((torch.stack(our_final[width - 1 :: width]), final[0] if model == "lstm" else final))
    ours.training_pass(x, y, state, None, alias=False)
    for layer in range(2):
        for their_name, our_name in TORCH_NAMES.items():
            gradient = rows_for_torch(ours.layers[layer][our_name].grad, model)
            pairs.append((gradient, getattr(theirs, f"{their_name}_l{layer}").grad))
    pairs += [(ours.decoder[name].grad, getattr(decoder, name).grad) for name in ("weight", "bias")]
    largest = float(np.max([apart(our, their) for our, their in pairs]))
    return Difference(PART, f"{model} {cell}", f"nn.{TORCH_LAYERS[model].__name__}", largest, LIMITS[dtype])


def as_torch(ours: CharRNN) -> tuple[nn.Module, nn.Linear]:
    """Return PyTorch's layers and a decoder with the parameters of a network of two layers."""
    layers = TORCH_LAYERS[ours.model](V, H, 2, dtype=torch.float64)
    decoder = nn.Linear(H, V, dtype=torch.float64)
    with torch.no_grad():
        for layer in range(2):
            for their_name, our_name in TORCH_NAMES.items():
                mapped = rows_for_torch(ours.layers[layer][our_name], ours.model)
                getattr(layers, f"{their_name}_l{layer}").copy_(mapped)
        decoder.weight.copy_(ours.decoder["weight"])
        decoder.bias.copy_(ours.decoder["bias"])
    return layers, decoder


def rows_for_torch(weight: Tensor, model: str) -> Tensor:
    """Return rows in PyTorch's gate order, in, forget, transform, out; ours is in, forget, out, transform."""
    if model == "rnn":
        return weight
    in_gate, forget_gate, out_gate, transform = weight.chunk(4)
    return torch.cat([in_gate, forget_gate, transform, out_gate])


def apart(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference relative to 0.1 + the expected absolute value.

    At most 1e-12 is the condition of torch.allclose(ours, theirs, rtol=1e-12, atol=1e-13).
    """
    ours, theirs = ours.detach().cpu().double(), theirs.detach()
    return ((ours - theirs).abs() / (0.1 + theirs.abs())).max().item()
