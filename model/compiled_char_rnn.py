"""Run the network over a whole sequence in C, with Torch7's results to the last bit in double precision.

The C files of this folder define the order of each sum and where it is rounded. This file defines the order of the
layers.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from charrnn_port.model.build import built
from charrnn_port.model.compiled import CompiledPasses, Workspace, call, run
from charrnn_port.model.fused import FusedCharRNN, Pass
from charrnn_port.util.errors import UserError


class CompiledCharRNN(FusedCharRNN):
    """A CharRNN whose passes run in C, on a CPU. Raises UserError if that is not possible."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        if self.params.device.type != "cpu":
            raise UserError("-cell compiled: this backend runs on a CPU only; use fused")
        if not built(self.params.dtype).functions:
            raise UserError(
                f"-cell compiled: {built(self.params.dtype).how}; install a C compiler as cc, or name one with CC, "
                "or use fused"
            )
        self.pass_class, self.sequence = CompiledPass, self.cell.CompiledSequence

    def step_losses(self, log_probs: Tensor, y: Tensor) -> Tensor:
        """See `CharRNN.step_losses`; the losses are float64."""
        losses = torch.empty(len(y), dtype=torch.float64, device="cpu")
        call(log_probs.dtype, "step_losses", losses, log_probs, y.contiguous(), *log_probs.shape)
        return losses

    @staticmethod
    def copy_transposed(target: Tensor, source: Tensor) -> None:
        """Set target `[c, r]`, contiguous, to source.T, source `[r, c]` being columns of a matrix."""
        run("transpose", target, source, source.stride(0), *source.shape)


class CompiledPass(Pass):
    """The buffers for batches of one shape, `[T, B]`, and the computations on them in C."""

    layers: list[CompiledPasses]

    def _new_layer(self, new: Callable[..., Tensor], ids: Tensor | None) -> CompiledPasses:
        return self.network.sequence(new, ids, *self.x.shape, self.network.rnn_size, self.network.vocab_size)

    def _make_space(self, new: Callable[..., Tensor]) -> None:
        H, V, n = self.network.rnn_size, self.network.vocab_size, self.layers[0].pre_activations.shape[2]
        self.workspace = Workspace(new, max(H, V, n))
        self.terms = new(torch.get_num_threads(), V)  # the terms of the softmax's sums, for each thread
        # The gradients by a lower layer's output, one from each nn.Linear that takes it as input.
        linears = len(self.network.sequence.I2H)
        self.grad_inputs = new(linears, *self.x.shape, H) if linears > 1 and len(self.layers) > 1 else None

    def _multiply_input(self, layer: CompiledPasses, inputs: Tensor, i2h: Tensor) -> None:
        layer.multiply_input(inputs, i2h, self.workspace)

    def _decode(self, output: Tensor) -> None:
        (T, B, H), V, decoder = output.shape, self.network.vocab_size, self.network.decoder
        run("linear_outputs", self.log_probs, output, decoder["weight"], T, B, H, V, self.workspace)
        of_2015 = int(self.network.torch7 == "2015")
        run("log_softmax", self.log_probs, decoder["bias"], T * B, V, of_2015, self.terms, len(self.terms))

    def backward(self, y: Tensor, masks: Tensor | None) -> None:
        """See `Pass.backward`."""
        gradient, decoder, top = self.log_probs, self.network.decoder, self.layers[-1]
        run("log_softmax_backward", gradient, y.contiguous(), decoder["bias"].grad, *gradient.shape)
        self._fill_weights([decoder["weight"].grad], gradient, self._output(-1, masks))
        grad_outputs = top.grad_h[None]
        self._fill_inputs(grad_outputs, gradient, decoder["weight"], (0,))
        for index in reversed(range(len(self.layers))):
            layer, weights = self.layers[index], self.network.weights()[index]
            if masks is not None:
                grad_outputs = drop_backward(grad_outputs, masks[:, index], layer.grad_h)
            layer.backward(weights, grad_outputs)
            self._fill_gradients(index, masks, layer.grad_rows, layer.grad_bias)
            if index > 0:
                below = self.layers[index - 1]
                grad_outputs = below.grad_h[None] if self.grad_inputs is None else self.grad_inputs
                self._fill_inputs(grad_outputs, layer.pre_activations, weights.i2h, layer.GRADIENT_ORDER)

    def _fill_inputs(self, grad_inputs: Tensor, gradient: Tensor, weight: Tensor, order: tuple[int, ...]) -> None:
        """Fill grad_inputs `[linears, T, B, I]`, the gradients by the input of stacked nn.Linears, in that order.

        gradient `[T, B, n]`: the gradient by all their outputs, side by side. weight: `[n, I]`.
        """
        T, B, n = gradient.shape
        width = n // len(order)
        for target, linear in zip(grad_inputs, order, strict=True):
            part = gradient[..., linear * width :], n, weight[linear * width :]
            run("grad_inputs", target, *part, T, B, weight.shape[1], width, self.workspace)

    def _fill_weights(self, grads: list[Tensor], gradient: Tensor, inputs: Tensor) -> None:
        T, B, width = inputs.shape
        for grad, part in zip(grads, gradient.chunk(len(grads), 2), strict=True):
            run("grad_weights", grad, part, part.stride(1), inputs, T, B, width, part.shape[2], self.workspace)


def drop_backward(grad_outputs: Tensor, mask: Tensor, target: Tensor) -> Tensor:
    """Fill target `[T, B, H]` with the sum of grad_outputs `[sources, T, B, H]`, in order, times a dropout mask.

    Returns target as a single source, `[1, T, B, H]`.
    """
    first, *others = grad_outputs
    for other in others:
        first = first + other
    return torch.mul(first, mask, out=target)[None]
