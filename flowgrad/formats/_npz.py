"""Read NumPy's archives (`.npz`): arrays by name, no pickles, memory bounded in terms of the file's size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import FileError
from flowgrad.format import Claim


def arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read every array of an archive.

    Raises:
        FileError: missing, damaged, no archive, one of Python objects, or one that claims too much memory.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            held = sum(member.file_size for member in archive.zip.infolist())
            claim = Claim(path, remedy="write it by np.savez, which does not compress")
            claim.add(2 * held, str(path), f"{held:,} bytes of arrays, decompressed,")
            return {name: archive[name] for name in archive.files}
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot read {path}: {(error.strerror or 'it is no .npz archive').lower()}") from None
    except Exception as error:  # zipfile and NumPy raise many kinds for a damaged archive
        raise FileError(f"{path} is no readable .npz archive: {error}") from None
