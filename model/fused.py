"""The whole network over a whole sequence at once, forward and backward by hand, on buffers made once.

The same function as CharRNN, in about half the time: the input products of the upper layers, the decoder and all
weight gradients are single matrix products over all time steps, and one-hot products are row gathers and sums.

model/memory.py has the bill of the buffers.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from charrnn_port.model.build import built
from charrnn_port.model.char_rnn import CharRNN, carry, require_ids
from charrnn_port.model.compiled import CompiledDense
from charrnn_port.model.persistent import require_kernels
from charrnn_port.model.sequence import LayerWeights
from charrnn_port.util.errors import UserError


class FusedCharRNN(CharRNN):
    """CharRNN without autograd. `log_probs` and the state it returns are buffers: valid until the next call.

    With `compiled`, time steps are done in C (model/sequence.c); with `persistent`, on a CUDA device, in kernels of our
    own (model/persistent.py). Raises UserError where that cannot be had.
    """

    def __init__(self, *args, compiled: bool = False, persistent: bool = False, **options) -> None:
        super().__init__(*args, **options)
        self.sequence, self.dense = self.cell.EagerSequence, Dense
        if compiled:
            if self.params.device.type != "cpu":
                raise UserError("-cell compiled: this is for a CPU; take fused")
            if not built(self.params.dtype).functions:
                raise UserError(
                    f"-cell compiled: {built(self.params.dtype).how}; install a C compiler with OpenMP as cc, name one "
                    "with CC, or take fused"
                )
            self.sequence, self.dense = self.cell.CompiledSequence, CompiledDense
        elif persistent:
            require_kernels(self.cell, self.params.device)
            self.sequence = self.cell.PersistentSequence
        self._passes: dict[tuple[int, int], Pass] = {}
        self._weights: list[LayerWeights] = []
        self._weights_version = -1

    def params_changed(self) -> None:
        """To be called where the parameters change without PyTorch's knowledge, as when a CUDA graph is replayed."""
        self._weights_version = -1

    @torch.no_grad()
    def weights(self) -> list[LayerWeights]:
        """Those of each layer, made from the parameters again when these have changed since the last call."""
        if self._weights_version != self.params._version:
            self._weights_version = self.params._version
            self._weights = [self._layer_weights(index) for index in range(self.num_layers)]
        return self._weights

    def _layer_weights(self, index: int) -> LayerWeights:
        parameters = self.layers[index]
        i2h, i2h_bias, h2h, h2h_bias = [
            stack([parameters[f"{name}_{kind}"] for name in names])
            for names in (self.sequence.I2H, self.sequence.H2H)
            for kind in ("weight", "bias")
        ]
        rows = None
        if index == 0:
            rows = i2h.new_empty(i2h.shape[::-1])
            self.dense.copy_transposed(rows, i2h)
        return LayerWeights(rows, i2h, i2h_bias, h2h, h2h_bias)

    def _pass(self, x: Tensor) -> "Pass":
        """The buffers for batches of this shape, `[T, B]`."""
        shape = tuple(x.shape)
        if shape not in self._passes:
            self._passes[shape] = Pass(self, *shape)
        return self._passes[shape]

    @torch.no_grad()
    def log_probs(self, x: Tensor, state: Sequence[Tensor], masks: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """As CharRNN's."""
        require_ids(x, self.vocab_size)
        run = self._pass(x)
        run.set_state(state)
        run.forward(x, masks)
        return run.log_probs, run.final_state()

    @torch.no_grad()
    def training_pass(self, x: Tensor, y: Tensor, state: Sequence[Tensor], masks: Tensor | None, alias: bool) -> Tensor:
        """As CharRNN's."""
        require_ids(x, self.vocab_size)
        require_ids(y, self.vocab_size)
        run = self._pass(x)
        run.set_state(state)
        run.forward(x, masks)
        loss = run.loss(y)
        if alias:
            run.set_state(run.final_state())
        run.backward(y, masks)
        carry(run.final_state(), state)
        return loss

    @torch.no_grad()
    def evaluation_pass(self, x: Tensor, y: Tensor, state: Sequence[Tensor]) -> Tensor:
        """As CharRNN's."""
        require_ids(x, self.vocab_size)
        require_ids(y, self.vocab_size)
        run = self._pass(x)
        run.set_state(state)
        run.forward(x, None)
        carry(run.final_state(), state)
        return run.loss(y)


class Pass:
    """The buffers for one shape of batch, `[T, B]`, and what happens on them."""

    def __init__(self, network: FusedCharRNN, seq_length: int, batch_size: int) -> None:
        T, B, H, V = seq_length, batch_size, network.rnn_size, network.vocab_size
        new = network.params.new_empty
        self.network = network
        self.x = torch.empty(T, B, dtype=torch.int64, device=network.params.device)
        ids = [self.x] + [None] * (network.num_layers - 1)
        self.layers = [network.sequence(new, each, T, B, H) for each in ids]
        n = self.layers[0].pre_activations.shape[2]
        self.grad_rows = [new(1 if each is None else V, n) for each in ids]  # as model/sequence.py's Sequence fills it
        self.dropped = [new(0)] * len(self.layers)  # outputs after dropout, [T, B, H], once there is some
        self.log_probs = new(T, B, V)  # later the gradient by the decoder's outputs, which log-softmax gets
        self.dense = network.dense(new, H, max(V, n))

    def set_state(self, state: Sequence[Tensor]) -> None:
        """Write the state before the sequence."""
        buffers = [buffer for layer in self.layers for buffer in layer.state]
        for buffer, value in zip(buffers, state, strict=True):
            buffer[0].copy_(value)

    def final_state(self) -> list[Tensor]:
        """The state after the sequence: views."""
        return [buffer[-1] for layer in self.layers for buffer in layer.state]

    def forward(self, x: Tensor, masks: Tensor | None) -> None:
        """From the ids `[T, B]` to `log_probs`."""
        self.x.copy_(x)
        output = None
        for index, (layer, weights) in enumerate(zip(self.layers, self.network.weights(), strict=True)):
            if index > 0:
                self.dense.product(layer.pre_activations.flatten(0, 1), output.flatten(0, 1), weights.i2h.T)
            # The biases come after the product, as Torch7's nn.Linear adds them: nearest to its rounding.
            layer.forward(weights)
            output = layer.h[1:]
            if masks is not None:
                if not self.dropped[index].numel():
                    self.dropped[index] = torch.empty_like(output)
                output = torch.mul(output, masks[:, index], out=self.dropped[index])
        log_probs = self.log_probs.flatten(0, 1)
        decoder = self.network.decoder
        self.dense.product(log_probs, output.flatten(0, 1), decoder["weight"].T)
        log_probs.add_(decoder["bias"])
        self.network.log_softmax_(log_probs)

    def loss(self, y: Tensor) -> Tensor:
        """Nats per character, for the targets `[T, B]`."""
        return nll_loss(self.log_probs.flatten(0, 1), y.flatten())

    def backward(self, y: Tensor, masks: Tensor | None) -> None:
        """Fill all gradients. `forward` must have run; it is undone, since most buffers are used again."""
        gradient, weight = self._decoder_backward(y, masks), self.network.decoder["weight"]
        for index in reversed(range(len(self.layers))):
            layer, weights = self.layers[index], self.network.weights()[index]
            self.dense.product(layer.grad_h.flatten(0, 1), gradient, weight)
            if masks is not None:
                layer.grad_h.mul_(masks[:, index])
            layer.backward(weights, self.grad_rows[index])
            self._fill_layer_gradients(index, masks)
            gradient, weight = layer.pre_activations.flatten(0, 1), weights.i2h

    def _decoder_backward(self, y: Tensor, masks: Tensor | None) -> Tensor:
        """Fill the decoder's gradients; return the gradient by its outputs, `[T * B, V]`, in place of `log_probs`.

        It is of the sum over time of the batch means: (softmax - one-hot) / B.
        """
        gradient = self.log_probs.flatten(0, 1).exp_()
        share = 1 / y.shape[1]  # in Torch7 too it is a factor, which rounds otherwise than the division would
        gradient.mul_(share)
        gradient.scatter_add_(1, y.reshape(-1, 1), gradient.new_full((1, 1), -share).expand(len(gradient), 1))
        decoder = self.network.decoder
        self.dense.weight_gradients([decoder["weight"].grad], gradient, self._output(-1, masks).flatten(0, 1))
        torch.sum(gradient, 0, out=decoder["bias"].grad)
        return gradient

    def _fill_layer_gradients(self, index: int, masks: Tensor | None) -> None:
        """Fill the gradients of a layer's parameters, once its backward pass has run."""
        layer, parameters, grad_rows = self.layers[index], self.network.layers[index], self.grad_rows[index]
        grad_i2h = [parameters[f"{name}_weight"].grad for name in layer.I2H]
        if index == 0:
            for grad, part in zip(grad_i2h, grad_rows.chunk(len(grad_i2h), 1), strict=True):
                self.dense.copy_transposed(grad, part)
        else:
            inputs = self._output(index - 1, masks).flatten(0, 1)
            self.dense.weight_gradients(grad_i2h, layer.pre_activations.flatten(0, 1), inputs)
        for names, inputs, gradient in layer.h2h_gradients():
            grad_h2h = [parameters[f"{name}_weight"].grad for name in names]
            self.dense.weight_gradients(grad_h2h, gradient.flatten(0, 1), inputs.flatten(0, 1))
        grad_bias = grad_rows.sum(0)
        for names in (layer.I2H, layer.H2H):
            for name, part in zip(names, grad_bias.chunk(len(names)), strict=True):
                parameters[f"{name}_bias"].grad.copy_(part)

    def _output(self, index: int, masks: Tensor | None) -> Tensor:
        """What a layer gave to the one above, `[T, B, H]`."""
        return self.layers[index].h[1:] if masks is None else self.dropped[index]


class Dense:
    """The products over all time steps at once, in PyTorch. model/compiled.py has them in C."""

    def __init__(self, new: Callable[..., Tensor], rnn_size: int, width: int) -> None:
        """For matrices of up to `width` columns. new: makes a tensor of a given shape."""
        self._transposed = new(rnn_size * width)

    def product(self, target: Tensor, left: Tensor, right: Tensor) -> None:
        """target `[r, c]`, contiguous, = left `[r, k]` times right `[k, c]`, each of them in any layout."""
        torch.mm(left, right, out=target)

    def weight_gradients(self, grads: list[Tensor], gradient: Tensor, inputs: Tensor) -> None:
        """Fill the gradients of stacked weights: gradient `[N, n]` transposed times inputs `[N, H]`.

        The transpose of that is computed instead: in float64 MKL takes half again as long for the product as it is
        written.
        """
        product = self._transposed[: inputs.shape[1] * gradient.shape[1]].view(inputs.shape[1], -1)
        torch.mm(inputs.T, gradient, out=product)
        for grad, part in zip(grads, product.chunk(len(grads), 1), strict=True):
            self.copy_transposed(grad, part)

    @staticmethod
    def copy_transposed(target: Tensor, source: Tensor) -> None:
        """target `[c, r]`, contiguous, = source.T, source `[r, c]` being columns of a matrix."""
        target.copy_(source.T)


def stack(tensors: list[Tensor]) -> Tensor:
    """Rows under rows; a single tensor as it is."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)
