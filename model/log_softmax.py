"""The two log-softmaxes of Torch7, `[N, V]` → `[N, V]`: on a CPU the earlier one computed its sum with another exp.

Until torch/nn commit 4438ec9 of 27 April 2016 that was TH's THExpMinusApprox: so all digits that people saw in 2015,
on a CPU, come from it. The backward pass took the true exp of the outputs, then as now.
"""

from typing import Any

import torch
from torch import Tensor

# exp(-x) is about p(x) ** -8, p(x) being the first terms of exp(x / 8): from the constant term up.
EXP_MINUS_APPROX = (1.0, 0.125, 0.0078125, 0.00032552083, 1.0172526e-5)
EXP_MINUS_IS_0 = 13.0  # from this x on


def log_softmax_2017_(x: Tensor) -> Tensor:
    """In place, and what PyTorch has."""
    return torch.log_softmax(x, 1, out=x)


def log_softmax_2015_(x: Tensor) -> Tensor:
    """In place, and Torch7's until April 2016: the probabilities do not add up to one by some 1e-5."""
    highest = x.amax(1, keepdim=True)
    terms = exp_minus_approx(highest - x)
    total = terms.cumsum(1)[:, -1:]  # Torch7 sums from the left
    return x.sub_(total.log_().add_(highest))


def exp_minus_approx(x: Tensor) -> Tensor:
    """THExpMinusApprox of torch7/lib/TH: about exp(-x), for x of at least 0."""
    *lower, highest = EXP_MINUS_APPROX
    p = torch.full_like(x, highest)
    for coefficient in reversed(lower):
        p.mul_(x).add_(coefficient)
    return p.square_().square_().square_().reciprocal_().masked_fill_(x >= EXP_MINUS_IS_0, 0)


class LogSoftmax2015(torch.autograd.Function):
    """The same for autograd, which is not to differentiate the approximation."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        """`[N, V]` → `[N, V]`."""
        output = log_softmax_2015_(x.clone())
        context.save_for_backward(output)
        return output

    @staticmethod
    def backward(context: Any, grad_output: Tensor) -> Tensor:
        """nn.LogSoftMax's updateGradInput."""
        (output,) = context.saved_tensors
        return grad_output - output.exp() * grad_output.sum(1, keepdim=True)


def log_softmax_2017(x: Tensor) -> Tensor:
    """For autograd."""
    return torch.log_softmax(x, 1)


# By the year of the Torch7: for autograd, and in place.
LOG_SOFTMAX = {
    "2015": (LogSoftmax2015.apply, log_softmax_2015_),
    "2017": (log_softmax_2017, log_softmax_2017_),
}
