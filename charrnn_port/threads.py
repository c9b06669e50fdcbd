"""How threads wait for each other: awake for a moment, then asleep.

OpenMP's threads, PyTorch's and the cells' in C, wait for the slowest at the end of each piece of work, and for the next
piece. Left to itself GCC's library keeps them awake for milliseconds. That is the fastest where nobody else wants their
core; but where somebody does, a thread that waits takes the time from the very one it waits for. Asleep at once, they
are slower alone, since waking up takes longer than most waits. An lstm of 128x2, on two cores of an AMD EPYC (Zen 4):

    ms an iteration, float32 | float64    alone          beside 2 busy processes    each of two trainings at once
    left to itself                        23.1 |  50.3   178 | 199                  177 | 172
    looks 10000 times, then sleeps        22.4 |  49.4    53 | 104                   65 | 114
    looks 3000 times                      23.4 |  50.5    56 | 111                   49 |  98
    looks 1000 times                      24.0 |  51.6    58 | 115                   48 |  95
    asleep at once                        26.3 |  53.5    56 | 120                   45 |  90

With all products in C, which wait less, on another day of the same machine:

    looks 1500 times                      24.7 |  47.5    56 | 104                   46 |  90

`charrnn benchmark -load 2` measures the like. There is one pool of threads, though PyTorch may bring a copy of GCC's
library under a name of its own: PyTorch loads it for all to see, and so the cells' calls go there too.
"""

import os

# What is set, unless the user has set any of the others beside it.
SETTINGS = {
    "GOMP_SPINCOUNT": ("1500", ["OMP_WAIT_POLICY"]),  # GCC's library: looks so often, then sleeps
    "KMP_BLOCKTIME": ("1", ["OMP_WAIT_POLICY", "KMP_LIBRARY"]),  # LLVM's and Intel's: 1 ms, in place of 200
}


def wait_briefly() -> None:
    """To be called before torch is imported: its library reads the environment once. Later it does nothing."""
    for name, (value, others) in SETTINGS.items():
        if not any(each in os.environ for each in [name, *others]):
            os.environ[name] = value
