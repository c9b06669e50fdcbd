"""Baselines: training with PyTorch's own layers, and PyTorch's matrix products alone."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from charrnn_port.device import record, recording_stream
from charrnn_port.reports.benchmark.subjects import SEQ_LENGTH, VOCAB
from charrnn_port.reports.benchmark.work import GATES

LAYERS = {"lstm": nn.LSTM, "rnn": nn.RNN}  # nn.GRU computes another function


def torch_training(
    model: str,
    rnn_size: int,
    num_layers: int,
    batch_size: int,
    dtype: torch.dtype,
    device: torch.device,
    graph: bool = False,
) -> Callable[[], float]:
    """Return a training iteration with PyTorch's layer as a user would write it, with the fastest settings.

    `graph` records it as one CUDA graph, as this port does and few users do. The iteration returns the loss in nats per
    character.
    """
    options = {"dtype": dtype, "device": device}
    layers = LAYERS[model](len(VOCAB), rnn_size, num_layers, **options)
    decoder = nn.Linear(rnn_size, len(VOCAB), **options)
    parameters = [*layers.parameters(), *decoder.parameters()]
    optimizer = torch.optim.RMSprop(parameters, lr=2e-3, alpha=0.95, foreach=True, capturable=graph)
    one_hot = torch.eye(len(VOCAB), **options)
    ids = torch.randint(len(VOCAB), (SEQ_LENGTH + 1, batch_size), device=device)
    state = [torch.zeros(num_layers, batch_size, rnn_size, **options) for _ in range(2 if model == "lstm" else 1)]

    def iterate() -> Tensor:
        optimizer.zero_grad()
        output, after = layers(one_hot[ids[:-1]], tuple(state) if model == "lstm" else state[0])
        loss = nn.functional.cross_entropy(decoder(output).flatten(0, 1), ids[1:].flatten())
        (loss * SEQ_LENGTH).backward()
        nn.utils.clip_grad_value_(parameters, 5.0, foreach=True)
        optimizer.step()
        for before, value in zip(state, after if model == "lstm" else [after], strict=True):
            before.copy_(value.detach())
        return loss

    if not graph:
        return lambda: iterate().item()
    with torch.cuda.device(device), torch.cuda.stream(recording_stream(device)):
        for _ in range(2):  # libraries initialize on first use, which cannot be recorded in a graph
            iterate()
    found = {}
    replay = record(lambda: found.update(loss=iterate()), device)

    def iteration() -> float:
        replay()
        return found["loss"].item()

    return iteration


def matrix_products(
    model: str, rnn_size: int, num_layers: int, batch_size: int, dtype: torch.dtype, device: torch.device
) -> Callable[[], None]:
    """Return a function with only the matrix products of an iteration, by PyTorch, into preallocated outputs.

    Each product has its fastest layout. Products with one-hot vectors are excluded, since they only gather rows.
    Products over all time steps are single calls.
    """
    T, B, H, V = SEQ_LENGTH, batch_size, rnn_size, len(VOCAB)

    def new(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=dtype, device=device)

    # A gru computes two gates before the reset product, and the candidate after it.
    parts = [2 * H, H] if model == "gru" else [GATES[model] * H]
    n = sum(parts)
    x, grad_x, sums = new(T, B, H), new(T, B, H), new(T, B, n)
    weight, transposed = new(n, H), new(H, n)
    decoder, scores = new(V, H), new(T * B, V)
    grad_weight, grad_decoder = new(H, n), new(H, V)
    steps = []
    for t in range(T):
        for w, w_transposed, s in zip(
            weight.split(parts), transposed.split(parts, 1), sums[t].split(parts, 1), strict=True
        ):
            steps.append((x[t], w, w_transposed, s, grad_x[t]))
    rows, grad_rows, sums = x.flatten(0, 1), grad_x.flatten(0, 1), sums.flatten(0, 1)

    def products() -> None:
        for layer in range(num_layers):
            if layer:
                torch.mm(rows, weight.T, out=sums)
            for h, _, w_transposed, s, _ in steps:
                torch.mm(h, w_transposed, out=s)
        torch.mm(rows, decoder.T, out=scores)
        torch.mm(scores, decoder, out=grad_rows)
        torch.mm(rows.T, scores, out=grad_decoder)
        for layer in range(num_layers):
            for _, w, _, s, grad_h in steps:
                torch.mm(s, w, out=grad_h)
            torch.mm(rows.T, sums, out=grad_weight)
            if layer:
                torch.mm(sums, weight, out=grad_rows)
                torch.mm(rows.T, sums, out=grad_weight)

    return products
