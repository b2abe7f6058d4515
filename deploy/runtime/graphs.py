"""Finding places in ONNX graphs by how they are joined, whatever made them and however their parts are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

_DENSE: Final = frozenset({"Gemm", "MatMul", "Conv", "ConvTranspose"})
_PASSING: Final = frozenset({"Add", "Cast", "Flatten", "Identity", "Mul", "Reshape", "Squeeze"})
_PASSING_QUANTIZED: Final = frozenset({"QuantizeLinear", "DequantizeLinear"})


def before_last_layer(model: Any, output: str) -> tuple[str, ...]:
    """The tensor that the layer takes which gives an output, but for a bias, a scale or a change of shape or type.

    Args:
        model: An ONNX ModelProto.
        output: Name of the output.

    Returns:
        Its name alone; nothing where there is no such layer.
    """
    makers, live = _makers(model), _live(model)
    node = makers.get(output)
    while node is not None and node.op_type not in _DENSE:
        inputs = [name for name in node.input if name in live]
        if node.op_type not in _PASSING | _PASSING_QUANTIZED or len(inputs) != 1:
            return ()
        node = makers.get(inputs[0])
    return () if node is None else (str(node.input[0]),)


def last_layers(model: Any) -> list[tuple[str, int]]:
    """Layers that no other layer follows: the name of what each gives, and its place in the graph."""
    nodes, users = model.graph.node, _users(model)
    followed: dict[int, bool] = {}
    for place in reversed(range(len(nodes))):
        next_ones = {user for name in nodes[place].output for user in users.get(name, ())}
        followed[place] = any(nodes[user].op_type in _DENSE or followed[user] for user in next_ones)
    live = _live(model)
    return [
        (str(node.output[0]), place)
        for place, node in enumerate(nodes)
        if node.op_type in _DENSE and not followed[place] and node.output[0] in live
    ]


def level_maps(model: Any, layers: Sequence[tuple[str, int]], sizes: Sequence[tuple[int, ...]]) -> tuple[str, ...]:
    """For each size of map that a network ends on: the last map that all its last layers of that size depend on alone.

    Args:
        model: An ONNX ModelProto.
        layers: `last_layers` of it.
        sizes: (height, width) of what each gives; anything else is no map and is left out.

    Returns:
        Names of the maps, the largest first.
    """
    by_size: dict[tuple[int, ...], list[int]] = {}
    for (_, place), size in zip(layers, sizes, strict=True):
        if len(size) == 2:
            by_size.setdefault(size, []).append(place)
    parents = _dominators(model)
    taken = [_common(model, parents, by_size[size]) for size in sorted(by_size, reverse=True)]
    return tuple(dict.fromkeys(name for name in taken if name is not None))


def _common(model: Any, parents: Sequence[int], places: Sequence[int]) -> str | None:
    """What the last node gives through which every path to all of these nodes goes; None where that is the input."""
    found = parents[places[0]]
    for place in places[1:]:
        found = _meeting(found, parents[place], parents)
    while found >= 0 and len(model.graph.node[found].output) != 1:
        found = parents[found]
    return None if found < 0 else str(model.graph.node[found].output[0])


def _dominators(model: Any) -> list[int]:
    """For each node the last one before it through which every path from the input goes; -1 for the input itself.

    Nodes that do not depend on the input, or only on its shape, have -1 too, and bind nobody.
    Source: Cooper, Harvey and Kennedy, "A simple, fast dominance algorithm", 2001; one pass, graphs being sorted.
    """
    live = _live(model)
    made = {name: place for place, node in enumerate(model.graph.node) for name in node.output}
    parents: list[int] = []
    for node in model.graph.node:
        before = [made.get(name, -1) for name in node.input if name in live]
        found = before[0] if before else -1
        for other in before[1:]:
            found = _meeting(found, other, parents)
        parents.append(found)
    return parents


def _meeting(one: int, other: int, parents: Sequence[int]) -> int:
    while one != other:
        if one > other:
            one = parents[one]
        else:
            other = parents[other]
    return one


def _makers(model: Any) -> dict[str, Any]:
    return {name: node for node in model.graph.node for name in node.output}


def _users(model: Any) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, node in enumerate(model.graph.node):
        for name in node.input:
            found.setdefault(name, []).append(place)
    return found


def _live(model: Any) -> set[str]:
    """Tensors that depend on what is in the input, not on its shape alone."""
    weights = {one.name for one in model.graph.initializer}
    live = {one.name for one in model.graph.input} - weights
    for node in model.graph.node:
        if node.op_type != "Shape" and any(name in live for name in node.input):
            live.update(node.output)
    return live
