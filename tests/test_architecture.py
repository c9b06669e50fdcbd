"""Imports go one way, from room to room and from file to file, and through the doors.

A room is a folder; its door is its __init__.py, whose __all__ lists what others may use. docs/architecture.md draws it.
"""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

# Each room with the rooms that it may import from, beside itself.
BASE = {"charrnn_port.util"}
VALUES = {*BASE, "charrnn_port.model", "charrnn_port.torch7", "charrnn_port"}
BELOW = {
    "charrnn_port.util": set(),
    "charrnn_port.model": {"charrnn_port.util"},
    "charrnn_port.torch7": set(),
    "charrnn_port": BASE,  # the files beside the rooms: options, command_line, device, datasets
    "charrnn_port.checkpoints": VALUES,
    "charrnn_port.training": {*VALUES, "charrnn_port.checkpoints"},
    "charrnn_port.sampling": {*VALUES, "charrnn_port.checkpoints"},
}
ABOVE = {*BELOW, "charrnn_port.training", "charrnn_port.sampling"}
BELOW |= {"charrnn_port.reports": ABOVE, "charrnn_port.sharing": ABOVE}
ROOMS = {"charrnn_port.torch7", "charrnn_port.checkpoints", "charrnn_port.training", "charrnn_port.sampling"}
ROOMS |= {"charrnn_port.reports", "charrnn_port.sharing"}
PROGRAMS = {"charrnn_port.programs.train", "charrnn_port.programs.sample", "charrnn_port.__main__"}  # import anything
OUTSIDE = {
    "charrnn_port.model": {"torch"},
    "charrnn_port.util": {"torch", "numpy", "h5py"},
    "charrnn_port.torch7": {"torch", "numpy"},
}

# Where files are in the repository, and the package that they are in when they are imported.
PACKAGES = {"util": "charrnn_port", "model": "charrnn_port", "charrnn_port": ""}
FILES = {path.relative_to(ROOT): package for top, package in PACKAGES.items() for path in (ROOT / top).rglob("*.py")}
FILES |= {Path("train.py"): "charrnn_port.programs", Path("sample.py"): "charrnn_port.programs"}


def name_of(path: Path, package: str) -> str:
    parts = [*filter(None, [package]), *path.with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path, package): path for path, package in FILES.items()}


def room_of(module: str) -> str:
    """The room that a module is in: the longest name in BELOW that it begins with."""
    is_folder = MODULES[module].name == "__init__.py"
    place = module if is_folder else module.rpartition(".")[0]
    return next(room for room in sorted(BELOW, key=len, reverse=True) if f"{place}.".startswith(f"{room}."))


def imports(module: str) -> list[tuple[str, list[str]]]:
    """What a file imports when it runs: modules with the names taken from them."""
    tree = ast.parse((ROOT / MODULES[module]).read_text())
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, []) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import hides where it comes from"
            found.append((node.module, [alias.name for alias in node.names]))
    return found


def arrows(module: str) -> set[str]:
    """The project's modules that a file imports."""
    found = set()
    for source, names in imports(module):
        submodules = {f"{source}.{name}" for name in names} & set(MODULES)
        found |= submodules
        if source in MODULES and (not names or len(submodules) < len(names)):
            found.add(source)
    return found - {module}


def door_of(room: str) -> set[str]:
    """What a room's __init__.py says that others may use."""
    tree = ast.parse((ROOT / MODULES[room]).read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


@pytest.mark.parametrize("module", sorted(set(MODULES) - PROGRAMS))
def test_arrows_go_down(module):
    room = room_of(module)
    for target in arrows(module):
        assert room_of(target) in {room, *BELOW[room]}, f"{module} must not import {target}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_rooms_are_entered_by_their_doors(module):
    """From outside, `from charrnn_port.ROOM import NAME`, or a module of it that the door lists.

    `model` and `util` have no doors: they are files side by side, as in the original.
    """
    for source, names in imports(module):
        rooms = [room for room in ROOMS if f"{source}.".startswith(f"{room}.")]
        if not rooms or (module not in PROGRAMS and room_of(module) == rooms[0]):
            continue
        room, inside = rooms[0], source.removeprefix(rooms[0]).removeprefix(".").split(".")[0]
        if room in ("charrnn_port.reports", "charrnn_port.sharing"):  # a verb each, for __main__.py alone
            assert module == "charrnn_port.__main__"
        elif inside:
            assert inside in door_of(room), f"{module} reaches past the door of {room}: {source}"
        else:
            assert set(names) <= door_of(room), f"{module} takes {names} from {room}"


def test_no_circles():
    """No file imports itself through others."""
    order: list[str] = []

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " imports ".join([*path, module])
        if module not in order:
            for target in sorted(arrows(module)):
                visit(target, (*path, module))
            order.append(module)

    for module in sorted(MODULES):
        visit(module, ())


@pytest.mark.parametrize("module", [module for module in sorted(MODULES) if module not in PROGRAMS])
def test_lower_rooms_know_few_libraries(module):
    """`model` and `torch7` are tensors only; no file below the programs knows click but those that speak to a user."""
    libraries = {source.split(".")[0] for source, _ in imports(module)} - {"charrnn_port"}
    known = OUTSIDE.get(room_of(module))
    if known is not None:
        assert not libraries & ({"torch", "numpy", "h5py", "click"} - known)


@pytest.mark.parametrize("room", sorted(BELOW))
def test_rooms_say_what_they_are_for(room):
    text = (ROOT / MODULES[room]).read_text()
    assert len(ast.get_docstring(ast.parse(text)).splitlines()) >= 1
    for name in door_of(room):
        assert name in text.split('"""')[1] or room == "charrnn_port", f"{room}: the docstring does not tell of {name}"
