"""The whole network over a whole sequence at once, forward and backward by hand, on buffers made once.

The same function as CharRNN, in about half the time: the input products of the upper layers, the decoder and all
weight gradients are single matrix products over all time steps, and one-hot products are row gathers and sums.

The memory bill, in numbers (of 8 bytes in float64, 4 in float32), for T = seq_length, B = batch_size,
H = rnn_size, V = vocab_size and L layers:

    lstm  T*B * (L * 9*H + V)    gates 4, c, h, tanh_c, dc_by_dh, grad_h
    gru   T*B * (L * 8*H + V)    gates 3, h, reset_h, reset, keep, grad_h
    rnn   T*B * (L * 3*H + V)    sums, h, grad_h

plus B*H here and there, T*B*H a layer with dropout, a weight's gradient before it is transposed, and four
vectors as long as the parameters: they, their gradients, RMSprop's mean square and its denominator.
At the defaults in double precision 47 MB and 8 MB.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from model.char_rnn import CharRNN, carry

embedding_dense_backward = torch.ops.aten.embedding_dense_backward


class FusedCharRNN(CharRNN):
    """CharRNN without autograd. `log_probs` and the state it returns are buffers: valid until the next call."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self._passes: dict[tuple[int, int], Pass] = {}
        self._weights: list[tuple[Tensor, Tensor, Tensor]] = []
        self._weights_version = -1

    @torch.no_grad()
    def weights(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For each layer i2h weight `[n, I]`, h2h weight `[n, H]` and the sum of both biases `[n]`, stacked.

        In the first layer the i2h weight is transposed, with the biases added: `[V, n]`, a row for each id.
        Made again when the parameters have changed since the last call.
        """
        if self._weights_version != self.params._version:
            self._weights_version = self.params._version
            self._weights = []
            for parameters in self.layers:
                names = self.cell.Sequence.I2H, self.cell.Sequence.H2H
                i2h, h2h = [stack([parameters[f"{name}_weight"] for name in part]) for part in names]
                bias = sum(stack([parameters[f"{name}_bias"] for name in part]) for part in names)
                if not self._weights:
                    i2h = (i2h.T + bias).contiguous()
                self._weights.append((i2h, h2h, bias))
        return self._weights

    def _pass(self, x: Tensor) -> "Pass":
        """The buffers for batches of this shape, `[T, B]`."""
        shape = tuple(x.shape)
        if shape not in self._passes:
            self._passes[shape] = Pass(self, *shape)
        return self._passes[shape]

    @torch.no_grad()
    def log_probs(self, x: Tensor, state: Sequence[Tensor], masks: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """As CharRNN's."""
        run = self._pass(x)
        run.set_state(state)
        run.forward(x, masks)
        return run.log_probs, run.final_state()

    @torch.no_grad()
    def training_pass(self, x: Tensor, y: Tensor, state: Sequence[Tensor], masks: Tensor | None, alias: bool) -> Tensor:
        """As CharRNN's."""
        run = self._pass(x)
        run.set_state(state)
        run.forward(x, masks)
        loss = run.loss(y)
        if alias:
            run.set_state(run.final_state())
        run.backward(x, y, masks)
        carry(run.final_state(), state)
        return loss

    @torch.no_grad()
    def evaluation_pass(self, x: Tensor, y: Tensor, state: Sequence[Tensor]) -> Tensor:
        """As CharRNN's."""
        run = self._pass(x)
        run.set_state(state)
        run.forward(x, None)
        carry(run.final_state(), state)
        return run.loss(y)


def stack(tensors: list[Tensor]) -> Tensor:
    """Rows under rows; a single tensor as it is."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


class Pass:
    """The buffers for one shape of batch, `[T, B]`, and what happens on them."""

    def __init__(self, network: FusedCharRNN, seq_length: int, batch_size: int) -> None:
        T, B, H, V = seq_length, batch_size, network.rnn_size, network.vocab_size
        new = network.params.new_zeros
        self.network = network
        self.layers = [network.cell.Sequence(new, T, B, H) for _ in network.layers]
        self.dropped = [new(0)] * len(self.layers)  # outputs after dropout, [T, B, H], once there is some
        self.log_probs = new(T, B, V)  # later the gradient of the decoder's sums
        self._grad_weight = new(H * max(V, self.layers[0].sums.shape[2]))  # the transpose of a weight's gradient

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
        weights = self.network.weights()
        output = None
        for index, (layer, (i2h_weight, h2h_weight, bias)) in enumerate(zip(self.layers, weights, strict=True)):
            sums = layer.sums.flatten(0, 1)
            if index == 0:  # the product with a one-hot row is a row of the transposed weight
                torch.index_select(i2h_weight, 0, x.flatten(), out=sums)
            else:
                # The biases after the product, as Torch7's nn.Linear adds them: nearest to its rounding.
                torch.mm(output.flatten(0, 1), i2h_weight.T, out=sums).add_(bias)
            layer.forward(h2h_weight)
            output = layer.h[1:]
            if masks is not None:
                if not self.dropped[index].numel():
                    self.dropped[index] = torch.empty_like(output)
                output = torch.mul(output, masks[:, index], out=self.dropped[index])
        log_probs = self.log_probs.flatten(0, 1)
        decoder = self.network.decoder
        torch.addmm(decoder["bias"], output.flatten(0, 1), decoder["weight"].T, out=log_probs)
        torch.log_softmax(log_probs, 1, out=log_probs)

    def loss(self, y: Tensor) -> Tensor:
        """Nats per character, for the targets `[T, B]`."""
        return nll_loss(self.log_probs.flatten(0, 1), y.flatten())

    def backward(self, x: Tensor, y: Tensor, masks: Tensor | None) -> None:
        """Fill all gradients. `forward` must have run; it is undone, since most buffers are used again."""
        network = self.network
        # Derivative by the decoder's sums, of the sum over time of the batch means: (softmax - one-hot) / B.
        gradient = self.log_probs.flatten(0, 1).exp_()
        gradient.scatter_add_(1, y.reshape(-1, 1), gradient.new_full((1, 1), -1).expand(len(gradient), 1))
        gradient.div_(x.shape[1])
        weight = network.decoder["weight"]
        self._outer_product(self._output(-1, masks), gradient, [weight.grad])
        torch.sum(gradient, 0, out=network.decoder["bias"].grad)

        weights = network.weights()
        for index in reversed(range(len(self.layers))):
            layer, parameters = self.layers[index], network.layers[index]
            _, h2h_weight, _ = weights[index]
            torch.mm(gradient, weight, out=layer.grad_h.flatten(0, 1))
            if masks is not None:
                layer.grad_h.mul_(masks[:, index])
            layer.backward(h2h_weight)

            gradient, weight = layer.sums.flatten(0, 1), weights[index][0]
            grad_i2h = [parameters[f"{name}_weight"].grad for name in layer.I2H]
            if index == 0:  # the product with one-hot columns is a sum of rows
                rows = embedding_dense_backward(gradient, x.flatten(), network.vocab_size, -1, False)
                for grad, part in zip(grad_i2h, rows.chunk(len(grad_i2h), 1), strict=True):
                    grad.copy_(part.T)
                bias = rows.sum(0)
            else:
                self._outer_product(self._output(index - 1, masks), gradient, grad_i2h)
                bias = gradient.sum(0)
            remaining = [parameters[f"{name}_weight"].grad for name in layer.H2H]
            for inputs, part in layer.h2h_gradients():
                count = part.shape[2] * len(layer.H2H) // gradient.shape[1]
                self._outer_product(inputs, part.flatten(0, 1), remaining[:count])
                remaining = remaining[count:]
            for names in (layer.I2H, layer.H2H):
                for name, part in zip(names, bias.chunk(len(names)), strict=True):
                    parameters[f"{name}_bias"].grad.copy_(part)

    def _output(self, index: int, masks: Tensor | None) -> Tensor:
        """What a layer gave to the one above, `[T, B, H]`."""
        return self.layers[index].h[1:] if masks is None else self.dropped[index]

    def _outer_product(self, inputs: Tensor, gradient: Tensor, grads: list[Tensor]) -> None:
        """Weight gradients, stacked: gradient `[T * B, n]` transposed times inputs `[T, B, H]`.

        Its transpose is computed instead: in float64 MKL takes half again as long for the product as it is written.
        """
        inputs = inputs.flatten(0, 1).T
        product = self._grad_weight[: inputs.shape[0] * gradient.shape[1]].view(len(inputs), -1)
        torch.mm(inputs, gradient, out=product)
        for grad, part in zip(grads, product.chunk(len(grads), 1), strict=True):
            grad.copy_(part.T)
