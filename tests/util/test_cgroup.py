"""Tests of the memory that a container allows, with folders as both versions of Linux's cgroups make them."""

import pytest

from charrnn_port.util.cgroup import free_memory

STAT_2 = "anon 300\nfile 90\ninactive_file 40\nactive_file 10\n"
STAT_1 = "cache 90\ninactive_file 1\nactive_file 1\ntotal_inactive_file 40\ntotal_active_file 10\n"


@pytest.fixture
def member(tmp_path):
    """Return a function that writes the groups of this process, as in /proc/self/cgroup."""
    (tmp_path / "proc/self").mkdir(parents=True)
    return (tmp_path / "proc/self/cgroup").write_text


def group(folder, **files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


def test_version_2(tmp_path, member):
    """Cached files count as free: 1000 - 400 + 50."""
    member("0::/\n")
    group(tmp_path / "sys/fs/cgroup", memory__max="1000\n", memory__current="400\n", memory__stat=STAT_2)
    assert free_memory(tmp_path) == 650


@pytest.mark.parametrize(("inner", "outer", "free"), [("max", "900", 450), ("700", "max", 350), ("700", "900", 350)])
def test_a_group_is_limited_by_those_above_it(inner, outer, free, tmp_path, member):
    member("0::/outer/inner\n")
    top = tmp_path / "sys/fs/cgroup/outer"
    group(top, memory__max=outer, memory__current="500", memory__stat=STAT_2)
    group(top / "inner", memory__max=inner, memory__current="400", memory__stat=STAT_2)
    assert free_memory(tmp_path) == free


def test_version_1(tmp_path, member):
    member("5:cpu,cpuacct:/a\n4:memory:/docker/0123\n0::/\n")
    files = {"memory__limit_in_bytes": "1000\n", "memory__usage_in_bytes": "400\n", "memory__stat": STAT_1}
    group(tmp_path / "sys/fs/cgroup/memory/docker/0123", **files)
    assert free_memory(tmp_path) == 650


def test_version_1_inside_a_container_that_shows_the_path_of_its_host(tmp_path, member):
    member("4:memory:/docker/0123\n")
    files = {"memory__limit_in_bytes": "1000\n", "memory__usage_in_bytes": "1200\n", "memory__stat": STAT_1}
    group(tmp_path / "sys/fs/cgroup/memory", **files)
    assert free_memory(tmp_path) == 0


def test_without_a_limit_or_without_groups(tmp_path, member):
    assert free_memory(tmp_path) is None
    member("0::/\n")
    assert free_memory(tmp_path) is None
    group(tmp_path / "sys/fs/cgroup", memory__max="max\n", memory__current="400\n", memory__stat=STAT_2)
    assert free_memory(tmp_path) is None
