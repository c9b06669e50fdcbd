"""RMSprop equals torch.optim.RMSprop step by step, to the last digits of float64."""

import torch

from charrnn_port.training.optimizers import RMSprop


def test_equals_torch_optim():
    generator = torch.Generator().manual_seed(1)
    ours = torch.randn(1000, dtype=torch.float64, generator=generator)
    theirs = ours.clone().requires_grad_()
    optimizer = RMSprop(ours, learning_rate=2e-3, decay_rate=0.95)
    yardstick = torch.optim.RMSprop([theirs], lr=2e-3, alpha=0.95, eps=1e-8)
    for _ in range(50):
        gradient = torch.randn(1000, dtype=torch.float64, generator=generator)
        theirs.grad = gradient.clone()
        yardstick.step()
        optimizer.step(gradient)
        assert torch.allclose(ours, theirs.detach(), rtol=1e-14, atol=1e-15)
