"""Units whose job is known are found, and nothing is found where there is nothing."""

import numpy as np
import pytest
import torch
from conftest import RECORDINGS

import charrnn_port
from charrnn_port.reports.look.properties import all_of, characters_at, properties
from charrnn_port.reports.look.recording import record, shuffled, states_side_by_side
from charrnn_port.reports.look.units import as_figure, as_z, average_ranks, search, the_best
from model.char_rnn import CELLS, CharRNN

PLAY = (RECORDINGS / "play/input.txt").read_bytes()


def random_network(model: str, vocab_size: int, seed: int, size: int = 12, scale: float = 0.3) -> CharRNN:
    network = CharRNN(model, vocab_size, size, 2, dtype=torch.float32)
    with torch.no_grad():
        network.params.uniform_(-scale, scale, generator=torch.Generator().manual_seed(seed))
    return network


def found_in(network: CharRNN, text: bytes):
    symbols = sorted(set(text))
    recording = record(network, [symbols.index(byte) for byte in text], progress=False)
    return recording, search(network, recording, properties(characters_at(text))[0])


# What a text tells


def marked(name: str, text: str) -> str:
    """The characters that have a property, the others as dots."""
    values = all_of(list(text))[name]
    return "".join(character if value else "." for character, value in zip(text, values, strict=True))


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("inside quotes", 'a "bc" d', '..."bc...'.replace("...", "..", 1)),
        ("inside quotes", "so «был» “a„ „x“", "...«был........„x.".replace("........", "......", 1)),
        ("inside quotes", '"open\n\nb "c" d', '.........."c...'.replace("..........", "........."[:9])),
        ("inside brackets", "f(a[1], {b}) :(", ".(a[1], {b}...."),
        ("inside brackets", "a) (b] 「c」", "..........."[:9] + ".."[:0]),
        ("upper case", "Ab Éc Ж", "A..É..Ж"[:1] + "..É..Ж"),
        ("vowel", "Ábjo их ώβ", "Á..o.и..ώ."),
        ("inside a word", "it's a_1, да", "it.s.a_1..да"),
        ("line end ahead", "ab\ncd\n", ".b..d."),
        ("in a line that ends in a colon", "A:\nb\nC d: ", "A:...\nC d: "),
    ],
)
def test_yes_or_no(name, text, found):
    assert marked(name, text) == found
