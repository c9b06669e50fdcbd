"""How threads wait for each other: awake for a moment, then asleep.

OpenMP's threads, PyTorch's and the cells' in C, wait for the slowest at the end of each piece of work, and for the next
piece. Left to itself GCC's library keeps them awake for milliseconds. That is the fastest where nobody else wants their
core; but where somebody does, a thread that waits takes the time from the very one it waits for, and an iteration takes
ten times as long. Asleep at once, they take a tenth longer alone, since waking up takes longer than most waits.
"""

import os

# What is set, unless the user has set any of the others beside it.
SETTINGS = {
    "GOMP_SPINCOUNT": ("3000", ["OMP_WAIT_POLICY"]),  # GCC's library: looks at the clock's rate, some 50 to 100 µs
    "KMP_BLOCKTIME": ("1", ["OMP_WAIT_POLICY", "KMP_LIBRARY"]),  # LLVM's and Intel's: 1 ms, in place of 200
}


def wait_briefly() -> None:
    """To be called before torch is imported: its library reads the environment once. Later it does nothing."""
    for name, (value, others) in SETTINGS.items():
        if not any(each in os.environ for each in [name, *others]):
            os.environ[name] = value
