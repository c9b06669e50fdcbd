"""How much memory a Linux container still allows. The kernel kills a process that exceeds it, without a message."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Names of the files in a version of cgroups: the limit, the memory in use, and fields of memory.stat that the kernel
# frees when needed, which are cached files.
VERSION_2 = "memory.max", "memory.current", ("inactive_file", "active_file")
VERSION_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that the control groups of this process still allow, without swap; None without a limit.

    A group is limited by all groups above it too. `root` is the folder that has `proc` and `sys`.
    """
    found = [free_in(folder, *names) for folder, names in groups(root)]
    return min((size for size in found if size is not None), default=None)


def groups(root: Path) -> Iterator[tuple[Path, tuple[str, str, tuple[str, str]]]]:
    """Yield the folders that may limit this process, with the names of their files.

    In a container the group's path may be that of the host. Then only the folder at the top exists, and is the group's.
    """
    lines: list[str] = []
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names = VERSION_1 if "memory" in controllers.split(",") else VERSION_2
        if controllers and names is VERSION_2:
            continue
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        group = top / path.lstrip("/")
        yield from ((folder, names) for folder in (group, *group.parents) if folder.is_relative_to(top))


def free_in(folder: Path, limit: str, usage: str, cached: tuple[str, str]) -> int | None:
    """Return the bytes that one group still allows, or None if it has no limit."""
    try:
        allowed, used = (int((folder / name).read_text()) for name in (limit, usage))
        parts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return max(0, allowed - used + sum(int(parts[name]) for name in cached))
    except (OSError, ValueError, KeyError):  # ValueError: the limit is "max"
        return None
