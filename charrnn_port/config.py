"""Reads and writes options as YAML: flat, or in groups with any names.

    model: gru
    size: {rnn_size: 512, num_layers: 3}
    optimization:
      learning_rate: 1e-3

Values are parsed as on a command line, so that `1e-3` is a number. To YAML 1.1 it would be a string. Switches may be
true or false, and null means that an option is not given.
"""

import difflib
import os
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from charrnn_port.options import AnyOptions, OptionError, Options, described
from charrnn_port.util.errors import UserError, how_to_install

NOT_IN_FILES = ("config", "print_config")
PATHS = ("data_dir", "init_from", "checkpoint_dir", "resume", "tensorboard")  # ~ in them is the home folder
NULL = ("", "~", "null", "Null", "NULL")
BOOLEANS = dict.fromkeys(("true", "yes", "on"), "1") | dict.fromkeys(("false", "no", "off"), "0")


def with_config(options: AnyOptions, given: frozenset[str]) -> tuple[AnyOptions, frozenset[str]]:
    """Return the options updated from the file `options.config`, and the set of all names that are now given.

    Options already in `given` take precedence. Raises OptionError for an unknown option or an invalid value, UserError
    for a file that is missing or is not YAML with options.
    """
    kept = read(options.config, type(options))
    return replace(options, **{name: kept[name] for name in set(kept) - given}), given | set(kept)


def read(path: str, options_class: type[AnyOptions]) -> dict[str, str]:
    """Return the text of each option in a file, by name. An option whose value is null is not given."""
    kept: dict[str, str] = {}
    for name, where, node in nodes(path, options_class):
        text = text_of(node, name, where, options_class)
        if text is not None:
            kept[name] = text
    return kept


def nodes(
    path: str, options_class: type[Options], is_value: Callable[[Any], bool] = lambda node: isinstance(node.value, str)
) -> Iterator[tuple[str, str, Any]]:
    """Yield the name of each option in a file, its place in words, and the YAML node of its value.

    `is_value` is the test for nodes that are a value; a mapping that is none is a group of options. Raises OptionError
    for an option that is unknown or there twice, UserError for a file that is missing or is not YAML with options.
    """
    yaml = import_yaml()
    if path == "-":
        raise UserError("-config -: options cannot be read from stdin: write them to a file and name it")
    try:
        with open(path, encoding="utf-8") as file:
            found = list(pairs(yaml, yaml.compose(file, yaml.BaseLoader), is_value))
    except OSError as error:
        raise UserError(f"-config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"-config {path} is not a YAML file of options: {error}") from error
    names = [each.name for each in fields(options_class) if each.name not in NOT_IN_FILES]
    seen = set()
    for key, node in found:
        where = f"{path}, line {key.start_mark.line + 1}"
        if key.value not in names:
            close = difflib.get_close_matches(key.value, names, n=1)
            hint = f"did you mean {close[0]}?" if close else "see -help"
            raise OptionError(f"{where}: unknown option: {key.value}; {hint}")
        if key.value in seen:
            raise OptionError(f"{where}: duplicate option {key.value}")
        seen.add(key.value)
        yield key.value, where, node


def text_of(node: Any, name: str, where: str, options_class: type[Options]) -> str | None:
    """Return the text of an option's value; None for null. Raises OptionError, which names the place, if invalid."""
    text = node.value
    if node.style is None:  # not quoted
        if text in NULL:
            return None
        if any(each.name == name and about.on_off for each, about in described(options_class)):
            text = BOOLEANS.get(text.lower(), text)
    text = os.path.expanduser(text) if name in PATHS else text
    try:
        options_class(**{name: text})
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from None
    return text


def pairs(yaml: Any, root: Any, is_value: Callable[[Any], bool]) -> Iterator[tuple[Any, Any]]:
    """Yield the nodes of names and values in a file, including those in groups. Raises ValueError for anything else."""
    if root is None:  # an empty file
        return
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("expected names with values")
    for key, value in root.value:
        grouped = isinstance(value, yaml.MappingNode) and not is_value(value)
        for name, each in value.value if grouped else [(key, value)]:
            if not isinstance(name, yaml.ScalarNode) or not is_value(each):
                raise ValueError(f"line {name.start_mark.line + 1}: expected a name and one value")
            yield name, each


def as_text(options: AnyOptions) -> str:
    """Return all options as YAML, in the groups of the help."""
    groups: dict[str, dict[str, Any]] = {}
    for each, about in described(type(options)):
        if each.name not in NOT_IN_FILES:
            groups.setdefault(about.group, {})[each.name] = getattr(options, each.name)
    return import_yaml().safe_dump(groups, sort_keys=False, allow_unicode=True)


def import_yaml() -> Any:
    """Return the module of PyYAML. Raises UserError if it is not installed."""
    try:
        import yaml
    except ImportError as error:
        raise UserError(
            f"-config needs PyYAML, which is not installed: {how_to_install('watch')}"
        ) from error
    return yaml
