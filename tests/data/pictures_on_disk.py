"""Folders and archives of small pictures for tests."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int = 0, width: int = 12, height: int = 10, mode: str = "RGB") -> Image.Image:
    """Random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, kind: str = "png", **options: object) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def write_folder(root: Path, files: Mapping[str, bytes]) -> Path:
    """Files by path below ``root``."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    """The same in an archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def classes_of(names: str = "cat dog", each: int = 10, prefix: str = "") -> dict[str, bytes]:
    """So many pictures of every class, all different."""
    return {
        f"{prefix}{name}/{i:02d}.png": encoded(picture(1000 * k + i + len(prefix) * 7))
        for k, name in enumerate(names.split())
        for i in range(each)
    }
