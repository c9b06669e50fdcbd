"""Builds the object graph of a network as Torch7 saves it (nngraph's node.lua and gmodule.lua).

`node` and `apply` create the nodes of a network. `g_module` returns the nn.gModule between its inputs and outputs, with
the forward and backward graphs, their nodes in execution order, and one module per node.

Nodes of a network point from outputs to inputs (`children`), which is the backward graph. The forward graph has its own
nodes, which share their data with these and point from inputs to outputs.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from charrnn_port.torch7.t7 import Table, TorchObject

DOUBLE = b"torch.DoubleTensor"


# A network


def apply(class_name: str, *inputs: TorchObject, name: str | None = None, **fields: object) -> TorchObject:
    """Return the node of a new module, of this class and with these fields, applied to the outputs of other nodes."""
    return node(inputs, name, module=module(class_name, **fields))


def node(inputs: Iterable[TorchObject] = (), name: str | None = None, **data: object) -> TorchObject:
    """Return a node whose inputs are the outputs of other nodes, in this order (`add` in Node.lua)."""
    annotations = record(name=name.encode()) if name else Table()
    new = bare_node(record(annotations=annotations, mapindex=Table(), reverseMap=Table(), **data))
    for source in inputs:
        connect(new, source)
    return new


def split(source: TorchObject, count: int) -> list[TorchObject]:
    """Return nodes for the `count` parts of a node's output, which is a table (`split` in Node.lua)."""
    whole_output = node([source], nSplitOutputs=count)
    return [node([whole_output], selectindex=i + 1, input=Table()) for i in range(count)]


def g_module(inputs: list[TorchObject], outputs: list[TorchObject]) -> TorchObject:
    """Return the nn.gModule between these nodes (`__init` in gmodule.lua)."""
    innode, outnode = node(input=Table()), node(outputs, input=Table())
    for target, part in zip(inputs, split(innode, len(inputs)), strict=True):
        connect(target, part)

    # The forward graph has the reversed edges of the backward graph, between copies of its nodes.
    edges = breadth_first_edges(outnode)
    backward = graph(edges)
    copies = {member: bare_node(member.fields[b"data"]) for member in backward.fields[b"nodes"].sequence()}
    forward = graph([(copies[end], copies[start]) for start, end in edges])
    originals = {copy: member for member, copy in copies.items()}
    forward_nodes = [copies[member] for member in depth_first(outnode)]
    backward_nodes = [originals[copy] for copy in depth_first(copies[innode])]

    for member in forward_nodes:
        member.fields[b"data"][b"forwardNodeId"] = member.fields[b"id"]
    modules = [member.fields[b"data"].get(b"module") for member in forward_nodes]
    return TorchObject(
        "nn.gModule",
        record(
            _type=DOUBLE,
            output=outnode.fields[b"data"][b"input"],
            modules=Table(enumerate(filter(None, modules), 1)),
            fg=forward,
            bg=backward,
            innode=copies[innode],
            outnode=outnode,
            nInputs=len(inputs),
            verbose=False,
            forwardnodes=Table(enumerate(forward_nodes, 1)),
            backwardnodes=Table(enumerate(backward_nodes, 1)),
        ),
    )


# The values of fields


def record(**fields: object) -> Table:
    """Return a Lua table with these fields."""
    return Table((name.encode(errors="surrogateescape"), value) for name, value in fields.items())


def empty() -> Tensor:
    """Return an empty tensor: the value of what a module has not computed yet."""
    return torch.empty(0, dtype=torch.float64, device="cpu")


def module(class_name: str, **fields: object) -> TorchObject:
    """Return a module with the fields of nn.Module and these fields."""
    return TorchObject(class_name, record(**{"_type": DOUBLE, "output": empty(), "gradInput": empty()} | fields))


# Nodes


def bare_node(data: Table) -> TorchObject:
    """Return a node with this data and without children."""
    return TorchObject("nngraph.Node", record(data=data, children=Table(), visited=False, marked=False, id=0))


def connect(target: TorchObject, source: TorchObject) -> None:
    """Make the output of `source` the next input of `target`."""
    enlist(target.fields[b"children"], source)
    enlist(target.fields[b"data"][b"mapindex"], source.fields[b"data"])
    source.fields[b"data"][b"reverseMap"][target] = True


def children(parent: TorchObject) -> list[TorchObject]:
    """Return the children of a node in order."""
    return parent.fields[b"children"].sequence()


def enlist(table: Table, item: object) -> None:
    """Append an item to a list that also maps each item to its index, unless it is there already."""
    if item not in table:
        place = len(table) // 2 + 1
        table[place] = item
        table[item] = place


# Graphs


def graph(edges: list[tuple[TorchObject, TorchObject]]) -> TorchObject:
    """Return a graph.Graph of edges (from, to); sets the nodes' children, and their ids by first appearance."""
    nodes, edge_objects = Table(), Table()
    for start, end in edges:
        enlist(edge_objects, TorchObject("graph.Edge", record(**{"from": start, "to": end})))
        enlist(nodes, start)
        enlist(nodes, end)
        enlist(start.fields[b"children"], end)
    for place, member in enumerate(nodes.sequence(), 1):
        member.fields[b"id"] = place
    return TorchObject("graph.Graph", record(nodes=nodes, edges=edge_objects))


def breadth_first_edges(root: TorchObject) -> list[tuple[TorchObject, TorchObject]]:
    """Return all edges as pairs of parent and child, with parents in breadth-first order from the root."""
    queue, edges = [root], []
    seen = {root}
    for parent in queue:
        for child in children(parent):
            edges.append((parent, child))
            if child not in seen:
                seen.add(child)
                queue.append(child)
    return edges


def depth_first(root: TorchObject) -> list[TorchObject]:
    """Return all nodes in depth-first order, each after its children."""
    order, seen = [], {root}
    path = [(root, iter(children(root)))]
    while path:
        parent, rest = path[-1]
        child = next((child for child in rest if child not in seen), None)
        if child is None:
            order.append(parent)
            path.pop()
        else:
            seen.add(child)
            path.append((child, iter(children(child))))
    return order
