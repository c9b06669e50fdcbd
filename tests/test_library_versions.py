"""The oldest and the newest versions of the libraries that setup.cfg allows repeat the recorded runs."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import venv

import pytest
from conftest import RECORDINGS, ROOT


def oldest() -> list[str]:
    """Return the requirements of the package with the oldest version of each, such as h5py==3.10.*."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    found = re.findall(r"(\w+)>=([\d.]+)", setup["options"]["install_requires"])
    return [f"{name}=={version}.*" for name, version in found]


def test_the_oldest_versions_are_read_from_setup_cfg():
    assert [each.partition("==")[0] for each in oldest()] == ["torch", "numpy", "h5py", "click"]


def newest() -> list[str]:
    """Return the requirements of the package, such as torch>=2.4,<3, of which pip chooses the newest versions."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup["options"]["install_requires"].split()


@pytest.mark.long
@pytest.mark.parametrize("versions", [oldest, newest])
def test_verify(versions, tmp_path):
    """Downloads gigabytes. Everything that is promised holds, and several processes train and end."""
    if versions is oldest and sys.version_info[:2] > (3, 12):
        pytest.skip("the oldest libraries have no wheels for this Python")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", *versions()], check=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [python, "-m", "charrnn_port", "verify"], capture_output=True, text=True, check=False, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^(\d+) of \1 promises hold", ended.stdout, re.MULTILINE)

    data = shutil.copytree(RECORDINGS / "play", tmp_path / "play")
    small = "-gpuid -1 -rnn_size 8 -batch_size 4 -max_epochs 0.02".split()
    several = ["-m", "torch.distributed.run", "--nproc_per_node", "4", ROOT / "train.py", "-data_dir", data, *small]
    ended = subprocess.run(
        [python, *several], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert "saving checkpoint to cv/" in ended.stdout
