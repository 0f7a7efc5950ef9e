"""Where pictures lie: a folder, a .zip, or the binary files of CIFAR-10. Nothing is unpacked.

A store names what it holds by paths with slashes, ``train/cat/1.png``, and reads one at a time,
from several threads. What an archive says of itself is compared with what is there before
anything of it is read.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hqsearch.data.picture_files import MOST_BYTES, BrokenPicture, Decoded, Fit, decode
from hqsearch.data.samples import Problem, refuse_all
from hqsearch.errors import DataError
from hqsearch.sides import Size, sides

#: An archive that unpacks to more than this is refused if it also is that much larger than packed.
_SUSPICIOUS_BYTES = 64 << 20
_SUSPICIOUS_RATIO = 100
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class PictureStore(Protocol):
    """Pictures by name: of all files, sorted, and of the folders, those without a file included."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def folders(self) -> Sequence[str]: ...

    def origin(self, name: str) -> str:
        """What messages call it."""

    def stamp(self, name: str) -> str:
        """Text that changes when the file does, and costs no reading."""

    def content(self, name: str) -> bytes:
        """The whole file.

        Raises:
            BrokenPicture: it cannot be read.
        """

    def decode(self, name: str, size: Size, channels: int, fit: Fit) -> Decoded:
        """See :func:`hqsearch.data.picture_files.decode`."""


class FolderStore:
    """Every file below a folder; links to folders are followed on the first two levels alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._stamps: dict[str, str] = {}
        self.folders: list[str] = []
        self._walk("", 0)
        self.names = sorted(self._stamps)

    def _walk(self, inside: str, depth: int) -> None:
        try:
            entries = sorted(os.scandir(self.root / inside), key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(f"{self.root / inside}: cannot be read ({error.strerror}).") from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = f"{inside}{entry.name}"
            if entry.is_dir(follow_symlinks=depth < 2):
                self.folders.append(name)
                self._walk(f"{name}/", depth + 1)
                continue
            try:
                status = entry.stat()
            except OSError:
                self._stamps[name] = "unreadable"
                continue
            self._stamps[name] = f"{status.st_size} {status.st_mtime_ns}"

    def origin(self, name: str) -> str:
        return str(self.root / name)

    def stamp(self, name: str) -> str:
        return self._stamps[name]

    def content(self, name: str) -> bytes:
        try:
            status = (self.root / name).stat()
            if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
                raise BrokenPicture("is no regular file")
            if status.st_size > MOST_BYTES:
                raise BrokenPicture(_too_large(status.st_size))
            return (self.root / name).read_bytes()
        except OSError as error:
            raise BrokenPicture(f"cannot be read ({error.strerror})") from error

    def decode(self, name: str, size: Size, channels: int, fit: Fit) -> Decoded:
        return decode(self.content(name), size, channels, fit)


class ZipStore:
    """The files of a .zip.

    Raises:
        DataError: it is no archive, or members lead elsewhere or unpack to more than is believed;
            all such members are named.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise DataError(f"{path} does not exist.") from None
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise DataError(
                f"{path}: is no .zip archive, or is cut off ({error}). Copy it again."
            ) from error
        infos = self._archive.infolist()
        self._refuse(infos)
        self._infos = {
            info.filename: info
            for info in infos
            if not info.is_dir() and not _is_hidden(info.filename)
        }
        self.folders = [i.filename.rstrip("/") for i in infos if i.is_dir()]
        self.names = sorted(self._infos)

    def _refuse(self, infos: Sequence[zipfile.ZipInfo]) -> None:
        problems: list[Problem] = []
        seen = set()
        for info in infos:
            why = _why_not(info)
            if info.filename in seen:
                why = "occurs twice"
            seen.add(info.filename)
            if why:
                problems.append((f"{self.path}: {info.filename[:80]!r}", why))
        refuse_all(problems, "members")
        unpacked = sum(info.file_size for info in infos)
        packed = self.path.stat().st_size
        if unpacked > max(_SUSPICIOUS_BYTES, _SUSPICIOUS_RATIO * packed):
            raise DataError(
                f"{self.path}: its {packed:,} bytes announce {unpacked:,} unpacked ones, more than "
                f"{_SUSPICIOUS_RATIO} times as many. Unpack it yourself if you trust it, and name "
                "the folder."
            )

    def origin(self, name: str) -> str:
        return f"{self.path}/{name}"

    def stamp(self, name: str) -> str:
        info = self._infos[name]
        return f"{info.file_size} {info.CRC:08x}"

    def content(self, name: str) -> bytes:
        info = self._infos[name]
        try:
            return self._archive.read(info)
        except Exception as error:
            # zipfile and zlib raise whatever occurs to them on damaged archives.
            raise BrokenPicture(f"cannot be unpacked: {error}") from error

    def decode(self, name: str, size: Size, channels: int, fit: Fit) -> Decoded:
        return decode(self.content(name), size, channels, fit)


class CifarStore:
    """CIFAR-10 in its binary layout: 3,073 bytes a picture, its label, then red, green, blue.

    Args:
        root: the folder that holds ``data_batch_1.bin`` … and ``test_batch.bin``.

    Raises:
        DataError: files that are missing, cut off, or hold other labels; all are named.
    """

    _RECORD = 1 + 3 * 32 * 32
    _FILES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
    CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
               "truck")  # fmt: skip

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders: list[str] = []
        self._rows: dict[str, NDArray[np.uint8]] = {}
        self._places: dict[str, tuple[str, int]] = {}
        problems: list[Problem] = []
        for file in self._FILES:
            try:
                self._open(file)
            except BrokenPicture as error:
                problems.append((str(root / file), f"{error}. Get cifar-10-binary.tar.gz again."))
        refuse_all(problems, "files")
        self.names = sorted(self._places)

    @classmethod
    def is_in(cls, root: Path) -> bool:
        """Whether a folder holds a file of it."""
        return any((root / file).is_file() for file in cls._FILES)

    def _open(self, file: str) -> None:
        path = self.root / file
        if not path.is_file():
            raise BrokenPicture("is missing")
        size = path.stat().st_size
        if size == 0 or size % self._RECORD:
            raise BrokenPicture(f"is cut off: {size:,} bytes are no multiple of {self._RECORD:,}")
        rows = np.memmap(path, np.uint8, "r").reshape(-1, self._RECORD)
        if rows[:, 0].max() >= len(self.CLASSES):
            raise BrokenPicture(f"holds the label {rows[:, 0].max()}, so it is not CIFAR-10")
        self._rows[file] = rows
        split = "test" if file.startswith("test") else "train"
        for row, label in enumerate(rows[:, 0].tolist()):
            name = f"{split}/{self.CLASSES[label]}/{file[:-4]}-{row:05d}.png"
            self._places[name] = file, row

    def origin(self, name: str) -> str:
        file, row = self._places[name]
        return f"{self.root / file}, picture {row}"

    def stamp(self, name: str) -> str:
        return str(self._places[name])

    def content(self, name: str) -> bytes:
        file, row = self._places[name]
        return self._rows[file][row, 1:].tobytes()

    def decode(self, name: str, size: Size, channels: int, fit: Fit) -> Decoded:
        from PIL import Image

        file, row = self._places[name]
        pixels = np.array(self._rows[file][row, 1:]).reshape(3, 32, 32)
        height, width = sides(size)
        if channels == 1 or (height, width) != (32, 32):
            picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
            picture = picture.convert("RGB" if channels == 3 else "L")
            if (height, width) != (32, 32):
                picture = picture.resize((width, height), Image.Resampling.BICUBIC)
            pixels = np.atleast_3d(np.asarray(picture)).transpose(2, 0, 1)
        return Decoded(pixels)


def _why_not(info: zipfile.ZipInfo) -> str:
    """Why a member of an archive is not read; "" where it is."""
    parts = info.filename.replace("\\", "/").split("/")
    if info.filename.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        return "leads out of the archive"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.compress_type not in _PACKED:
        return "is packed in a way that is not read (stored or deflated is)"
    if info.file_size > MOST_BYTES:
        return _too_large(info.file_size)
    return ""


def _too_large(size: int) -> str:
    return f"has {size:,} bytes; at most {MOST_BYTES:,} are read"


def _is_hidden(name: str) -> bool:
    """What archivers of a Mac add, and dot files."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
