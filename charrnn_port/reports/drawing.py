"""Makes figures with matplotlib without a window: no backend of a screen is needed."""

import os
from io import BytesIO
from typing import TYPE_CHECKING, Any

from charrnn_port.util.errors import UserError, how_to_install

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def require_matplotlib(what: str) -> None:
    """Import matplotlib. Raises UserError, which says that `what` needs it, if it is missing.

    Hides MPLBACKEND meanwhile: it may name the backend of a notebook, which matplotlib refuses where the notebook's
    packages are not installed.
    """
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError(f"{what} needs matplotlib: {how_to_install('watch')}") from error
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


def as_file(figure: "Figure", kind: str, **more: Any) -> bytes:
    """Return the content of a figure's file of a kind, png, svg or pdf; `more` are arguments of savefig.

    In memory, because matplotlib may raise any exception while it handles the one of a full disk.
    """
    out = BytesIO()
    figure.savefig(out, format=kind, **more)
    return out.getvalue()
