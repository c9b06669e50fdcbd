"""`charrnn export CHECKPOINT FOLDER/` writes a folder for the Hugging Face hub; its model card is correct."""

import importlib.util
import json
import math
from dataclasses import replace

import pytest
from click.testing import CliRunner
from conftest import RECORDINGS, assert_one_line_error, run_sample

import charrnn_port
from charrnn_port.__main__ import export
from charrnn_port.checkpoints import load_checkpoint, save_checkpoint

if not importlib.util.find_spec("safetensors"):
    pytest.skip("safetensors is not installed", allow_module_level=True)

LUA = RECORDINGS / "lua_checkpoints/lstm.t7"
FILES = ["README.md", "config.json", "model.safetensors", "page.html"]


def run_export(checkpoint, folder, *options):
    return CliRunner().invoke(export, [str(checkpoint), f"{folder}/", *options])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Export a network of the original to a new folder."""
    path = tmp_path_factory.mktemp("hub") / "new" / "old-play"
    result = run_export(LUA, path)
    assert result.exit_code == 0, result.output
    assert all(name in result.stderr for name in FILES)
    return path


def strict_json(text):
    def refuse(word):
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


def test_the_folder_is_a_checkpoint(folder):
    saved = load_checkpoint(LUA)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert charrnn_port.from_pretrained(folder).fingerprint == saved.fingerprint
    options = "-length 50 -gpuid -1 -verbose 0".split()
    assert run_sample(folder, *options).stdout == run_sample(LUA, *options).stdout


def test_config(folder):
    saved, config = load_checkpoint(LUA), strict_json((folder / "config.json").read_text())
    assert (config["model"], config["rnn_size"], config["num_layers"]) == ("lstm", 32, 2)
    assert (config["parameters"], config["fingerprint"]) == (saved.params.numel(), saved.fingerprint)
    assert config["vocab_size"] == len(config["vocab"]["symbols"]) == len(saved.vocab)
    assert config["opt"] == saved.opt


def test_the_page_is_the_exported_page(folder, tmp_path):
    CliRunner().invoke(export, [str(LUA), str(tmp_path / "page.html")])
    assert (folder / "page.html").read_bytes() == (tmp_path / "page.html").read_bytes()


def test_the_cards_header_leaves_the_license_to_the_author(folder):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    header = huggingface_hub.ModelCard.load(folder / "README.md").data.to_dict()
    assert header.pop("tags") == ["char-rnn", "character-level", "lstm", "pytorch"]
    assert header == {"library_name": "charrnn_port", "pipeline_tag": "text-generation"}


def test_the_card_has_the_losses_and_the_sample_of_its_command(folder):
    saved, text = load_checkpoint(LUA), (folder / "README.md").read_text()
    assert "# old-play\n" in text
    assert "| text | play |" in text
    bits = saved.val_loss / math.log(2)
    assert f"| validation loss | {saved.val_loss:.4f} nats per character ({bits:.4f} bits) |" in text
    assert saved.fingerprint in text
    sampled = run_sample(LUA, *"-length 500 -temperature 0.8 -gpuid -1 -verbose 0".split()).stdout.removesuffix("\n")
    assert "-length 500 -temperature 0.8 -gpuid -1`:\n\n" in text
    assert "\n".join(f"    {line}" for line in sampled.split("\n")) in text
    (options,) = [part.split("```")[0] for part in text.split("```json\n")[1:]]
    assert strict_json(options) == saved.opt


def test_a_card_that_exists_is_kept(tmp_path):
    (tmp_path / "README.md").write_text("license: mit")
    result = run_export(LUA, tmp_path)
    assert f"keeping {tmp_path / 'README.md'}" in result.stderr
    assert (tmp_path / "README.md").read_text() == "license: mit"
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


def test_unknown_losses_and_names_with_markdown(tmp_path):
    """A network that was stopped before its first evaluation, and options from a file, which may hold anything."""
    opt = load_checkpoint(LUA).opt | {"data_dir": "data/a|b`<img>\n# c"}
    strange = replace(load_checkpoint(LUA), opt=opt, val_losses={}, val_loss=math.nan, train_losses=[])
    save_checkpoint(strange, tmp_path / "strange.t7.pt")
    assert run_export(tmp_path / "strange.t7.pt", tmp_path / "out").exit_code == 0
    text = (tmp_path / "out/README.md").read_text()
    assert "| validation loss | unknown |" in text
    assert "| text | abimg\N{REPLACEMENT CHARACTER}# c |" in text
    assert strict_json((tmp_path / "out/config.json").read_text())["val_loss"] is None


def test_the_weights_of_the_page_can_be_smaller(tmp_path):
    assert run_export(LUA, tmp_path, "-weights", "float16").exit_code == 0
    assert '"precision": "float16"' in (tmp_path / "page.html").read_text()
    assert charrnn_port.from_pretrained(tmp_path).fingerprint == load_checkpoint(LUA).fingerprint


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    assert_one_line_error(run_export(LUA, tmp_path / "file"), 1, "cannot create")
