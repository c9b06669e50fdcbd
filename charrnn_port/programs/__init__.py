"""Contains train.py and sample.py, which are at the top of the repository, as modules for `charrnn`.

    train      train a network (train.py)
    sample     sample text from one (sample.py)

setup.py copies both files into this folder when the package is built. In a checkout they are imported from the top.
"""

import os

__all__ = ["sample", "train"]

if not os.path.exists(os.path.join(__path__[0], "train.py")):
    __path__.append(os.path.dirname(os.path.dirname(__path__[0])))
