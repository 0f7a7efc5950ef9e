"""One picture: decoded, converted and fitted, or refused with the reason."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from hqsearch.data.picture_files import BrokenPicture, decode, open_picture
from tests.data.pictures_on_disk import encoded, picture


def test_pixels_are_as_they_are_in_the_file_where_nothing_needs_to_change():
    image = picture(1, 16, 16)
    found = decode(encoded(image), 16, 3, "crop")
    assert found.changed == ""
    assert (found.pixels == np.asarray(image).transpose(2, 0, 1)).all()


@pytest.mark.parametrize("kind", ["jpeg", "webp", "png"])
def test_every_kind_of_file(kind):
    image = Image.new("RGB", (40, 30), (200, 40, 90))
    found = decode(encoded(image, kind), 8, 3, "crop").pixels
    assert found.shape == (3, 8, 8)
    assert np.abs(found.reshape(3, -1).mean(1) - [200, 40, 90]).max() < 3


def test_a_large_jpeg_is_decoded_at_a_fraction_and_looks_the_same():
    ramp = np.linspace(0, 255, 640).astype(np.uint8)
    image = Image.fromarray(np.broadcast_to(ramp[None, :, None], (640, 640, 3)).copy())
    small, exact = (decode(encoded(image, k), 16, 3, "crop").pixels for k in ("jpeg", "png"))
    assert np.abs(small.astype(int) - exact).max() < 6


@pytest.mark.parametrize(
    "mode, said",
    [("P", "palette"), ("L", "grey"), ("1", "black and white"), ("I;16", "16-bit grey")],
)
def test_other_modes_are_converted_and_told(mode, said):
    grey = Image.fromarray(np.full((8, 8), 128, np.uint8))
    image = grey.convert(mode)
    if mode == "I;16":
        image = Image.fromarray(np.full((8, 8), 128 * 257, np.uint16))
    found = decode(encoded(image), 8, 3, "crop")
    assert said in found.changed
    assert found.pixels.shape == (3, 8, 8)
    assert abs(float(found.pixels.mean()) - 128) < (130 if mode == "1" else 2)


def test_transparent_parts_are_black_and_told():
    image = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
    image.putpixel((0, 0), (255, 255, 255, 255))
    found = decode(encoded(image), 8, 3, "crop")
    assert "transparent, laid on black" in found.changed
    assert found.pixels[:, 0, 0].tolist() == [255] * 3
    assert found.pixels.sum() == 3 * 255


def test_an_opaque_alpha_channel_changes_no_pixel():
    image = picture(2, 8, 8)
    with_alpha = image.convert("RGBA")
    assert (
        decode(encoded(with_alpha), 8, 3, "crop").pixels == np.asarray(image).transpose(2, 0, 1)
    ).all()


def test_grey_networks_get_one_channel():
    found = decode(encoded(Image.new("RGB", (8, 8), (10, 10, 10))), 8, 1, "crop")
    assert found.pixels.shape == (1, 8, 8)
    assert found.changed == ""
    assert set(found.pixels.ravel()) == {10}


@pytest.mark.parametrize(
    "fit, left, middle", [("crop", 255, 255), ("stretch", 0, 255), ("pad", 0, 0)]
)
def test_what_is_not_square_is_fitted(fit, left, middle):
    # Wide: black at its left and right, white in the middle.
    wide = Image.new("RGB", (64, 16), "black")
    wide.paste((255, 255, 255), (20, 0, 44, 16))
    pixels = decode(encoded(wide), 16, 3, fit).pixels
    assert pixels.shape == (3, 16, 16)
    assert pixels[0, 8, 0] == left
    assert pixels[0, 0, 8] == middle


def test_exif_orientation_is_followed_and_told():
    image = Image.new("RGB", (16, 16), "black")
    image.paste((255, 255, 255), (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    found = decode(encoded(image, "jpeg", exif=exif), 16, 3, "crop")
    assert "EXIF" in found.changed
    assert found.pixels[:, 12:].mean() > 250 > 5 > found.pixels[:, :4].mean()


def test_an_animation_gives_its_first_frame():
    file = io.BytesIO()
    first, second = Image.new("RGB", (8, 8), (9, 9, 9)), Image.new("RGB", (8, 8), (99, 99, 99))
    first.save(file, "webp", save_all=True, append_images=[second], lossless=True)
    found = decode(file.getvalue(), 8, 3, "crop")
    assert "first frame" in found.changed
    assert set(found.pixels.ravel()) == {9}


def _announces(width: int, height: int) -> bytes:
    """A PNG that ends where its pixels begin."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    head = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + head + struct.pack(">I", 900) + b"IDAT" + b"x" * 20


@pytest.mark.parametrize(
    "content, why",
    [
        (b"", "is empty"),
        (b"GIF89a not really", "is no PNG, JPEG or WebP picture"),
        (encoded(picture(3, 40, 40))[:-900], "damaged or cut off"),
        (encoded(picture(3, 40, 40), "jpeg")[:-300], "damaged or cut off"),
        (_announces(30_000, 30_000), "pixels"),
        (_announces(8, 8), "damaged or cut off"),
    ],
)
def test_what_is_broken_is_refused_with_the_reason(content, why):
    with pytest.raises(BrokenPicture, match=why):
        decode(content, 8, 3, "crop")


@pytest.mark.parametrize("seed", range(40))
def test_noise_in_a_file_gives_a_picture_or_a_reason(seed):
    rng = np.random.default_rng(seed)
    content = bytearray(encoded(picture(seed, 20, 20), ("png", "jpeg", "webp")[seed % 3]))
    for place in rng.integers(0, len(content), 6):
        content[place] = rng.integers(0, 256)
    try:
        found = decode(bytes(content), 8, 3, "crop")
    except BrokenPicture as error:
        assert str(error)  # noqa: PT017
    else:
        assert found.pixels.shape == (3, 8, 8)


def test_a_header_is_read_without_the_pixels():
    assert open_picture(encoded(picture(4, 30, 20))[:-100]).size == (30, 20)
