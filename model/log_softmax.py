"""Compute Torch7's two versions of log-softmax, `[N, V]` → `[N, V]`. On a CPU, the older one approximates exp.

Until torch/nn commit 4438ec9 of 27 April 2016 the sum was computed with TH's THExpMinusApprox, so all results of 2015
on a CPU come from it. The backward pass has always used the true exp of the outputs.
"""

from typing import Any

import torch
from torch import Tensor

# exp(-x) is about p(x) ** -8, where p(x) is the beginning of the series of exp(x / 8). The constant term comes first.
EXP_MINUS_APPROX = (1.0, 0.125, 0.0078125, 0.00032552083, 1.0172526e-5)
EXP_MINUS_IS_0 = 13.0  # the approximation is 0 from this x on


def log_softmax_2017_(x: Tensor) -> Tensor:
    """Compute PyTorch's log-softmax in place."""
    return torch.log_softmax(x, 1, out=x)


def log_softmax_2015_(x: Tensor) -> Tensor:
    """Compute Torch7's log-softmax until April 2016 in place. The sum of its probabilities is off by about 1e-5."""
    highest = x.amax(1, keepdim=True)
    terms = exp_minus_approx(highest - x)
    total = terms.cumsum(1)[:, -1:]  # Torch7 sums from the left
    return x.sub_(total.log_().add_(highest))


def exp_minus_approx(x: Tensor) -> Tensor:
    """Approximate exp(-x) for x >= 0, like THExpMinusApprox of torch7/lib/TH."""
    *lower, highest = EXP_MINUS_APPROX
    p = torch.full_like(x, highest)
    for coefficient in reversed(lower):
        p.mul_(x).add_(coefficient)
    return p.square_().square_().square_().reciprocal_().masked_fill_(x >= EXP_MINUS_IS_0, 0)


class LogSoftmax2015(torch.autograd.Function):
    """`log_softmax_2015_` for autograd, with the gradient of the true log-softmax."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        """Compute log-probabilities, `[N, V]` → `[N, V]`."""
        output = log_softmax_2015_(x.clone())
        context.save_for_backward(output)
        return output

    @staticmethod
    def backward(context: Any, grad_output: Tensor) -> Tensor:
        """Compute the gradient like updateGradInput of nn.LogSoftMax."""
        (output,) = context.saved_tensors
        return grad_output - output.exp() * grad_output.sum(1, keepdim=True)


def log_softmax_2017(x: Tensor) -> Tensor:
    """Compute PyTorch's log-softmax, for autograd."""
    return torch.log_softmax(x, 1)


# By the year of the Torch7 version: the function for autograd and the one in place.
LOG_SOFTMAX = {
    "2015": (LogSoftmax2015.apply, log_softmax_2015_),
    "2017": (log_softmax_2017, log_softmax_2017_),
}
