"""The cells in C are compiled once and cached. Every failure ends in working cells, or in none and a reason."""

import ctypes
import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
from conftest import NEEDS_COMPILER, ROOT, full_disk

from charrnn_port.model import build, shipped
from charrnn_port.model.build import built

DTYPE = torch.float64
# A library of one function, which compiles faster than the cells.
SOURCE = """\
#include <stdint.h>
void transpose(double *target, const double *source, int64_t stride, int64_t rows, int64_t columns) {
    for (int64_t i = 0; i < columns; i++)
        for (int64_t j = 0; j < rows; j++)
            target[i * rows + j] = source[j * stride + i];
}
"""
build_output_of = build.output_of


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The user's empty cache folder. Nothing is compiled or loaded yet, and the source is short."""
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "sequence.c").write_text(SOURCE)
    monkeypatch.setattr(build, "FOLDER", tmp_path / "sources")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    built.cache_clear()
    yield tmp_path / "cache" / "charrnn_port"
    monkeypatch.undo()
    built.cache_clear()


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Function: replace the C compiler by a script, which may call `compile()`; return the file that logs its calls."""
    calls = tmp_path / "calls"

    def choose(lines: str) -> Path:
        program = tmp_path / "compiler.py"
        program.write_text(
            "import os, signal, subprocess, sys, time\n"
            "def compile():\n"
            "    return subprocess.call(['cc', *sys.argv[1:]])\n"
            "if '--version' in sys.argv:\n"
            "    sys.exit(compile())\n"
            f"open({str(calls)!r}, 'a').write('called\\n')\n"
            f"{lines}\n"
        )
        monkeypatch.setenv("CC", shlex.join([sys.executable, str(program)]))
        built.cache_clear()
        return calls

    return choose


def start_again() -> None:
    """Forget what this process has loaded, as in a new process."""
    built.cache_clear()


def assert_works() -> None:
    """Assert that the functions are available and work."""
    functions = built(DTYPE).functions
    source, target = torch.arange(6, dtype=DTYPE).view(2, 3), torch.zeros(3, 2, dtype=DTYPE)
    addresses = [ctypes.c_void_p(each.data_ptr()) for each in (target, source)]
    functions.transpose(*addresses, *map(ctypes.c_int64, (3, 2, 3)))
    assert torch.equal(target, source.T)


def count(calls: Path) -> int:
    return len(calls.read_text().splitlines()) if calls.exists() else 0


@NEEDS_COMPILER
def test_the_second_start_compiles_nothing(cache, compiler):
    calls = compiler("sys.exit(compile())")
    assert_works()
    start_again()
    assert_works()
    assert count(calls) == 1
    assert [path.suffix for path in cache.iterdir()] == [".so"]
    assert cache.stat().st_mode & 0o777 == 0o700


@NEEDS_COMPILER
@pytest.mark.parametrize("change", ["compiler", "version", "flags", "processor", "source", "type"])
def test_whatever_decides_it_is_in_the_name(cache, monkeypatch, change):
    """If one of these changes, the library is compiled again."""
    assert_works()
    if change == "compiler":
        monkeypatch.setenv("CC", "env cc")
    elif change == "version":
        monkeypatch.setattr(build, "output_of", lambda *given, **rest: build_output_of(*given, **rest) + "another")
    elif change == "flags":
        monkeypatch.setattr(build, "FLAGS", [*build.FLAGS, "-g0"])
    elif change == "processor":
        monkeypatch.setattr(build, "processor", lambda: "another")
    elif change == "source":
        (build.FOLDER / "another.h").write_text("")
    start_again()
    built(torch.float32 if change == "type" else DTYPE)
    assert len(list(cache.iterdir())) == 2


@NEEDS_COMPILER
@pytest.mark.parametrize("damage", [lambda whole: whole[:1000], lambda whole: b"", lambda whole: whole[:-1] + b"x"])
def test_a_damaged_library_is_made_again(cache, damage):
    assert_works()
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    path.unlink()  # this process has loaded it, so it must not be overwritten
    path.write_bytes(damage(whole))
    start_again()
    assert_works()
    (path,) = cache.iterdir()
    assert path.stem.endswith(hashlib.sha256(path.read_bytes()).hexdigest())


@NEEDS_COMPILER
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_nothing_is_run_from_a_folder_that_others_can_write(cache, mode):
    """No file there is read or written."""
    assert_works()
    (path,) = cache.iterdir()
    path.unlink()
    cache.chmod(mode)
    start_again()
    assert_works()
    assert list(cache.iterdir()) == []


@NEEDS_COMPILER
def test_nothing_is_run_from_a_folder_of_another_user(cache, monkeypatch):
    assert_works()
    monkeypatch.setattr(os, "getuid", lambda: cache.stat().st_uid + 1)
    before = list(cache.iterdir())
    start_again()
    (path,) = before
    path.unlink()
    path.write_bytes(b"not a library")
    assert_works()
    assert path.read_bytes() == b"not a library"


@NEEDS_COMPILER
def test_without_a_folder_to_keep_it_in(cache):
    """The cache folder cannot be created, as in a read-only home folder."""
    cache.parent.write_text("in the way")
    assert_works()


@NEEDS_COMPILER
def test_without_a_home(cache, monkeypatch):
    def no_home() -> Path:
        raise RuntimeError("no home")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert_works()


@NEEDS_COMPILER
def test_a_cache_folder_that_is_full(cache, monkeypatch):
    def full(self: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert_works()
    assert list(cache.iterdir()) == []


@NEEDS_COMPILER
@pytest.mark.parametrize("folder", ["none", "file"])
def test_tmpdir_that_is_none(cache, monkeypatch, tmp_path, folder):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TMPDIR", str(tmp_path / folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert_works()


def test_no_folder_for_temporary_files(cache, monkeypatch):
    def none(*given: object, **rest: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", none)
    assert built(DTYPE).functions is None
    assert "No usable temporary directory" in built(DTYPE).how


@pytest.mark.long
def test_a_disk_that_is_full_while_compiling(cache):
    """No file is left behind."""
    command = "from charrnn_port.model.build import built; import torch; print(built(torch.float64))"
    with full_disk(2000):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        result = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert "functions=None" in result.stdout
    assert "the C compiler (cc) fails: " in result.stdout or "no C compiler" in result.stdout
    assert not cache.exists() or list(cache.iterdir()) == []


@pytest.mark.long
@NEEDS_COMPILER
def test_two_starts_at_once(cache):
    """Both compile, and one library is cached."""
    program = "from charrnn_port.model.build import built; import torch; print(built(torch.float64).how)"
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    starts = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert all(start.communicate()[0].startswith("cc ") and start.returncode == 0 for start in starts)
    kept = list(cache.iterdir())
    assert {path.suffix for path in kept} == {".so"}
    start_again()
    assert_works()


def test_a_compiler_that_is_killed(cache, compiler):
    compiler("open(sys.argv[-1], 'w').write('half'); os.kill(os.getpid(), signal.SIGKILL)")
    assert built(DTYPE).functions is None
    assert "fails: status -9" in built(DTYPE).how
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_compiler_that_makes_no_library(cache, compiler):
    compiler("open(sys.argv[-1], 'w').write('half')")
    assert built(DTYPE).functions is None
    assert "cannot be loaded" in built(DTYPE).how
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_compiler_that_does_not_end(cache, compiler, monkeypatch, tmp_path):
    """It is killed after PATIENCE seconds, with its child processes."""
    monkeypatch.setattr(build, "PATIENCE", 2)
    child = tmp_path / "child"
    calls = compiler(f"os.fork() or open({str(child)!r}, 'w').write(str(os.getpid()))\ntime.sleep(1000)")
    started = time.monotonic()
    assert built(DTYPE).functions is None
    assert time.monotonic() - started < 20
    assert built(DTYPE).how.endswith("timed out")
    assert count(calls) == 1
    status = Path(f"/proc/{int(child.read_text())}/status")
    while status.exists() and "(zombie)" not in status.read_text():  # a killed process may need a moment to end
        assert time.monotonic() - started < 60
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ('"', "no C compiler was found: CC is '\"'"),
        ("", "no C compiler was found: CC is ''"),
        ("  ", "no C compiler was found: CC is '  '"),
        ("/no/such/compiler", "no C compiler was found (/no/such/compiler); `pip install ziglang` installs one"),
        ("/", "the C compiler (/) cannot be run: Permission denied"),
        ("false", "the C compiler (false) fails: status 1"),
    ],
)
def test_a_compiler_that_is_none(cache, monkeypatch, named, reason):
    monkeypatch.setenv("CC", named)
    start_again()
    assert built(DTYPE) == (None, reason)


@NEEDS_COMPILER
def test_a_compiler_with_spaces(cache, monkeypatch, tmp_path):
    folder = tmp_path / "with spaces"
    folder.mkdir()
    (folder / "cc").symlink_to(subprocess.check_output(["which", "cc"], text=True).strip())
    monkeypatch.setenv("CC", f"'{folder}/cc' -DEXTRA='1 2'")
    start_again()
    assert_works()


def test_a_compiler_without_openmp_says_so(cache, compiler):
    compiler("print('warning: x\\nfatal error: omp.h: No such file or directory', file=sys.stderr); sys.exit(1)")
    assert built(DTYPE).how.endswith("fails: fatal error: omp.h: No such file or directory")


@pytest.mark.parametrize(
    ("version", "number"),
    [
        ("cc (Debian 12.2.0-14+deb12u1) 12.2.0\nCopyright", "12.2"),
        ("Apple clang version 15.0.0 (clang-1500.3.9.4)", "15.0"),
        ("gcc (GCC) 13.2.1 20230801", "13.2"),
        ("", ""),
    ],
)
def test_numbers_of_versions(version, number):
    assert build.version_number(version) == number


@NEEDS_COMPILER
def test_an_included_library_needs_no_compiler(cache, monkeypatch, tmp_path):
    """As in a wheel: the best variant that this processor can run is loaded, if it is of these sources."""
    digest = build.digest_of(*build.sources())[:16]
    (tmp_path / "libraries").mkdir()
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "libraries")

    def include(variant: str, runs_here: int, digest: str = digest) -> None:
        source, path = tmp_path / "included.c", shipped.FOLDER / shipped.file_name(DTYPE, digest, variant)
        source.write_text(SOURCE + f"int runs_here(void) {{ return {runs_here}; }}\n")
        subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(path)], check=True)

    include("x86_64_v3", 1)
    include("x86_64_v4", 0)
    include("x86_64_v5", 1, "0" * 16)
    (shipped.FOLDER / shipped.file_name(DTYPE, digest, "arm64")).write_bytes(b"not for this system")
    monkeypatch.setenv("CC", "false")
    start_again()
    assert_works()
    assert built(DTYPE).how == "included library for x86_64_v3"
    assert not cache.exists()


def test_ziglang_compiles_where_there_is_no_cc(cache, monkeypatch):
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    monkeypatch.setattr(build, "find_spec", lambda name: name == "ziglang")
    assert build.chosen_compiler() == ("ziglang", [sys.executable, "-m", "ziglang", "cc"])
    monkeypatch.setenv("CC", "gcc -O2")
    assert build.chosen_compiler() == ("gcc -O2", ["gcc", "-O2"])
