"""Options in a YAML file: flat, or in groups whose names are free.

    model: gru
    size: {rnn_size: 512, num_layers: 3}
    optimization:
      learning_rate: 1e-3

Values are read as if they were typed, so `1e-3` is a number here, which YAML 1.1 takes for a string.
"""

import difflib
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from charrnn_port.option_fields import AnyOptions, OptionError, described
from charrnn_port.util.errors import UserError

NOT_IN_FILES = ("config", "print_config")


def with_config(options: AnyOptions, given: frozenset[str]) -> tuple[AnyOptions, frozenset[str]]:
    """The options with those of the file that their `config` names, and all that are given now.

    What was `given` before stays. Raises OptionError for an option that there is not or a value that won't do,
    UserError for a file that is missing or no such file.
    """
    kept = read(options.config, type(options))
    return replace(options, **{name: kept[name] for name in set(kept) - given}), given | set(kept)


def read(path: str, options_class: type[AnyOptions]) -> dict[str, str]:
    """The text of each option in a file, by name."""
    yaml = the_library()
    names = [each.name for each in fields(options_class) if each.name not in NOT_IN_FILES]
    kept: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8") as file:
            root = yaml.compose(file, yaml.BaseLoader)
        for key, value in pairs(yaml, root):
            where = f"{path}, line {key.start_mark.line + 1}"
            if key.value not in names:
                close = difflib.get_close_matches(key.value, names, n=1)
                hint = f"did you mean {close[0]}?" if close else "see -help"
                raise OptionError(f"{where}: no such option: {key.value}; {hint}")
            if key.value in kept:
                raise OptionError(f"{where}: {key.value} is there for the second time")
            kept[key.value] = value.value
            try:
                options_class(**{key.value: value.value})
            except OptionError as error:
                raise OptionError(f"{where}: {error}") from None
    except OSError as error:
        raise UserError(f"-config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"-config {path} is not a file of options: {error}") from error
    return kept


def pairs(yaml: Any, root: Any) -> Iterator[tuple[Any, Any]]:
    """The names and values in a file, groups opened. Raises ValueError for what is neither."""
    if root is None:  # an empty file
        return
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("it has no names with values")
    for key, value in root.value:
        for name, each in value.value if isinstance(value, yaml.MappingNode) else [(key, value)]:
            if not isinstance(name, yaml.ScalarNode) or not isinstance(each, yaml.ScalarNode):
                raise ValueError(f"line {name.start_mark.line + 1}: a name and one value are wanted here")
            yield name, each


def as_text(options: AnyOptions) -> str:
    """Such a file with all options, in the groups of the help."""
    groups: dict[str, dict[str, Any]] = {}
    for each, about in described(type(options)):
        if each.name not in NOT_IN_FILES:
            groups.setdefault(about.group, {})[each.name] = getattr(options, each.name)
    return the_library().safe_dump(groups, sort_keys=False, allow_unicode=True)


def the_library() -> Any:
    """PyYAML. Raises UserError where it is not installed."""
    try:
        import yaml
    except ImportError as error:
        raise UserError(
            'files of options need PyYAML, which is not installed: pip install -c constraints.txt -e ".[watch]"'
        ) from error
    return yaml
