"""The version, in one place: setup.cfg, `charrnn --version` and checkpoints take it from here."""

__version__ = "0.2.0"
