"""Builds a package from a repository that is laid out as the original is. All other settings are in setup.cfg.

In the repository model/, util/, train.py and sample.py stand at the top. In a wheel they are in charrnn_port/, because
users have modules of these names. `pip install -e .` leaves all files where they are, and charrnn_port/__init__.py and
charrnn_port/programs/__init__.py find them there.
"""

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGES = {"charrnn_port.model": "model", "charrnn_port.util": "util"}
PROGRAMS = ("train", "sample")


class BuildPy(build_py):
    """Copies the package's files to where the wheel is made from, with those that stand at the top."""

    def finalize_options(self) -> None:
        """Add the packages whose folders are at the top."""
        super().finalize_options()
        if not self.editable_mode:
            self.packages = [*self.packages, *PACKAGES]
            self.package_dir |= PACKAGES

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """List a package's modules as (package, name, file)."""
        modules = super().find_package_modules(package, package_dir)
        if package == "charrnn_port.programs":
            modules += [(package, name, f"{name}.py") for name in PROGRAMS]
        return modules


setup(cmdclass={"build_py": BuildPy})
