"""The log-softmax of Torch7 before April 2016 agrees with a transcription of its C code (LogSoftMax.c of nn, TH)."""

import math

import pytest
import torch
from conftest import CPU_BACKENDS

from charrnn_port.model import BACKENDS
from charrnn_port.model.log_softmax import LogSoftmax2015, exp_minus_approx, log_softmax_2015_


def read_directly(row: list[float]) -> list[float]:
    """Compute it like the C code, one number after the other."""
    highest = max(row)
    total = 0.0
    for value in row:
        x = highest - value
        if x < 13.0:
            p = 1.0 + x * (0.125 + x * (0.0078125 + x * (0.00032552083 + x * 1.0172526e-5)))
            for _ in range(3):
                p *= p
            total += 1 / p
    log_sum = highest + math.log(total)
    return [value - log_sum for value in row]


def test_as_the_original_computes_it():
    """They agree to one unit in the last place, by which PyTorch's logarithm may differ."""
    torch.manual_seed(1)
    x = 6 * torch.randn(200, 65, dtype=torch.float64)
    expected = torch.tensor([read_directly(row) for row in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(log_softmax_2015_(x.clone()), expected, rtol=2.3e-16, atol=0)
    assert torch.equal(LogSoftmax2015.apply(x), log_softmax_2015_(x.clone()))


def test_the_approximation_of_exp():
    """It is within 3e-4 of exp(-x), and 0 from 13 on."""
    x = torch.linspace(0, 13, 1001, dtype=torch.float64)[:-1]
    assert 1e-5 < (exp_minus_approx(x) - torch.exp(-x)).abs().max() < 3e-4
    assert exp_minus_approx(torch.tensor([0.0, 13.0, 100.0])).tolist() == [1, 0, 0]


def test_backward_takes_the_true_exp():
    x = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    grad_output = torch.randn(5, 7, dtype=torch.float64)
    output = LogSoftmax2015.apply(x)
    output.backward(grad_output)
    assert torch.equal(x.grad, grad_output - output.detach().exp() * grad_output.sum(1, keepdim=True))


@pytest.mark.parametrize("model", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_every_way_to_run_a_cell_has_it(backend, model):
    """Loss and gradients agree with the plain backend to 1e-12, and the loss differs from that of 2017."""
    torch.manual_seed(1)
    x, y = torch.randint(11, (2, 7, 3))
    results = []
    for cell, torch7 in ((backend, "2015"), ("plain", "2015"), ("plain", "2017")):
        network = BACKENDS[cell](model, 11, 6, 2, torch7=torch7)
        network.params.copy_(torch.linspace(-3, 3, network.params.numel()).sin())
        loss = network.training_pass(x, y, network.zero_state(3), None, False).mean()
        evaluated = network.evaluation_pass(x, y, network.zero_state(3)).mean()
        assert abs(evaluated - loss) < 1e-14
        results.append((loss.clone(), network.grad_params.clone()))
    (loss, gradient), (plain, plain_gradient), (of_2017, _) = results
    assert abs(loss - plain) < 1e-12
    assert (gradient - plain_gradient).abs().max() < 1e-12
    assert 1e-6 < abs(of_2017 - plain) < 1e-3
