"""Recursion as deep as memory allows, for objects that hold objects: Python's own ends at about a thousand calls."""

from types import GeneratorType


def run(call: object) -> object:
    """Run a recursive generator on a stack of its own: `yield f(x)` is a call of f, however deep.

    A call that needs no stack may give its result at once instead of a generator.
    """
    stack, result = [], call
    while True:
        if isinstance(result, GeneratorType):
            stack.append(result)
            result = None
        if not stack:
            return result
        try:
            result = stack[-1].send(result)
        except StopIteration as finished:
            stack.pop()
            result = finished.value
