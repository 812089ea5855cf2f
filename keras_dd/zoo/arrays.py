"""Weights as a plain .npz: one array a weight, by its path in the model, never pickled, not compressed.

Half precision halves the file; compressing would win a few per cent of it, and let a small file ask for a large memory.
"""

import io
import math
import textwrap
import zipfile

import numpy as np
from numpy.lib import format as npy

from keras_dd.config import UserError

MEMBER = ".npy"


def pack(arrays, dtype):
    """The bytes of an .npz of {path: array}, in their order, as `dtype`; the same arrays give the same bytes.

    Numbers that are too large for `dtype` become infinite.
    """
    buffer = io.BytesIO()
    with np.errstate(over="ignore"):
        np.savez(buffer, **{path: np.asarray(array, dtype) for path, array in arrays.items()})
    return buffer.getvalue()


def unpack(content, dtype, where):
    """{path: float32 array} in an .npz that `pack` made.

    Args:
        content: its bytes.
        dtype: "float16" or "float32", as its card says.
        where: what the file is called in errors.

    Raises:
        UserError: anything but plain arrays of that type, each as long as its header says.
    """
    found = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(info.file_size for info in archive.infolist()) > len(content):
                raise ValueError("arrays that share their bytes")  # so that a small file asks for a large memory
            for info in archive.infolist():
                with archive.open(info) as file:
                    found[info.filename.removesuffix(MEMBER)] = _array(file, info, np.dtype(dtype))
    except UserError:
        raise
    except Exception as error:  # zip and numpy raise what they like at a broken file
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 120, placeholder="...")
        raise UserError(f"{where} is no sound .npz ({reason}): get it again from where it came") from error
    return found


def _array(file, info, dtype):
    """The array in a member of the archive.  Memory is asked for by what is there, not by what a header says."""
    if info.compress_type != zipfile.ZIP_STORED or npy.read_magic(file) != (1, 0):
        raise ValueError(f"{info.filename} is compressed, or of another format")
    shape, is_fortran, stored = npy.read_array_header_1_0(file)
    numbers = file.read()
    if is_fortran or stored != dtype or len(numbers) != dtype.itemsize * math.prod(shape):
        raise ValueError(f"{info.filename} is {stored} {shape} in {len(numbers)} bytes, not all {dtype}")
    return np.frombuffer(numbers, dtype).reshape(shape).astype(np.float32)
