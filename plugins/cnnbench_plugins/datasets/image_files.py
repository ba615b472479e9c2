"""Where image files lie (a folder, a zip archive) and how they become arrays."""

from __future__ import annotations

import hashlib
import stat
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Protocol, TypeVar, overload

import numpy as np

from cnnbench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["ImageSource", "LazyImages", "decode", "is_gray", "open_source"]

_T = TypeVar("_T")

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
"""What Pillow may take a file for; its other readers call programs or are rarely met."""
LARGEST_MEMBER_BYTES = 1 << 28
"""Largest file in an archive, unpacked; a real image of more than 256 MiB would not fit a study anyway."""
GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"})


class ImageSource(Protocol):
    """A tree of files; paths are relative, with forward slashes, and sorted."""

    path: Path
    files: tuple[PurePosixPath, ...]
    folders: tuple[PurePosixPath, ...]

    def open(self, file: PurePosixPath) -> IO[bytes]:
        """Open a file for reading."""
        ...

    def state(self) -> str:
        """Return a text that changes when the files change, without reading them."""
        ...

    def state_of(self, file: PurePosixPath) -> str:
        """Return a text that changes when one file changes, without reading it."""
        ...


def open_source(path: Path) -> ImageSource:
    """Return the tree of files below a folder or in a zip archive.

    Raises:
        DataError: There is nothing at that path, or nothing that can be read, or an archive that is not safe.
    """
    path = path.absolute()
    try:
        if path.is_dir():
            return _Folder(path)
        if path.exists():
            return _Archive(path)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is neither a folder nor a whole zip archive; download or pack it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
    raise DataError(f"there is no folder or zip archive {path}; correct the dataset's `path`.")


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        files, folders = [], []
        for folder in _walk(self.path):
            relative = PurePosixPath(folder.relative_to(self.path).as_posix())
            folders.append(relative)
            files += [relative / entry.name for entry in folder.iterdir() if entry.is_file()]
        self.files = tuple(sorted(filter(_wanted, files)))
        self.folders = tuple(sorted(filter(_wanted, folders)))

    def open(self, file: PurePosixPath) -> IO[bytes]:
        return (self.path / file).open("rb")

    def state(self) -> str:
        digest = hashlib.sha256(str(self.path).encode())
        for file in self.files:
            status = (self.path / file).stat()
            digest.update(f"\n{file}\0{status.st_size}\0{status.st_mtime_ns}".encode())
        return f"{len(self.files)} files, {digest.hexdigest()[:32]}"

    def state_of(self, file: PurePosixPath) -> str:
        status = (self.path / file).stat()
        return f"{self.path / file}, {status.st_size} bytes, {status.st_mtime_ns}"


def _walk(root: Path) -> Iterator[Path]:
    """Yield all folders, also linked ones, but none twice, for links may form a circle."""
    seen = {root.resolve()}
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        yield folder
        for entry in folder.iterdir():
            if entry.is_dir() and entry.resolve() not in seen:
                seen.add(entry.resolve())
                waiting.append(entry)


class _Archive:
    """A zip archive that is read in place: nothing is ever written to the disk.

    A pickled one is opened anew: processes that share an open file move its position for each other.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._zip = zipfile.ZipFile(self.path)
        files: set[PurePosixPath] = set()
        folders: set[PurePosixPath] = set()
        for member in self._zip.infolist():
            self._refuse_unsafe(member)
            name = PurePosixPath(member.filename)
            (folders if member.is_dir() else files).add(name)
            folders.update(name.parents)
        self.files = tuple(sorted(filter(_wanted, files)))
        self.folders = tuple(sorted(filter(_wanted, folders)))

    def _refuse_unsafe(self, member: zipfile.ZipInfo) -> None:
        name = member.filename
        unsafe = None
        if name.startswith("/") or "\\" in name or ":" in name.partition("/")[0] or ".." in PurePosixPath(name).parts:
            unsafe = "has a path that leads out of the archive"
        elif stat.S_ISLNK(member.external_attr >> 16):
            unsafe = "is a symbolic link"
        elif member.flag_bits & 1:
            unsafe = "is encrypted"
        elif member.file_size > LARGEST_MEMBER_BYTES:
            unsafe = f"would unpack to {member.file_size >> 20} MiB"
        if unsafe:
            raise DataError(f"{self.path}: the member `{name}` {unsafe}; pack plain image files in class folders.")

    def open(self, file: PurePosixPath) -> IO[bytes]:
        return self._zip.open(str(file))

    def state(self) -> str:
        status = self.path.stat()
        return f"{self.path}, {status.st_size} bytes, {status.st_mtime_ns}"

    def state_of(self, file: PurePosixPath) -> str:
        member = self._zip.getinfo(str(file))
        return f"{self.path}, {file}, {member.file_size} bytes, CRC-32 {member.CRC}"

    def __reduce__(self) -> tuple[type[_Archive], tuple[Path]]:
        return type(self), (self.path,)


def _wanted(path: PurePosixPath) -> bool:
    return bool(path.parts) and not any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


class LazyImages(Sequence["NDArray[np.uint8]"]):
    """Images that are decoded each time they are taken."""

    def __init__(self, source: ImageSource, files: list[PurePosixPath], channels: int) -> None:
        self._source = source
        self._files = files
        self._channels = channels

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> LazyImages: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | LazyImages:
        if isinstance(index, slice):
            return LazyImages(self._source, self._files[index], self._channels)
        return decode(self._source, self._files[index], self._channels)

    @property
    def states(self) -> list[str]:
        """A text for each image that changes when its file or its number of channels does."""
        return [f"{self._source.state_of(file)}, {self._channels} channels" for file in self._files]


def is_gray(source: ImageSource, file: PurePosixPath) -> bool:
    """Return whether a file holds one channel of gray, from its header alone."""
    return _read(source, file, lambda image: image.mode in GRAY_MODES)


def decode(source: ImageSource, file: PurePosixPath, channels: int) -> NDArray[np.uint8]:
    """Return an image as C x H x W.

    Cameras' orientation marks are obeyed. Transparency is laid on white. 16-bit gray is scaled from 0 to 65,535, not
    cut off. Palettes and CMYK become RGB, colour becomes gray by ITU-R 601-2 luma if one channel is asked for. Of
    several frames the first is taken.

    Raises:
        DataError: The file is damaged, is no image of a supported format, or is unreasonably large.
    """
    return _read(source, file, lambda image: _array(image, channels))


def _read(source: ImageSource, file: PurePosixPath, use: Callable[[Image.Image], _T]) -> _T:
    from PIL import Image

    try:
        with warnings.catch_warnings(), source.open(file) as stream:
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(stream, formats=FORMATS) as image:
                return use(image)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"{source.path}: `{file}` has too many pixels to be decoded safely; reduce it.") from error
    except Exception as error:
        raise DataError(f"{source.path}: `{file}` cannot be decoded ({error}); replace or remove it.") from error


def _array(image: Image.Image, channels: int) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        return _from_wide_gray(np.asarray(image), channels)
    if image.mode == "F":
        raise ValueError("floating-point gray has no known range")
    if image.has_transparency_data:
        gray = image.mode in GRAY_MODES
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA")).convert("L" if gray else "RGB")
    array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return np.ascontiguousarray(array[None] if channels == 1 else array.transpose(2, 0, 1))


def _from_wide_gray(values_HW: NDArray[np.int32] | NDArray[np.uint16], channels: int) -> NDArray[np.uint8]:
    if values_HW.min() < 0 or values_HW.max() > 65535:
        raise ValueError("32-bit gray has no known range")
    gray_HW = ((values_HW.astype(np.int64) + 128) // 257).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(gray_HW, (channels, *gray_HW.shape)))
