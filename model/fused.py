"""Run the whole network over a whole sequence, with a hand-written backward pass and preallocated buffers.

It computes the same function as CharRNN in about half the time: the input products of the upper layers, the decoder and
all weight gradients are single matrix products over all time steps, and one-hot products are row gathers and sums.

model/memory.py counts the memory of the buffers.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from charrnn_port.model.char_rnn import CharRNN, carry, require_ids
from charrnn_port.model.cuda_lstm import require_kernels
from charrnn_port.model.sequence import LayerWeights
from charrnn_port.model.sequence import Sequence as LayerSequence
from charrnn_port.util.vocabulary import IGNORED


class FusedCharRNN(CharRNN):
    """A CharRNN without autograd. The results of `log_probs` are buffers, valid until the next call.

    With `persistent`, time steps run in custom CUDA kernels (model/cuda_lstm.py). Raises UserError if that is not
    possible.
    """

    def __init__(self, *args, persistent: bool = False, **options) -> None:
        super().__init__(*args, **options)
        self.pass_class, self.sequence = Pass, self.cell.EagerSequence
        if persistent:
            require_kernels(self.cell, self.params.device)
            self.sequence = self.cell.CudaSequence
        self._passes: dict[tuple[int, int], Pass] = {}
        self._weights: list[LayerWeights] = []
        self._weights_version: int | None = None

    def params_changed(self) -> None:
        """Note that the parameters have changed without PyTorch's knowledge, as when a CUDA graph is replayed."""
        self._weights_version = None

    @torch.no_grad()
    def weights(self) -> list[LayerWeights]:
        """Return the weights of each layer. They are rebuilt if the parameters have changed since the last call."""
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
            self.copy_transposed(rows, i2h)
        return LayerWeights(rows, i2h, i2h_bias, h2h, h2h_bias)

    @staticmethod
    def copy_transposed(target: Tensor, source: Tensor) -> None:
        """Copy the transpose of source `[r, c]`, columns of a matrix, to target `[c, r]`, contiguous."""
        target.copy_(source.T)

    def _pass(self, x: Tensor) -> "Pass":
        """Return the buffers for batches of x's shape, `[T, B]`."""
        shape = tuple(x.shape)
        if shape not in self._passes:
            self._passes[shape] = self.pass_class(self, *shape)
        return self._passes[shape]

    @torch.no_grad()
    def log_probs(self, x: Tensor, state: Sequence[Tensor], masks: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """See `CharRNN.log_probs`."""
        require_ids(x, self.vocab_size)
        run = self._pass(x)
        run.set_state(state)
        run.forward(x, masks)
        return run.log_probs, run.final_state()

    @torch.no_grad()
    def training_pass(self, x: Tensor, y: Tensor, state: Sequence[Tensor], masks: Tensor | None, alias: bool) -> Tensor:
        """See `CharRNN.training_pass`."""
        require_ids(x, self.vocab_size)
        self.require_targets(y)
        run = self._pass(x)
        run.set_state(state)
        run.forward(x, masks)
        losses = self.step_losses(run.log_probs, y)
        if alias:
            run.set_state(run.final_state())
        run.backward(y, masks)
        carry(run.final_state(), state)
        return losses

    @torch.no_grad()
    def sequence_activations(self, x: Tensor, state: Sequence[Tensor]) -> tuple[list[dict[str, Tensor]], Tensor]:
        """Return what `CharRNN.activations` does for all time steps of x `[T, B]`; advance `state` in place.

        The gates and states are `[T, B, H]`, the log-probabilities `[T, B, V]`: buffers, valid until the next call.
        """
        log_probs, final = self.log_probs(x, state)
        carry(final, state)
        layers = []
        for layer in self._pass(x).layers:
            gates = zip(self.cell.GATE_NAMES, layer.pre_activations.split(self.rnn_size, 2), strict=False)
            after = [buffer[1:] for buffer in layer.state]
            layers.append(dict(gates) | dict(zip(self.cell.STATE, after, strict=True)))
        return layers, log_probs

    @torch.no_grad()
    def evaluation_pass(self, x: Tensor, y: Tensor, state: Sequence[Tensor]) -> Tensor:
        """See `CharRNN.evaluation_pass`."""
        require_ids(x, self.vocab_size)
        self.require_targets(y)
        run = self._pass(x)
        run.set_state(state)
        run.forward(x, None)
        carry(run.final_state(), state)
        return self.step_losses(run.log_probs, y)


class Pass:
    """The buffers for batches of one shape, `[T, B]`, and the computations on them."""

    def __init__(self, network: FusedCharRNN, seq_length: int, batch_size: int) -> None:
        T, B, V = seq_length, batch_size, network.vocab_size
        new = network.params.new_empty
        self.network = network
        self.x = torch.empty(T, B, dtype=torch.int64, device=network.params.device)
        self.layers = [self._new_layer(new, self.x if index == 0 else None) for index in range(network.num_layers)]
        self.dropped = [new(0)] * len(self.layers)  # outputs after dropout, [T, B, H], allocated when first needed
        self.log_probs = new(T, B, V)  # overwritten by the gradient by the decoder's outputs, the input of log-softmax
        self._make_space(new)

    def _new_layer(self, new: Callable[..., Tensor], ids: Tensor | None) -> LayerSequence:
        return self.network.sequence(new, ids, *self.x.shape, self.network.rnn_size)

    def _make_space(self, new: Callable[..., Tensor]) -> None:
        """Allocate the buffers of the products and sums over all time steps. new: creates a tensor of a given shape."""
        H, V, n = self.network.rnn_size, self.network.vocab_size, self.layers[0].pre_activations.shape[2]
        self.grad_rows = [new(V if index == 0 else 1, n) for index in range(len(self.layers))]  # see `Sequence`
        self._transposed = new(H * max(V, n))

    def set_state(self, state: Sequence[Tensor]) -> None:
        """Set the state before the sequence."""
        buffers = [buffer for layer in self.layers for buffer in layer.state]
        for buffer, value in zip(buffers, state, strict=True):
            buffer[0].copy_(value)

    def final_state(self) -> list[Tensor]:
        """Return the state after the sequence, as views."""
        return [buffer[-1] for layer in self.layers for buffer in layer.state]

    def forward(self, x: Tensor, masks: Tensor | None) -> None:
        """Compute `log_probs` from the ids `[T, B]`."""
        self.x.copy_(x)
        output = None
        for index, (layer, weights) in enumerate(zip(self.layers, self.network.weights(), strict=True)):
            if index > 0:
                self._multiply_input(layer, output, weights.i2h)
            # The biases are added after the product, as in Torch7's nn.Linear, so that rounding is similar.
            layer.forward(weights)
            output = self._drop(index, masks)
        self._decode(output)

    def _drop(self, index: int, masks: Tensor | None) -> Tensor:
        """Apply dropout: return a layer's output times its mask, `[T, B, H]`, which is the input of the next layer."""
        output = self.layers[index].h[1:]
        if masks is None:
            return output
        if not self.dropped[index].numel():
            self.dropped[index] = torch.empty_like(output)
        return torch.mul(output, masks[:, index], out=self.dropped[index])

    def _multiply_input(self, layer: LayerSequence, inputs: Tensor, i2h: Tensor) -> None:
        """Write i2h(x), without bias, into a layer's `pre_activations`."""
        torch.mm(inputs.flatten(0, 1), i2h.T, out=layer.pre_activations.flatten(0, 1))

    def _decode(self, output: Tensor) -> None:
        """Compute `log_probs` from the uppermost layer's output."""
        log_probs, decoder = self.log_probs.flatten(0, 1), self.network.decoder
        torch.mm(output.flatten(0, 1), decoder["weight"].T, out=log_probs)
        log_probs.add_(decoder["bias"])
        self.network.log_softmax_(log_probs)

    def backward(self, y: Tensor, masks: Tensor | None) -> None:
        """Fill all gradients after `forward`, most of whose results are overwritten."""
        gradient, weight = self._decoder_backward(y, masks), self.network.decoder["weight"]
        for index in reversed(range(len(self.layers))):
            layer, weights = self.layers[index], self.network.weights()[index]
            torch.mm(gradient, weight, out=layer.grad_h.flatten(0, 1))
            if masks is not None:
                layer.grad_h.mul_(masks[:, index])
            layer.backward(weights, self.grad_rows[index])
            self._fill_gradients(index, masks, self.grad_rows[index], self.grad_rows[index].sum(0))
            gradient, weight = layer.pre_activations.flatten(0, 1), weights.i2h

    def _decoder_backward(self, y: Tensor, masks: Tensor | None) -> Tensor:
        """Fill the decoder's gradients; return the gradient by its outputs, `[T * B, V]`, in place of `log_probs`.

        The loss is the sum over time of batch means, so this is (softmax - one-hot) / B, and 0 for IGNORED targets.
        """
        ignored = y.reshape(-1, 1) == IGNORED if self.network.padded else None
        y = y if ignored is None else y.clamp(min=0)
        gradient = self.log_probs.flatten(0, 1).exp_()
        share = 1 / y.shape[1]  # a factor, as in Torch7, since a division would round differently
        gradient.mul_(share)
        gradient.scatter_add_(1, y.reshape(-1, 1), gradient.new_full((1, 1), -share).expand(len(gradient), 1))
        if ignored is not None:
            gradient.masked_fill_(ignored, 0)
        decoder = self.network.decoder
        self._fill_weights([decoder["weight"].grad], self.log_probs, self._output(-1, masks))
        torch.sum(gradient, 0, out=decoder["bias"].grad)
        return gradient

    def _fill_gradients(self, index: int, masks: Tensor | None, grad_rows: Tensor, grad_bias: Tensor) -> None:
        """Fill the gradients of a layer's parameters after its backward pass.

        grad_rows `[V, n]`: the gradient by the first layer's `rows`. grad_bias `[n]`: the gradient by either bias.
        """
        layer, parameters = self.layers[index], self.network.layers[index]
        grad_i2h = [parameters[f"{name}_weight"].grad for name in layer.I2H]
        if index == 0:
            for grad, part in zip(grad_i2h, grad_rows.chunk(len(grad_i2h), 1), strict=True):
                self.network.copy_transposed(grad, part)
        else:
            self._fill_weights(grad_i2h, layer.pre_activations, self._output(index - 1, masks))
        for names, inputs, gradient in layer.h2h_gradients():
            self._fill_weights([parameters[f"{name}_weight"].grad for name in names], gradient, inputs)
        for names in (layer.I2H, layer.H2H):
            for name, part in zip(names, grad_bias.chunk(len(names)), strict=True):
                parameters[f"{name}_bias"].grad.copy_(part)

    def _fill_weights(self, grads: list[Tensor], gradient: Tensor, inputs: Tensor) -> None:
        """Fill the gradients of stacked weights: gradient `[T, B, n]` transposed times inputs `[T, B, H]`.

        The transpose of this product is computed, since MKL needs 1.5 times as long for the product itself in float64.
        """
        gradient, inputs = gradient.flatten(0, 1), inputs.flatten(0, 1)
        product = self._transposed[: inputs.shape[1] * gradient.shape[1]].view(inputs.shape[1], -1)
        torch.mm(inputs.T, gradient, out=product)
        for grad, part in zip(grads, product.chunk(len(grads), 1), strict=True):
            self.network.copy_transposed(grad, part)

    def _output(self, index: int, masks: Tensor | None) -> Tensor:
        """Return a layer's output after dropout, `[T, B, H]`, the input of the next layer."""
        return self.layers[index].h[1:] if masks is None else self.dropped[index]


def stack(tensors: list[Tensor]) -> Tensor:
    """Concatenate tensors along the first dimension. A single tensor is returned without a copy."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)
