"""Files that are whole or refused: written beside, flushed and renamed; sealed with a digest of what they hold.

The idea that holds this file together: nothing half-written is ever found under a name, nothing is ever unpickled, and
text is UTF-8 whatever the machine's habit.
"""

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path

from .errors import ColdlabError

WEIGHTS = Path(__file__).parent / "weights"


def write(path, content):
    """Write bytes to `path` so that the file is there whole or not at all: beside it, flushed, then renamed.

    A file that is replaced keeps its permissions. Raises ColdlabError where it cannot be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, beside)
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise ColdlabError(f"{path} could not be written ({error.strerror}); what was there is unchanged.") from None


def write_text(path, text):
    """Write text as UTF-8, whole or not at all, with line ends as they are.

    A file's name may hold bytes that are no text; of those `\\udcff` stays, which JSON reads back as what it was.
    """
    write(path, text.encode("utf-8", errors="backslashreplace"))


def write_json(path, content):
    """Write plain values as JSON, readable and in UTF-8."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read(path):
    """The bytes of a file; raises ColdlabError where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ColdlabError(f"{path} could not be read ({error.strerror}).") from None


def refused(path, error):
    """The ColdlabError for a file whose content is not what it should be."""
    reason = " ".join(str(error).split())
    if isinstance(error, KeyError):
        reason = f"it has no {reason}"
    if reason.startswith("unknown degradation"):  # one of somebody's own, that nobody has imported yet
        return ColdlabError(f"{path}: {reason}")
    return ColdlabError(f"{path} was refused, it is no coldlab file: {reason[:200] or type(error).__name__}")


def sealed(tensors, metadata):
    """The bytes of a safetensors file with metadata and a digest of all."""
    from safetensors.torch import save

    return sorted_header(save(tensors, metadata | {"sha256": digest(tensors, metadata)}))


def unsealed(content):
    """(tensors, metadata) of bytes that `sealed` made; raises ValueError, or what safetensors raises, for others."""
    from safetensors.torch import load

    tensors = load(content)
    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    if metadata.pop("sha256") != digest(tensors, metadata):
        raise ValueError("it is damaged, its contents do not match their SHA-256")
    return tensors, metadata


def sorted_header(content):
    """The same safetensors file with its header in one fixed order, so that equal weights make equal files."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def digest(tensors, metadata):
    """SHA-256 over the metadata and over names, shapes and bytes of the tensors, in the order of the names."""
    total = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        total.update(f"{name}{tuple(tensors[name].shape)}".encode())
        total.update(tensors[name].contiguous().numpy().tobytes())
    return total.hexdigest()
