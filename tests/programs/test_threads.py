"""Tests that threads spin only briefly, unless the user set that, and that programs set it before torch is imported."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

NAMES = ["GOMP_SPINCOUNT", "KMP_BLOCKTIME"]
ALL = [*NAMES, "OMP_WAIT_POLICY", "KMP_LIBRARY"]
# Prints these two variables, and whether torch was imported before they were set.
PROGRAM = """
import os, sys
from charrnn_port.command_line import program
from charrnn_port.options import SampleOptions

@program(SampleOptions, example="")
def main(options):
    print(*(os.environ.get(name) for name in ("GOMP_SPINCOUNT", "KMP_BLOCKTIME")), "torch" in sys.modules)

main(["model"])
"""


def settings(**user: str) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ALL}
    environment |= {"PYTHONPATH": str(ROOT), **user}
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def test_programs_set_it_before_torch_comes():
    spins, milliseconds, torch_is_there = settings()
    assert 0 < int(spins) < 300_000  # below GCC's default
    assert 0 < int(milliseconds) < 200  # LLVM's default
    assert torch_is_there == "False"


@pytest.mark.parametrize("name", NAMES)
def test_what_the_user_has_set_stays(name):
    assert settings(**{name: "7"})[NAMES.index(name)] == "7"


@pytest.mark.parametrize("policy", ["active", "passive", "ACTIVE"])
def test_nor_is_the_users_policy_changed(policy):
    assert settings(OMP_WAIT_POLICY=policy)[:2] == ["None", "None"]
