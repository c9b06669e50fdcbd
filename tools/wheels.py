"""Build a wheel for each system, with the compiled cells inside, so that its users need no compiler.

    pip install ziglang wheel
    python tools/wheels.py dist            # all systems
    python tools/wheels.py dist win_amd64  # one of them

ziglang compiles for all systems on any of them. Each wheel is tagged py3-none-PLATFORM, since the libraries do not use
Python's C interface. On x86-64 it has libraries for processors with AVX-512 and with AVX2; model/shipped.py chooses.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from charrnn_port.model import build, shipped

ROOT = Path(__file__).parent.parent
X86 = {"x86_64_v3": ["-mcpu=x86_64_v3"], "x86_64_v4": ["-mcpu=x86_64_v4", "-mprefer-vector-width=512"]}
ARM = {"arm64": []}
# The platform of a wheel: ziglang's target, and for each variant of the library its flags.
PLATFORMS = {
    "manylinux_2_17_x86_64": ("x86_64-linux-gnu.2.17", X86),
    "manylinux_2_17_aarch64": ("aarch64-linux-gnu.2.17", ARM),
    "macosx_11_0_x86_64": ("x86_64-macos.11.0", X86),
    "macosx_11_0_arm64": ("aarch64-macos.11.0", ARM),
    "win_amd64": ("x86_64-windows-gnu", X86),
    "win_arm64": ("aarch64-windows-gnu", ARM),
}


def compile_for(platform: str, folder: Path) -> None:
    """Compile all libraries of a platform into a folder."""
    target, variants = PLATFORMS[platform]
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-s"]
    files = [*map(str, sorted(build.FOLDER.glob("*.c"))), "-lm"]
    digest = build.digest_of(*build.sources())[:16]
    folder.mkdir(exist_ok=True)
    for dtype, defines in build.DEFINES.items():
        for variant, flags in variants.items():
            result = folder / shipped.file_name(dtype, digest, variant)
            command = [*compiler, *build.FLAGS, *build.threads_flags("clang"), *flags, *defines, *files]
            subprocess.run([*command, "-o", str(result)], check=True)
    for path in folder.iterdir():  # for Windows also debug information and import libraries
        if path.suffix != ".so":
            path.unlink()


def run(*command: str) -> None:
    """Run a module of Python with arguments. Raises CalledProcessError if it fails."""
    subprocess.run([sys.executable, "-m", *command], check=True, stdout=sys.stderr)


def build_wheels(dist: Path, platforms: list[str]) -> None:
    """Build the wheel without libraries once, and from it one with libraries for each platform."""
    with tempfile.TemporaryDirectory() as temporary:
        run("pip", "wheel", "--no-deps", "--no-build-isolation", "-w", temporary, str(ROOT))
        (pure,) = Path(temporary).glob("*.whl")
        for platform in platforms:
            unpacked = Path(temporary, platform)
            run("wheel", "unpack", "-d", str(unpacked), str(pure))
            (content,) = unpacked.iterdir()
            compile_for(platform, content / "charrnn_port" / "model" / "libraries")
            run("wheel", "pack", "-d", str(unpacked), str(content))
            run("wheel", "tags", "--remove", "--platform-tag", platform, str(unpacked / pure.name))
            (wheel,) = unpacked.glob("*.whl")
            dist.mkdir(parents=True, exist_ok=True)
            print(shutil.move(wheel, dist / wheel.name))


if __name__ == "__main__":
    build_wheels(Path(sys.argv[1]), sys.argv[2:] or list(PLATFORMS))
