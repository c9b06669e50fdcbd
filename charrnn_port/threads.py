"""Sets the spin-wait of OpenMP's threads: they spin briefly, then sleep.

PyTorch and the compiled cells share one pool of OpenMP threads. At the end of each parallel region a thread waits for
the slowest one, and then for the next region. By default GCC's OpenMP spins for milliseconds. This is fastest on an
idle machine. On a busy one, a spinning thread takes CPU time from the thread that it waits for. Sleeping at once is
slower on an idle machine, because a wake-up takes longer than most waits. Measured with an lstm of 128x2, on two cores
of an AMD EPYC (Zen 4):

    ms an iteration, float32 | float64    alone          beside 2 busy processes    each of two trainings at once
    default                               23.1 |  50.3   178 | 199                  177 | 172
    spins 10000 times, then sleeps        22.4 |  49.4    53 | 104                   65 | 114
    spins 3000 times                      23.4 |  50.5    56 | 111                   49 |  98
    spins 1000 times                      24.0 |  51.6    58 | 115                   48 |  95
    sleeps at once                        26.3 |  53.5    56 | 120                   45 |  90

With all matrix products in C, which wait less, on another day on the same machine:

    spins 1500 times                      24.7 |  47.5    56 | 104                   46 |  90

`charrnn benchmark -load 2` repeats this measurement. PyTorch may bring its own copy of GCC's library under another
name. There is still a single pool: PyTorch loads its copy with global symbols, which the cells' calls use too.
"""

import os

# Variable: its value, and other variables which, if the user has set one of them, prevent setting it.
SETTINGS = {
    "GOMP_SPINCOUNT": ("1500", ["OMP_WAIT_POLICY"]),  # GCC's library: number of spins before it sleeps
    "KMP_BLOCKTIME": ("1", ["OMP_WAIT_POLICY", "KMP_LIBRARY"]),  # LLVM's and Intel's libraries: 1 ms instead of 200 ms
}


def wait_briefly() -> None:
    """Set the variables. Call it before importing torch, whose OpenMP library reads the environment only once."""
    for name, (value, others) in SETTINGS.items():
        if not any(each in os.environ for each in [name, *others]):
            os.environ[name] = value
