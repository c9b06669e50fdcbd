"""Downloads checkpoints from the Hugging Face hub: `hf:USER/REPO`, `hf:USER/REPO@REVISION`, `hf:USER/REPO/FILE`.

huggingface_hub does the work. Its cache, offline mode, access tokens and endpoint are set as for any other program that
uses it (HF_HOME, HF_HUB_OFFLINE, HF_TOKEN, HF_ENDPOINT). This module imports it only when a name is resolved.
"""

import os
import re
from pathlib import Path
from types import ModuleType

from charrnn_port.util.errors import UserError, how_to_install

PREFIX = "hf:"
# hf:// is how huggingface_hub itself writes such names. In a revision, %2F stands for a slash: refs%2Fpr%2F1.
NAME = re.compile(r"hf:(?://)?(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[^/]+))?(/(?P<file>.+))?")
ENDINGS = (".t7.pt", ".t7", ".safetensors")
PREFERRED = "model.safetensors"  # of several checkpoints, the one to load


def is_name(path: str | os.PathLike) -> bool:
    """Return whether a path is the name of a checkpoint on the hub."""
    return os.fsdecode(path).startswith(PREFIX)


def download(name: str | os.PathLike) -> str:
    """Return the path, in the cache of huggingface_hub, of the file that a name refers to.

    The name of a repository refers to its `model.safetensors`, or else to its only checkpoint. Raises UserError if
    huggingface_hub is not installed, there is no such file, several could be meant, or the hub cannot be reached and
    the file is not in the cache.
    """
    name = os.fsdecode(name)
    parts = NAME.fullmatch(name)
    if not parts:
        raise UserError(f"{name}: use hf:USER/REPO, hf:USER/REPO@REVISION or hf:USER/REPO/FILE for a file on the hub")
    library = huggingface_hub()
    repo, file = parts["repo"], parts["file"]
    revision = parts["revision"].replace("%2F", "/") if parts["revision"] else None
    try:
        file = file or only_checkpoint(name, files_of(repo, revision))
        return library.hf_hub_download(repo, file, revision=revision)
    except UserError:
        raise
    except Exception as error:  # versions of huggingface_hub use different HTTP libraries, each with its own errors
        raise UserError(f"{name}: {reason(error, repo, revision, file)}") from error


def huggingface_hub() -> ModuleType:
    """Return the module. Raises UserError if it is not installed."""
    try:
        import huggingface_hub.errors
    except ImportError:
        raise UserError(f"huggingface_hub is not installed: {how_to_install('hub')}") from None
    return huggingface_hub


def files_of(repo: str, revision: str | None) -> list[str]:
    """Return the files in a repository; if the hub cannot be reached, those of it in the cache."""
    library = huggingface_hub()
    try:
        return [each.rfilename for each in library.HfApi().model_info(repo, revision=revision).siblings]
    except library.errors.HfHubHTTPError:  # the hub was reached
        raise
    except Exception as error:
        try:
            folder = Path(library.snapshot_download(repo, revision=revision, local_files_only=True))
        except library.errors.LocalEntryNotFoundError:
            raise error from None
        return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def only_checkpoint(name: str, files: list[str]) -> str:
    """Return the checkpoint among the files of a repository. Raises UserError if there is none, or several."""
    if PREFERRED in files:
        return PREFERRED
    found = sorted(file for file in files if file.endswith(ENDINGS))
    if not found:
        raise UserError(f"{name} has no checkpoint: none of its files ends in {', '.join(ENDINGS)}")
    if len(found) > 1:
        raise UserError(f"{name} has {len(found)} checkpoints: add /FILE to the name, one of {', '.join(found)}")
    return found[0]


def reason(error: Exception, repo: str, revision: str | None, file: str | None) -> str:
    """Return in one line why a download failed, and what to do."""
    errors = huggingface_hub().errors
    if isinstance(error, errors.GatedRepoError):
        return "the repository is gated: request access on its web page, then log in with `hf auth login`"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the hub has no repository {repo}, or it is private: then log in with `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"the repository has no revision {revision}"
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return f"the repository has no file {file}"
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ else error
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    return f"cannot be downloaded, and is not in the cache: {lines[0]}"
