"""`charrnn export CHECKPOINT model.onnx`: write one time step as an ONNX graph.

Shapes: batch B, layer input I, hidden size H, outputs n.
"""

import json
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.options import ExportOptions
from charrnn_port.sharing.step import INPUTS, OUTPUTS, described, precision
from charrnn_port.util.errors import UserError, how_to_install
from charrnn_port.util.files import write_atomically

OPSET, IR_VERSION = 17, 8  # released in 2022, so that runtimes since then can read the file


def write_onnx(checkpoint: Checkpoint, options: ExportOptions) -> None:
    """Write the file. Raises UserError where onnx is not installed, and where the file cannot be written."""
    dtype = precision(options)
    try:
        import onnx
    except ImportError:
        raise UserError(f"onnx is not installed: {how_to_install('export')}") from None
    network = checkpoint.build("fused", dtype)
    width, size = len(network.cell.STATE), network.rnn_size
    ids, state = INPUTS
    graph = Graph(onnx)
    after: list[str] = []
    for index, layer in enumerate(network.weights()):
        biases = layer.i2h_bias + layer.h2h_bias
        if not index:
            rows = graph.constant(layer.rows + biases)  # one row for each character
            pre_activations = graph.add("Gather", rows, graph.without_negative(ids, network.vocab_size), axis=0)
        else:
            pre_activations = graph.linear(after[-1], layer.i2h, graph.constant(biases))
        places = range(index * width, (index + 1) * width)
        indices = [graph.constant(torch.tensor(place, device="cpu")) for place in places]
        before = [graph.add("Gather", state, index, axis=0) for index in indices]
        after += STEPS[network.model](graph, pre_activations, *before, layer.h2h)
    scores = graph.linear(after[-1], network.decoder["weight"], graph.constant(network.decoder["bias"]))
    first = graph.constant(torch.tensor([0], device="cpu"))
    graph.add("LogSoftmax", scores, axis=1, outputs=OUTPUTS[:1])
    graph.add("Concat", *(graph.add("Unsqueeze", each, first) for each in after), axis=0, outputs=OUTPUTS[1:])

    states = (len(after), "batch", size)
    shapes = {ids: ("batch",), state: states, OUTPUTS[0]: ("batch", network.vocab_size), OUTPUTS[1]: states}
    write_atomically(graph.model(shapes, dtype, described(checkpoint)).SerializeToString(), options.target)


class Graph:
    """An ONNX graph under construction; nodes and constants are referred to by the names of their results."""

    def __init__(self, onnx: ModuleType) -> None:
        self._onnx = onnx
        self._nodes: list = []
        self._constants: list = []

    def constant(self, values: Tensor) -> str:
        """Add a constant tensor. Return its name."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(values.detach().numpy(), name))
        return name

    def add(self, kind: str, *inputs: str, outputs: Sequence[str] = (), **attributes: int) -> str:
        """Add a node with one output, or with outputs of the given names. Return the name of the first output."""
        outputs = outputs or [f"{kind}_{len(self._nodes)}"]
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, outputs, **attributes))
        return outputs[0]

    def linear(self, x: str, weight: Tensor, added: str) -> str:
        """Add a product: x `[B, I]`, weight `[n, I]` → `[B, n]`, plus `added`: a bias `[n]` or values `[B, n]`."""
        return self.add("Gemm", x, self.constant(weight), added, transB=1)

    def without_negative(self, ids: str, vocab_size: int) -> str:
        """Replace negative ids by one out of range: Gather raises an error for it, but counts them from the end."""
        zero, outside = (self.constant(torch.tensor(value, device="cpu")) for value in (0, vocab_size))
        return self.add("Where", self.add("Less", ids, zero), outside, ids)

    def parts(self, x: str, count: int) -> list[str]:
        """Split x `[B, count * n]` into `count` tensors `[B, n]`. Return their names."""
        names = [f"{x}_part_{number}" for number in range(count)]
        self.add("Split", x, axis=1, outputs=names)
        return names

    def model(self, shapes: dict[str, tuple], dtype: torch.dtype, metadata: dict[str, Any]) -> object:
        """Return the checked ONNX model, with the shapes of inputs and outputs by name, and metadata as JSON."""
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        number = kinds.DOUBLE if dtype == torch.float64 else kinds.FLOAT
        kind_of = dict.fromkeys(shapes, number) | {INPUTS[0]: kinds.INT64}
        ends = [
            [helper.make_tensor_value_info(name, kind_of[name], shapes[name]) for name in names]
            for names in (INPUTS, OUTPUTS)
        ]
        graph = helper.make_graph(self._nodes, "charrnn_port", *ends, self._constants)
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="charrnn_port")
        helper.set_model_props(model, {name: json.dumps(value) for name, value in metadata.items()})
        self._onnx.checker.check_model(model)
        return model


# One time step of each cell: `step` in model/CELL.py, but with pre-activations `[B, n]` that already contain all but
# h2h(h). States are `[B, H]`. Each function returns the names of the next states, the output last.


def lstm(graph: Graph, pre_activations: str, c: str, h: str, h2h: Tensor) -> list[str]:
    """Add an LSTM step. Return the names of the next c and h."""
    gates = graph.parts(graph.linear(h, h2h, pre_activations), 4)
    in_gate, forget_gate, out_gate = (graph.add("Sigmoid", gate) for gate in gates[:3])
    transform = graph.add("Tanh", gates[3])
    next_c = graph.add("Add", graph.add("Mul", forget_gate, c), graph.add("Mul", in_gate, transform))
    return [next_c, graph.add("Mul", out_gate, graph.add("Tanh", next_c))]


def gru(graph: Graph, pre_activations: str, h: str, h2h: Tensor) -> list[str]:
    """Add a GRU step. Return the name of the next h."""
    update, reset, candidate = graph.parts(pre_activations, 3)
    for_update, for_reset, for_candidate = h2h.chunk(3)
    update_gate = graph.add("Sigmoid", graph.linear(h, for_update, update))
    reset_gate = graph.add("Sigmoid", graph.linear(h, for_reset, reset))
    candidate = graph.add("Tanh", graph.linear(graph.add("Mul", reset_gate, h), for_candidate, candidate))
    return [graph.add("Add", h, graph.add("Mul", update_gate, graph.add("Sub", candidate, h)))]


def rnn(graph: Graph, pre_activations: str, h: str, h2h: Tensor) -> list[str]:
    """Add a step of a vanilla RNN. Return the name of the next h."""
    return [graph.add("Tanh", graph.linear(h, h2h, pre_activations))]


STEPS = {"lstm": lstm, "gru": gru, "rnn": rnn}
