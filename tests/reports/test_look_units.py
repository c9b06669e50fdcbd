"""Tests that units with a known function are found, and that random networks have no findings."""

import numpy as np
import pytest
import torch
from conftest import RECORDINGS

import charrnn_port
from charrnn_port.model.char_rnn import CELLS, CharRNN
from charrnn_port.reports.look.properties import all_of, characters_at, properties
from charrnn_port.reports.look.recording import batched_states, record, shuffled
from charrnn_port.reports.look.units import as_figure, as_z, average_ranks, search, the_best
from charrnn_port.training import recorders

PLAY = (RECORDINGS / "play/input.txt").read_bytes()


def random_network(model: str, vocab_size: int, seed: int, size: int = 32, scale: float = 0.3) -> CharRNN:
    network = CharRNN(model, vocab_size, size, 2, dtype=torch.float32)
    with torch.no_grad():
        network.params.uniform_(-scale, scale, generator=torch.Generator().manual_seed(seed))
    return network


def found_in(network: CharRNN, text: bytes):
    symbols = sorted(set(text))
    recording = record(network, [symbols.index(byte) for byte in text])
    return recording, search(network, recording, properties(characters_at(text))[0])


# Properties of a text


def marked(name: str, text: str) -> str:
    """Return the characters that have a property, with dots for the others."""
    values = all_of(list(text))[name]
    return "".join(character if value else "." for character, value in zip(text, values, strict=True))


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("inside quotes", 'a "bc" d', '.."bc...'),
        ("inside quotes", "so «был» “a” „x“", "...«был..“a..„x."),
        ("inside quotes", '"lost\n\nb "c" d', '........."c...'),
        ("inside brackets", "f(a[1], {b}) :(", ".(a[1], {b}...."),
        ("inside brackets", "a) (b] 「c」 （d）", "...........（d."),
        ("upper case", "Ab Éc Ж1", "A..É..Ж."),
        ("digit", "a1 ٣b", ".1.٣."),
        ("vowel", "Ábjo их ώβ", "Á..o.и..ώ."),
        ("inside a word", "it's a_1, да", "it.s.a_1..да"),
        ("line end ahead", "ab\ncd\n", ".b..d."),
        ("in a line that ends in a colon", "A:\nb\nC d: ", "A:..\nC d: "),
    ],
)
def test_yes_or_no(name, text, found):
    assert marked(name, text) == found


def test_numbers():
    """The newline that begins a line has position 0 in it."""
    values = all_of(list("ab\n  def g\n\nh"))
    assert values["position in the line"] == [1, 2, 0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 1]
    assert values["characters to the line's end"] == [1, 0, 7, 6, 5, 4, 3, 2, 1, 0, 0, 1, 0]
    assert values["indentation of the line"] == [0, 0, *[2] * 8, 0, 0, 0]
    assert values["position in the word"] == [1, 2, 0, 0, 0, 1, 2, 3, 0, 1, 0, 0, 1]


def test_bytes_of_a_character():
    """Each byte has the character that it is a part of, if any."""
    assert characters_at("né".encode() + b"\xff") == ["n", "é", "é", "\udcff"]
    assert characters_at("né") == ["n", "é"]


def test_properties_that_are_too_rare():
    """Nineteen digits in one half are too few; twenty are enough."""
    text = "a 1\n" * 20
    usable, rare = properties(list(text + text))
    assert "digit" in {each.name for each in usable}
    usable, rare = properties(list(text + text[:-4] + "a b\n"))
    assert "digit" in rare


# Scores


def test_ranks_of_equal_values():
    assert average_ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1, 3.5, 2]


@pytest.mark.parametrize(("kind", "figure"), [("AUC", 0.9), ("R²", 0.3), ("AUC", 0.5), ("R²", 0)])
def test_scales(kind, figure):
    assert as_figure(as_z(figure, kind), kind) == pytest.approx(figure, abs=1e-12)


def test_scores_follow_their_definitions():
    """The AUC is the share of pairs, one with the property and one without, that the unit orders correctly. R² is that
    of NumPy's straight line through the first half.
    """
    text = PLAY[:800]
    recording, found = found_in(random_network("gru", len(set(text)), 3), text)
    second = {each.name: each.values[400:] for each in properties(characters_at(text))[0]}
    first = {each.name: each.values[:400] for each in properties(characters_at(text))[0]}
    states = [layer["h"].astype(np.float64) for layer in recording.layers]
    for name, best in found.best.items():
        figures = []
        for unit in np.concatenate(states, 1).T:
            if found.chances[name][0] == "AUC":
                yes, no = unit[400:][second[name]], unit[400:][~second[name]]
                above = np.mean(np.sign(yes[:, None] - no[None]) / 2 + 0.5)
                rises = unit[:400][first[name]].mean() > unit[:400][~first[name]].mean()
                figures.append(above if rises else 1 - above)
            else:
                line = np.polynomial.Polynomial.fit(unit[:400], first[name], 1)
                figures.append(1 - np.mean((second[name] - line(unit[400:])) ** 2) / second[name].var())
        assert best == pytest.approx(max(max(figures), 0.5 if found.chances[name][0] == "AUC" else 0), abs=1e-9), name


# Networks with random or shuffled weights


def test_shuffled_networks_have_the_same_weights():
    """The weights of each gate are in another order; the decoder is not needed for states."""
    network = random_network("lstm", 9, 1)
    other = shuffled(network, 5)
    for layer, its_layer in zip(network.layers, other.layers, strict=True):
        for name, parameter in layer.items():
            for gate, its_gate in zip(parameter.split(32), its_layer[name].split(32), strict=True):
                assert torch.equal(gate.flatten().sort().values, its_gate.flatten().sort().values)
                assert not torch.equal(gate, its_gate)


@pytest.mark.parametrize("model", list(CELLS))
def test_parallel_rows_have_the_states_of_the_text(model):
    """With the warm-up, the states are those of the whole text, to 1e-4, for a network with a short memory."""
    text = PLAY[:1900]
    symbols = sorted(set(text))
    ids = [symbols.index(byte) for byte in text]
    network = random_network(model, len(symbols), 2, scale=0.1)
    recording = record(network, ids)
    states = list(batched_states(network, ids))
    expected = [layer[name] for layer in recording.layers for name in network.cell.STATE]
    for state, whole in zip(states, expected, strict=True):
        assert np.abs(state[:400] - whole[:400]).max() < 1e-6
        assert np.abs(state - whole).max() < 1e-4


@pytest.mark.parametrize("model", ["lstm", *(pytest.param(model, marks=pytest.mark.long) for model in ("gru", "rnn"))])
def test_random_weights_have_no_finding_above_chance(model):
    """Though the best units have an AUC above 0.8, since they depend on the last character."""
    found = found_in(random_network(model, len(set(PLAY)), 0), PLAY[:2000])[1]
    assert found.findings == []
    assert max(figure for name, figure in found.best.items() if found.chances[name][0] == "AUC") > 0.8


# Networks with a unit whose function is known


def counter(vocab_size: int, newline: int) -> CharRNN:
    """Return a random network whose unit 5 of layer 1 counts the characters of a line: c is the count / 1000."""
    network = random_network("lstm", vocab_size, 8)
    size, unit = network.rnn_size, 5
    layer = network.layers[0]
    with torch.no_grad():
        for gate in range(4):
            place = gate * size + unit
            for name, parameter in layer.items():
                parameter[place] = 0
                if name == "i2h_bias":
                    parameter[place] = [40, 40, 0, np.arctanh(0.001)][gate]  # in, forget, out, transform
            if gate < 2:  # a newline closes the input and forget gates, which sets c to 0
                layer["i2h_weight"][place, newline] = -80
    return network


@pytest.mark.long
def test_a_unit_that_counts_is_found():
    """It is the only unit found, and its first finding is the position in the line with R² 1."""
    text = PLAY[:4000]
    network = counter(len(set(text)), sorted(set(text)).index(ord("\n")))
    recording, found = found_in(network, text)
    position = np.array(all_of(characters_at(text))["position in the line"])
    after = slice(text.index(b"\n"), None)
    assert np.abs(recording.layers[0]["c"][after, 5] - position[after] / 1000).max() < 1e-6
    first = found.findings[0]
    assert (first.layer, first.unit, first.part, first.property) == (1, 5, "c", "position in the line")
    assert first.figure == pytest.approx(1, abs=1e-4)
    assert first.rises
    assert first.chance < 0.5
    assert the_best(found.findings)[0] == first
    assert {(each.layer, each.unit) for each in found.findings} == {(1, 5)}


def quoted_text(count: int) -> bytes:
    """Return words of random letters, in alphabetical order outside quotes and in reverse order inside.

    The letters are equally frequent in both, so that no single character reveals whether it is inside quotes.
    """
    random, parts, inside = np.random.RandomState(4), [], False
    while sum(map(len, parts)) < count:
        for _ in range(random.randint(2, 5)):
            word = sorted(random.choice(list("abcdef"), 3, replace=False), reverse=inside)
            parts.append("".join(word) + " ")
        parts.append('"')
        inside = not inside
    return "".join(parts)[:count].encode()


@pytest.mark.long
def test_a_network_that_must_know_quotes_has_a_unit_for_them(tmp_path):
    """Predicting the letters requires it; the unit predicts quotes in a text that it was not trained on."""
    text = quoted_text(30_000)
    (tmp_path / "input.txt").write_bytes(text)
    options = {"rnn_size": 16, "num_layers": 1, "batch_size": 20, "seq_length": 30, "max_epochs": 14, "gpuid": -1,
               "learning_rate": 0.02, "eval_val_every": 10_000, "dtype": "float32"}  # fmt: skip
    run = charrnn_port.train(data_dir=tmp_path, checkpoint_dir=tmp_path / "cv", **options)
    assert list(recorders.save_checkpoints(run))
    checkpoint = charrnn_port.load_checkpoint(tmp_path / "cv")
    unseen = quoted_text(34_000)[30_000:]
    recording = record(checkpoint.build("plain", torch.float32), checkpoint.vocab.encode(unseen))
    found = search(checkpoint.build("plain", torch.float32), recording, properties(characters_at(unseen))[0])
    (kind, chance), best = found.chances["inside quotes"], found.best["inside quotes"]
    assert kind == "AUC"
    assert best > 0.85 > 0.8 > chance
    assert "inside quotes" in {each.property for each in the_best(found.findings)}
