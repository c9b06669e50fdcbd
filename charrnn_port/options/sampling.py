"""Defines the options of sample.py."""

from dataclasses import dataclass

from charrnn_port.options.fields import OptionError, Options, option, switch
from charrnn_port.options.shared import gpuid_option, model_argument, opencl_option, seed_option, unknown_option

# fmt: off


@dataclass(frozen=True)
class SampleOptions(Options):
    """The options of sample.py: the original's, then those of this port."""

    model: str = model_argument()
    seed: int = seed_option("Another seed samples another text.", "sampling")
    sample: int = switch(
        1, "0 to use max at each timestep, 1 to sample at each timestep", "sampling",
        "0 is greedy sampling: always the most likely character, which soon repeats itself.",
    )
    primetext: str = option(
        "", "used as a prompt to seed the state of the network before we sample", "sampling",
        "The text begins with it.",
    )
    length: int = option(
        2000, "number of characters to sample; 0 = without end", "sampling",
        "Does not count the prime text. With 0 the text ends at Ctrl-C, at -stop, or when its reader ends (| head).",
        minimum=0,
    )
    temperature: float = option(
        1.0, "lower = more likely text, higher = more varied text", "sampling",
        "1 samples the model's distribution; 0.5 is safer and repeats itself; values above 1 are more varied and less "
        "accurate.",
        above=0, instead="for the most likely character each time, use -sample 0",
    )
    verbose: int = switch(
        1, "set to 0 to ONLY print the sampled text, no diagnostics", "sampling",
        "Use 0 for pipes and files.",
    )
    gpuid: int = gpuid_option("On a GPU, sampling is in single precision. For small networks a CPU is as fast.")
    opencl: int = opencl_option()
    top_k: int = option(
        0, "sample from this many most likely characters only; 0 = all", "not in the original",
        "A smaller number makes fewer mistakes and less varied text; 1 is the same as -sample 0.",
        minimum=0,
    )
    top_p: float = option(
        1.0, "nucleus sampling: the fewest characters with this total probability; 1 = all", "not in the original",
        "Keeps few characters where the network is certain and many where it is not: 0.9 drops the unlikely tail.",
        above=0, maximum=1,
    )
    min_p: float = option(
        0.0, "drop characters below this times the highest probability; 0 = none", "not in the original",
        "0.05 drops mistakes, and lets text with a -temperature above 1 stay coherent.",
        minimum=0, maximum=1,
    )
    beam: int = option(
        0, "beam search for the most likely text, with this many candidates; 0 = sample", "not in the original",
        "Nothing is random then. 1 is the same as -sample 0. More find a more likely text, which repeats itself; time "
        "grows in proportion.",
        minimum=0,
    )
    primefile: str = option(
        "", "read the prime text from this file; - = stdin", "not in the original",
        "All bytes count, including a newline at the end.",
    )
    unknown: str = unknown_option("Applies to the prime text.", group="not in the original")
    stop: str = option(
        "", "stop sequence: end before this text, which is not printed", "not in the original",
        "The text ends there or at -length, whichever comes first.",
    )
    ban: str = option(
        "", r"never sample these characters; \n, \t and \x41 are escapes", "not in the original",
        "Applies before the temperature and the filters. Characters that are not in the vocabulary are ignored.",
    )
    only: str = option(
        "", "sample only these characters; escapes as in -ban", "not in the original",
        "For a text in a smaller alphabet, such as digits or lower case.",
    )
    bias: str = option(
        "", r"add to the log-probability of characters: e=-2,\n=1", "not in the original",
        "0.7 doubles how likely a character is, -2.3 makes it a tenth; all characters before = get the number.",
    )
    clamp: str = option(
        "", "fix outputs of units, by layer (from 1) and unit (from 0): 2:131=0.9,1:5=0", "not in the original",
        "Shows what a unit does, or with 0 what the network does without it (ablation). An output is between -1 and 1.",
    )
    n: int = option(
        1, "number of texts, with the seeds -seed, -seed + 1, ...", "not in the original",
        "Each text is the same as that of a run with its seed.",
        minimum=1,
    )
    output: str = option(
        "", "write the text to this file instead of stdout, -; {seed} is replaced by the seed", "not in the original",
        "The write is atomic: the file is complete or absent. With {seed} each of -n texts has its own file.",
    )
    interactive: int = switch(
        0, "1 = read prime texts from stdin in a loop, with the network loaded once", "not in the original",
        "Each line begins a text; /help lists the commands. From a pipe, each line is answered as it arrives.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        endless = self.length == 0 and not self.stop
        for wrong, why in (
            (self.primetext and self.primefile, "-primetext and -primefile are both given: leave one out"),
            (endless and self.output, "-length 0: a text without end never completes a file: give -length, or -stop"),
            (endless and self.n > 1, "-length 0: no second text can follow one without end: give -length, or -stop"),
            (self.beam and self.length == 0, "-length 0: -beam needs the length of the text: give -length"),
            (self.beam and (self.ban or self.only or self.bias), "-beam cannot be combined with -ban, -only or -bias"),
            (self.n > 1 and (self.beam or self.sample == 0), "-n: all texts would be the same without sampling"),
            (
                self.interactive and (self.primetext or self.primefile or self.output or self.beam or self.n > 1),
                "-interactive cannot be combined with -primetext, -primefile, -output, -n or -beam: leave them out",
            ),
        ):
            if wrong:
                raise OptionError(why)
