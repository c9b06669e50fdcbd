"""The exception for errors that a user can fix, and how to install what is missing."""


class UserError(Exception):
    """An error that the user can fix. The message is one line: what is wrong, and what to do."""


def how_to_install(extra: str) -> str:
    """Return the command that installs an optional group of packages, such as `watch`."""
    return f'pip install -c constraints.txt -e ".[{extra}]" (".[all]" installs all optional packages)'
