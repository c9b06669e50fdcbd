"""Mutation testing: make small changes to modules, one at a time, and print those for which no test fails.

    python tests/mutation.py util/minibatch_loader.py -tests tests/util/test_loader.py tests/util/test_cache.py
    python tests/mutation.py charrnn_port/torch7/t7/*.py -tests tests/torch7/test_t7.py -sample 150 -jobs 2

A mutant has one operator replaced (comparison, arithmetic, and/or), one `not` or minus removed, one number increased by
1, True and False swapped, or one statement removed: a call, an assignment to an attribute or an item, an augmented
assignment, a raise, or the value of a return. Strings, and so messages, are unchanged.

Each printed line is a surviving mutant, `path:line: before → after`; the last line has their number. A survivor shows a
missing test, or a change without effect. `CC=false` saves one second per mutant if the tests need no compiled cells.

Subprocesses of tests import the module from disk, without the mutation, so that they cannot detect it.
"""

import argparse
import ast
import copy
import linecache
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import NamedTuple

# Imported once here. Tests run in forks of this process, which then import only the project's own modules.
import click.testing  # noqa: F401
import h5py  # noqa: F401
import numpy as np  # noqa: F401
import pytest
import torch  # noqa: F401

NOT_IMPORTED = 100  # an exit status that pytest does not use
PAIRS = [
    (ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn),
    (ast.And, ast.Or), (ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.LShift, ast.RShift), (ast.BitAnd, ast.BitOr),
]  # fmt: skip
OPERATORS = dict(PAIRS) | {two: one for one, two in PAIRS}
OPERATORS |= {ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult}


class Mutant(NamedTuple):
    """A changed module: its path, the change in words, and its whole source."""

    path: Path
    change: str
    source: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="+", type=Path, help="files to change")
    parser.add_argument("-tests", nargs="+", default=["tests"], help="files or single tests, as pytest names them")
    parser.add_argument("-k", default="", help="only tests that match this expression, as pytest's -k")
    parser.add_argument("-seconds", type=float, default=60, help="timeout for a mutant; it counts as a failure")
    parser.add_argument("-sample", type=int, help="number of mutants to test, a fixed random sample")
    parser.add_argument("-jobs", type=int, default=1, help="number of parallel processes")
    opt = parser.parse_args()
    tests = ["-k", opt.k, *opt.tests]

    for mutant, status in outcomes([Mutant(path, "", path.read_text()) for path in opt.modules], tests, 3600, 1):
        if status:
            why = "not imported by the tests" if status == NOT_IMPORTED else "tests fail without a mutation"
            sys.exit(f"{mutant.path}: {why}")
    mutants = [mutant for path in opt.modules for mutant in mutants_of(path)]
    if opt.sample and opt.sample < len(mutants):
        mutants = random.Random(1).sample(mutants, opt.sample)
    survived = 0
    for mutant, status in outcomes(mutants, tests, opt.seconds, opt.jobs):
        if status == 0:
            survived += 1
            print(mutant.change, flush=True)
    print(f"made {len(mutants)}, killed {len(mutants) - survived}, survived {survived}")


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Yield all mutants of a file; each compiles and differs from it."""
    lines = path.read_bytes().splitlines(keepends=True)  # bytes, since ast counts columns in bytes
    source, tree = b"".join(lines), ast.parse(b"".join(lines))
    for node in parts(tree):
        for after in changes(node):
            begin, end = (
                sum(map(len, lines[: line - 1])) + column
                for line, column in ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset))
            )
            before = " ".join(source[begin:end].decode().split())
            inserted = after if isinstance(node, ast.stmt) else f"({after})"
            mutated = (source[:begin] + inserted.encode() + source[end:]).decode()
            try:
                compile(mutated, path, "exec")
            except SyntaxError:
                continue
            if ast.dump(ast.parse(mutated)) != ast.dump(tree):
                yield Mutant(path, f"{path}:{node.lineno}: {before} → {after}", mutated)


def parts(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the node and its descendants, without annotations and f-strings."""
    if not isinstance(node, ast.JoinedStr):
        yield node
        for name, field in ast.iter_fields(node):
            for child in field if isinstance(field, list) else [field]:
                if isinstance(child, ast.AST) and name not in ("annotation", "returns"):
                    yield from parts(child)


def changes(node: ast.AST) -> Iterator[str]:
    """Yield replacements for a node."""
    operators = node.ops if isinstance(node, ast.Compare) else [getattr(node, "op", None)]
    for place, operator in enumerate(operators):
        if other := OPERATORS.get(type(operator)):
            changed = copy.copy(node)
            changed.op, changed.ops = other(), [*operators[:place], other(), *operators[place + 1 :]]
            yield ast.unparse(changed)
    match node:
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield ast.unparse(node.operand)
        case ast.Constant(value=bool()):
            yield str(not node.value)
        case ast.Constant(value=int() | float()):
            yield str(node.value + 1)
        case ast.Return(value=ast.expr()):
            yield "return None"
        case ast.Expr(value=ast.Constant()):  # a docstring
            pass
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]):
            yield "pass"


def outcomes(mutants: list[Mutant], tests: list[str], seconds: float, jobs: int) -> Iterator[tuple[Mutant, int]]:
    """Yield each mutant with the exit status of its tests as they end: 0 if no test failed in time."""
    waiting, running = mutants[::-1], {}
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant, folder = waiting.pop(), tempfile.mkdtemp()
            pid = os.fork()
            if pid == 0:
                run_tests(mutant, ["-x", "-p", "no:cacheprovider", "--basetemp", f"{folder}/tests", *tests])
            running[pid] = mutant, folder, time.monotonic() + seconds
        time.sleep(0.02)
        for pid, (mutant, folder, deadline) in list(running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended and time.monotonic() > deadline:
                os.killpg(pid, signal.SIGKILL)
                ended, status = os.waitpid(pid, 0)
            if ended:
                del running[pid]
                shutil.rmtree(folder, ignore_errors=True)
                yield mutant, status and os.waitstatus_to_exitcode(status)


def run_tests(mutant: Mutant, pytest_arguments: list[str]) -> None:
    """Run pytest in a forked process with the mutant in place of its module, and exit."""
    os.setpgid(0, 0)  # a process group, so that subprocesses of the tests are killed with it
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    path, imported, get_code = str(mutant.path.resolve()), set(), SourceFileLoader.get_code

    def get_mutated_code(loader: SourceFileLoader, name: str) -> object:
        if os.path.realpath(loader.path) != path:
            return get_code(loader, name)
        imported.add(name)
        # TorchScript compiles the source in linecache. An entry without a date is not compared with the file.
        linecache.cache[loader.path] = len(mutant.source), None, mutant.source.splitlines(keepends=True), loader.path
        return compile(mutant.source, loader.path, "exec", dont_inherit=True)

    SourceFileLoader.get_code = get_mutated_code
    status = pytest.main(pytest_arguments)
    os._exit(status if status or imported else NOT_IMPORTED)


if __name__ == "__main__":
    main()
