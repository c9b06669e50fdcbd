"""Imports go in one direction, between packages and between modules, and use only the public API of a package.

The public API is the `__all__` of the package's __init__.py. docs/architecture.md describes the dependencies.
"""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

# Each package with the packages that it may import from, besides itself.
BASE = {"charrnn_port.util"}
VALUES = {*BASE, "charrnn_port.model", "charrnn_port.torch7", "charrnn_port"}
BELOW = {
    "charrnn_port.util": set(),
    "charrnn_port.model": {"charrnn_port.util"},
    "charrnn_port.torch7": set(),
    "charrnn_port": BASE,  # its own modules: options, command_line, device, datasets
    "charrnn_port.checkpoints": VALUES,
    "charrnn_port.training": {*VALUES, "charrnn_port.checkpoints"},
    "charrnn_port.sampling": {*VALUES, "charrnn_port.checkpoints"},
}
ABOVE = {*BELOW, "charrnn_port.training", "charrnn_port.sampling"}
BELOW |= {"charrnn_port.reports": ABOVE, "charrnn_port.sharing": ABOVE}
WITH_API = {"charrnn_port.torch7", "charrnn_port.checkpoints", "charrnn_port.training", "charrnn_port.sampling"}
WITH_API |= {"charrnn_port.reports", "charrnn_port.sharing"}
PROGRAMS = {"charrnn_port.programs.train", "charrnn_port.programs.sample", "charrnn_port.__main__"}  # import anything
OUTSIDE = {
    "charrnn_port.model": {"torch"},
    "charrnn_port.util": {"torch", "numpy", "h5py"},
    "charrnn_port.torch7": {"torch", "numpy"},
}

# Folders of the repository, with the package that they are in when they are imported.
PACKAGES = {"util": "charrnn_port", "model": "charrnn_port", "charrnn_port": ""}
FILES = {path.relative_to(ROOT): package for top, package in PACKAGES.items() for path in (ROOT / top).rglob("*.py")}
FILES |= {Path("train.py"): "charrnn_port.programs", Path("sample.py"): "charrnn_port.programs"}


def name_of(path: Path, package: str) -> str:
    parts = [*filter(None, [package]), *path.with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path, package): path for path, package in FILES.items()}


def package_of(module: str) -> str:
    """Return the package that a module is in: the longest name in BELOW that it begins with."""
    is_folder = MODULES[module].name == "__init__.py"
    place = module if is_folder else module.rpartition(".")[0]
    return next(package for package in sorted(BELOW, key=len, reverse=True) if f"{place}.".startswith(f"{package}."))


def imports(module: str) -> list[tuple[str, list[str]]]:
    """Return what a module imports when it runs: modules, with the names taken from them."""
    tree = ast.parse((ROOT / MODULES[module]).read_text())
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, []) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports are not allowed"
            found.append((node.module, [alias.name for alias in node.names]))
    return found


def dependencies(module: str) -> set[str]:
    """Return the modules of this project that a module imports."""
    found = set()
    for source, names in imports(module):
        submodules = {f"{source}.{name}" for name in names} & set(MODULES)
        found |= submodules
        if source in MODULES and (not names or len(submodules) < len(names)):
            found.add(source)
    return found - {module}


def public_names(package: str) -> set[str]:
    """Return the public API of a package: the names in its `__all__`."""
    tree = ast.parse((ROOT / MODULES[package]).read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


# The next three tests look at all modules: a test for each would take longer to prepare than to run.


def test_imports_go_down():
    for module in sorted(set(MODULES) - PROGRAMS):
        package = package_of(module)
        for target in dependencies(module):
            assert package_of(target) in {package, *BELOW[package]}, f"{module} must not import {target}"


def test_other_packages_use_the_public_api():
    """Code outside a package imports from it `from charrnn_port.PACKAGE import NAME`, or a module that its API lists.

    `model` and `util` have no API of this kind: they are plain modules, as in the original.
    """
    for module, (source, names) in [(each, found) for each in sorted(MODULES) for found in imports(each)]:
        packages = [package for package in WITH_API if f"{source}.".startswith(f"{package}.")]
        if not packages or (module not in PROGRAMS and package_of(module) == packages[0]):
            continue
        package, inside = packages[0], source.removeprefix(packages[0]).removeprefix(".").split(".")[0]
        if package in ("charrnn_port.reports", "charrnn_port.sharing"):  # one module per verb, only for __main__.py
            assert module == "charrnn_port.__main__", f"{module} must not import {source}"
        elif inside:
            assert inside in public_names(package), f"{module} imports a private module of {package}: {source}"
        else:
            assert set(names) <= public_names(package), f"{module} imports private names of {package}: {names}"


def test_no_circular_imports():
    """Test that no module imports itself through others."""
    order: list[str] = []

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " imports ".join([*path, module])
        if module not in order:
            for target in sorted(dependencies(module)):
                visit(target, (*path, module))
            order.append(module)

    for module in sorted(MODULES):
        visit(module, ())


def test_lower_packages_import_few_libraries():
    """`model` and `torch7` work on tensors only: they import neither click nor h5py; `util` does not import click."""
    for module in sorted(set(MODULES) - PROGRAMS):
        libraries = {source.split(".")[0] for source, _ in imports(module)} - {"charrnn_port"}
        known = OUTSIDE.get(package_of(module))
        if known is not None:
            assert not libraries & ({"torch", "numpy", "h5py", "click"} - known), module


@pytest.mark.parametrize("package", sorted(BELOW))
def test_packages_describe_their_api(package):
    text = (ROOT / MODULES[package]).read_text()
    assert len(ast.get_docstring(ast.parse(text)).splitlines()) >= 1
    for name in public_names(package):
        described = name in text.split('"""')[1]
        assert described or package == "charrnn_port", f"{package}: the docstring does not describe {name}"
