"""The object graph that nngraph builds for a network, as Torch7 saves it (nngraph's node.lua and gmodule.lua).

`node` and `apply` make a network of nodes, `g_module` the nn.gModule between its inputs and outputs: with the
forward and the backward graph, their nodes in the order in which they run, and one module a node.

Nodes of a network point from outputs to inputs (`children`): that is the backward graph. The forward graph has
nodes of its own, which share their data with these and point the other way.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from charrnn_port.torch7.t7 import Table, TorchObject

DOUBLE = b"torch.DoubleTensor"


# A network


def apply(class_name: str, *inputs: TorchObject, name: str | None = None, **fields: object) -> TorchObject:
    """The node of a new module of this class and with these fields, applied to the outputs of other nodes."""
    return node(inputs, name, module=module(class_name, **fields))


def node(inputs: Iterable[TorchObject] = (), name: str | None = None, **data: object) -> TorchObject:
    """A node that takes the outputs of other nodes (Node.lua's add, with the order of the inputs)."""
    annotations = record(name=name.encode()) if name else Table()
    new = bare_node(record(annotations=annotations, mapindex=Table(), reverseMap=Table(), **data))
    for source in inputs:
        connect(new, source)
    return new


def split(source: TorchObject, count: int) -> list[TorchObject]:
    """Nodes for the `count` parts of a node's output, which is a table (Node.lua's split)."""
    whole_output = node([source], nSplitOutputs=count)
    return [node([whole_output], selectindex=i + 1, input=Table()) for i in range(count)]


def g_module(inputs: list[TorchObject], outputs: list[TorchObject]) -> TorchObject:
    """The nn.gModule between these nodes (gmodule.lua's __init)."""
    innode, outnode = node(input=Table()), node(outputs, input=Table())
    for target, part in zip(inputs, split(innode, len(inputs)), strict=True):
        connect(target, part)

    # The forward graph has the edges of the backward one the other way, between twins of its nodes.
    edges = breadth_first_edges(outnode)
    backward = graph(edges)
    twins = {member: bare_node(member.fields[b"data"]) for member in backward.fields[b"nodes"].sequence()}
    forward = graph([(twins[end], twins[start]) for start, end in edges])
    originals = {twin: member for member, twin in twins.items()}
    forward_nodes = [twins[member] for member in depth_first(outnode)]
    backward_nodes = [originals[twin] for twin in depth_first(twins[innode])]

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
            innode=twins[innode],
            outnode=outnode,
            nInputs=len(inputs),
            verbose=False,
            forwardnodes=Table(enumerate(forward_nodes, 1)),
            backwardnodes=Table(enumerate(backward_nodes, 1)),
        ),
    )


# The values of fields


def record(**fields: object) -> Table:
    """A Lua table with these values under these names."""
    return Table((name.encode(errors="surrogateescape"), value) for name, value in fields.items())


def empty() -> Tensor:
    """The empty tensor that stands for what a module has not computed yet."""
    return torch.empty(0, dtype=torch.float64)


def module(class_name: str, **fields: object) -> TorchObject:
    """A module with the fields of nn.Module and its own."""
    return TorchObject(class_name, record(**{"_type": DOUBLE, "output": empty(), "gradInput": empty()} | fields))


# Nodes


def bare_node(data: Table) -> TorchObject:
    return TorchObject("nngraph.Node", record(data=data, children=Table(), visited=False, marked=False, id=0))


def connect(target: TorchObject, source: TorchObject) -> None:
    """Make the source's output the next input of the target."""
    enlist(target.fields[b"children"], source)
    enlist(target.fields[b"data"][b"mapindex"], source.fields[b"data"])
    source.fields[b"data"][b"reverseMap"][target] = True


def children(parent: TorchObject) -> list[TorchObject]:
    return parent.fields[b"children"].sequence()


def enlist(table: Table, item: object) -> None:
    """Add an item to a list that also holds the place of each item, under the item; no item twice."""
    if item not in table:
        place = len(table) // 2 + 1
        table[place] = item
        table[item] = place


# Graphs


def graph(edges: list[tuple[TorchObject, TorchObject]]) -> TorchObject:
    """A graph.Graph of edges (from, to); the nodes get their children and, by first appearance, their ids."""
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
    """All edges, as pairs of parent and child, parents in the order of their distance from the root."""
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
    """All nodes, each after its children."""
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
