"""One picture: opened without trusting it, made bytes of one size, and what was changed, told."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from hqsearch.sides import Size, sides

Fit = Literal["crop", "stretch", "pad"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_FORMATS = ("PNG", "JPEG", "WEBP")
#: A picture that announces more pixels is refused before it is decoded.
MOST_PIXELS = 50_000_000
#: A file of more bytes is refused before it is read.
MOST_BYTES = 64 << 20
_ORIENTATION = 0x0112


class BrokenPicture(ValueError):
    """A file that is no picture that can be used; the message says why."""


@dataclass(frozen=True)
class Decoded:
    """A picture as it is kept.

    Attributes:
        pixels: uint8 ``[C, H, W]``.
        changed: what was done to its colours, such as ``"palette"``; empty where nothing was.
    """

    pixels: NDArray[np.uint8]
    changed: str = ""


def open_picture(content: bytes) -> Image.Image:
    """The header of a PNG, JPEG or WebP; its pixels are not decoded yet.

    Raises:
        BrokenPicture: it is none of them, or announces more pixels than are read.
    """
    if not content:
        raise BrokenPicture("is empty")
    try:
        picture = Image.open(io.BytesIO(content), formats=_FORMATS)
    except UnidentifiedImageError:
        raise BrokenPicture("is no PNG, JPEG or WebP picture") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BrokenPicture(f"announces more than {MOST_PIXELS:,} pixels") from None
    except Exception as error:
        # What Pillow raises on damaged headers is whatever occurs to it.
        raise BrokenPicture(f"is damaged: {error}") from error
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise BrokenPicture(
            f"announces {width:,} x {height:,} pixels; at most {MOST_PIXELS:,} are read"
        )
    return picture


def decode(content: bytes, size: Size, channels: int, fit: Fit) -> Decoded:
    """A file's picture as ``[channels, height, width]`` bytes.

    Args:
        content: of the file.
        size: height and width in pixels.
        channels: 3 (red, green, blue) or 1 (grey).
        fit: how it gets that size; see ``[data] fit``.

    Raises:
        BrokenPicture: it cannot be decoded.
    """
    picture = open_picture(content)
    try:
        height, width = sides(size)
        if picture.format == "JPEG" and min(picture.size) >= 4 * max(height, width):
            # Decodes a fraction of the coefficients; twice the size is left to scale down from.
            picture.draft(None, (2 * width, 2 * height))
        picture, changed = _converted(picture, "RGB" if channels == 3 else "L")
        pixels = np.asarray(_fitted(picture, width, height, fit))
    except BrokenPicture:
        raise
    except Exception as error:
        raise BrokenPicture(f"is damaged or cut off: {error}") from error
    return Decoded(pixels.transpose(2, 0, 1) if channels == 3 else pixels[None], changed)


def _converted(picture: Image.Image, mode: str) -> tuple[Image.Image, str]:
    """The picture upright and in ``mode``, and what was changed for it."""
    changed = []
    if getattr(picture, "is_animated", False):
        changed.append("the first frame of an animation")
    if picture.mode not in (mode, "RGB"):
        changed.append(_NAMES.get(picture.mode, picture.mode))
    # Only where there is some: looking for it takes a quarter of a small picture's time.
    if "exif" in picture.info and picture.getexif().get(_ORIENTATION, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
        changed.append("turned upright as its EXIF says")
    if picture.mode.startswith("I"):  # 16 bit: Pillow's own conversion would clip
        wide = np.asarray(picture).astype(np.int64)
        picture = Image.fromarray(np.clip(wide // 257, 0, 255).astype(np.uint8))
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        laid = picture.convert("RGBA")
        if laid.getchannel("A").getextrema() != (255, 255):
            changed.append("transparent, laid on black")
        picture = Image.new("RGBA", laid.size, (0, 0, 0, 255))
        picture.alpha_composite(laid)
    if picture.mode != mode:
        picture = picture.convert(mode)
    return picture, ", ".join(changed)


_NAMES = {
    "P": "palette", "PA": "palette", "L": "grey", "LA": "grey", "1": "black and white",
    "I": "16-bit grey", "I;16": "16-bit grey", "I;16B": "16-bit grey", "RGBA": "with an alpha "
    "channel", "CMYK": "CMYK",
}  # fmt: skip


def _fitted(picture: Image.Image, width: int, height: int, fit: Fit) -> Image.Image:
    """The picture in that size."""
    if picture.size == (width, height):
        return picture
    if fit == "stretch":
        return _scaled(picture, (width, height))
    factors = width / picture.width, height / picture.height
    factor = max(factors) if fit == "crop" else min(factors)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    scaled = _scaled(picture, size)
    left, top = (scaled.width - width) // 2, (scaled.height - height) // 2
    # Outside the picture is black.
    return scaled.crop((left, top, left + width, top + height))


def _scaled(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
