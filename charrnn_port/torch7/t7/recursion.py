"""Runs recursive generators without Python's limit of about a thousand nested calls."""

from types import GeneratorType


def run(call: object) -> object:
    """Run a recursive generator on an explicit stack and return its result: `yield f(x)` is a call of f, at any depth.

    A call that does not recurse may return its result directly instead of a generator.
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
