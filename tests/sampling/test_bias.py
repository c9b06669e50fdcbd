"""`-ban`, `-only` and `-bias` change how likely characters are."""

import numpy as np
import pytest
from conftest import RECORDINGS, assert_one_line_error, run_sample

from charrnn_port import load_checkpoint, sample_bytes
from charrnn_port.options import OptionError, SampleOptions
from charrnn_port.sampling import Model, bias_of, samplers
from charrnn_port.sampling.bias import unescape
from charrnn_port.torch7.random import Generator
from charrnn_port.util.errors import UserError
from charrnn_port.util.vocabulary import Vocabulary

LSTM = RECORDINGS / "lua_checkpoints/lstm.t7"
ABC = Vocabulary(b"abc\n")


def sampled(*arguments):
    quiet = ("-verbose", 0, "-gpuid", -1, "-length", 300)
    return run_sample(LSTM, *quiet, *arguments).stdout_bytes.removesuffix(b"\n")


def parsed(**options):
    return bias_of(SampleOptions("", **options), ABC)


def test_numbers_are_added():
    assert parsed() is None
    assert parsed(bias=r"a=-2,\n=1.5,bc=0.5").tolist() == [-2, 0.5, 0.5, 1.5]
    assert parsed(bias="a=1,a=2").tolist() == [3, 0, 0, 0]
    assert parsed(ban=r"a\n").tolist() == [-np.inf, 0, 0, -np.inf]
    assert parsed(only=r"b\x63").tolist() == [-np.inf, 0, 0, -np.inf]
    assert parsed(ban="b", only="bc", bias="c=1").tolist() == [-np.inf, -np.inf, 1, -np.inf]
    assert parsed(ban="xyz").tolist() == [0] * 4


def test_commas_and_equals_signs_are_escaped():
    vocabulary = Vocabulary(b",=")
    assert bias_of(SampleOptions("", bias=r"\x2c=1,\x3d=2"), vocabulary).tolist() == [1, 2]
    assert bias_of(SampleOptions("", bias="==2"), vocabulary).tolist() == [0, 2]


def test_characters_beyond_ascii():
    vocabulary = Vocabulary("aé文")
    assert bias_of(SampleOptions("", only="文é"), vocabulary).tolist() == [-np.inf, 0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bias": "a"}, "-bias: invalid value 'a': expected CHARACTERS=NUMBER, as in e=-2"),
        ({"bias": "a=x"}, "-bias: invalid value 'a=x'"),
        ({"bias": "=1"}, "-bias: invalid value '=1'"),
        ({"bias": "a=nan"}, "-bias: "),
        ({"bias": "x=1"}, "-bias has 'x' at position 0"),
        ({"ban": "abc\\n"}, "-ban and -only leave no character"),
        ({"only": "x"}, "-ban and -only leave no character"),
        ({"ban": "\\q"}, r"-ban: unknown escape '\\\\q'"),
        ({"ban": "a\\"}, "-ban: unknown escape"),
        ({"ban": "\\x4"}, "-ban: unknown escape"),
    ],
)
def test_errors(options, message):
    with pytest.raises(UserError, match=message):
        parsed(**options)


def test_not_with_beam_search():
    with pytest.raises(OptionError, match="-beam cannot be combined with -ban"):
        SampleOptions("", beam=2, ban="a")


def test_escapes():
    assert unescape(r"a\n\t\r\\\x00é", "-ban") == b"a\n\t\r\\\x00" + "é".encode()
    assert unescape("\udcff", "-ban") == b"\xff"


def test_the_bias_acts_before_temperature_and_filters():
    """A draw from biased scores is a draw from scores with the bias added."""
    scores, bias = np.log([0.1, 0.2, 0.3, 0.4]), np.array([2, -np.inf, 0, 0.0])
    for temperature in (0.5, 1.0):
        choose = samplers.biased(samplers.categorical(Generator(1), temperature), bias)
        plain = samplers.categorical(Generator(1), temperature)
        assert [choose(scores) for _ in range(50)] == [plain(scores + bias) for _ in range(50)]
    greedy = samplers.biased(samplers.greedy, np.array([2, 0, 0, -1.0]))
    assert greedy(scores) == 0


FILTERS = [(), ("-sample", 0), ("-top_k", 5), ("-top_p", 0.5), ("-min_p", 0.2), ("-temperature", 2)]


@pytest.mark.parametrize("more", FILTERS)
def test_what_is_banned_is_not_sampled(more):
    most_common = max(set(sampled(*more)), key=sampled(*more).count)
    assert most_common not in sampled(*more, "-ban", f"\\x{most_common:02x}")
    assert set(sampled(*more, "-only", r"abc \n")) <= set(b"abc \n")


def test_a_bias_changes_how_often():
    usual, more, less = (sampled(*some).count(b"\n") for some in ((), ("-bias", r"\n=2"), ("-bias", r"\n=-20")))
    assert less == 0 < usual < more


def test_several_texts_are_those_of_their_seeds():
    texts = sampled("-n", 2, "-seed", 5, "-ban", "e")
    assert texts == sampled("-seed", 5, "-ban", "e") + b"\n" + sampled("-seed", 6, "-ban", "e")


def test_from_python():
    text = b"".join(sample_bytes(load_checkpoint(LSTM), 300, ban="e"))
    assert text == sampled("-ban", "e")
    with pytest.raises(OptionError, match="-bias"):
        sample_bytes(Model.of(load_checkpoint(LSTM)), 5, bias="e")


def test_in_the_prompt():
    typed = b"/ban e\n/length 100\nO \n/ban \n/seed 123\nO \n"
    result = run_sample(LSTM, "-interactive", 1, "-verbose", 0, "-gpuid", -1, stdin=typed)
    banned, plain = result.stdout_bytes[:103], result.stdout_bytes[103:]
    assert b"e" not in banned
    assert b"e" in plain


def test_one_line():
    assert_one_line_error(run_sample(LSTM, "-ban", "\\q"), 1, "-ban: unknown escape")
