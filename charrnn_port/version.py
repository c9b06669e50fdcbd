"""The version, in one place: setup.cfg, `charrnn --version` and checkpoints take it from here."""

__version__ = "1.0.0"
