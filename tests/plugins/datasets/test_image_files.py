"""What becomes of each kind of image file."""

from __future__ import annotations

import io
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cnnbench_plugins.datasets.image_files import decode, is_gray, open_source
from PIL import Image

from cnnbench.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def decoded(tmp_path: Path, image: Image.Image, name: str, channels: int = 3, **options: Any) -> NDArray[np.uint8]:
    image.save(tmp_path / name, **options)
    return decode(open_source(tmp_path), PurePosixPath(name), channels)


def flat(image_CHW: NDArray[np.uint8]) -> list[int]:
    """Return the one colour of an image that has only one."""
    colours = np.unique(image_CHW.reshape(len(image_CHW), -1), axis=1)
    assert colours.shape[1] == 1
    return [int(value) for value in colours[:, 0]]


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.webp", "a.gif", "a.jpg"])
def test_formats(tmp_path: Path, name: str):
    image_CHW = decoded(tmp_path, Image.new("RGB", (5, 3), (250, 120, 10)), name)
    assert (image_CHW.shape, image_CHW.dtype, image_CHW.flags.c_contiguous) == ((3, 3, 5), np.uint8, True)
    assert np.abs(np.array(flat(image_CHW)) - (250, 120, 10)).max() <= 4


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("1", (4, 4), 1), [255, 255, 255]),
        (Image.new("L", (4, 4), 77), [77, 77, 77]),
        (Image.new("RGB", (4, 4), (1, 2, 3)).convert("P"), None),
        (Image.new("RGBA", (4, 4), (200, 100, 0, 255)), [200, 100, 0]),
        (Image.new("RGBA", (4, 4), (200, 100, 0, 0)), [255, 255, 255]),
        (Image.new("RGBA", (4, 4), (100, 100, 100, 51)), [224, 224, 224]),
        (Image.new("LA", (4, 4), (100, 51)), [224, 224, 224]),
    ],
    ids=["bilevel", "gray", "palette", "opaque", "transparent", "half", "gray-alpha"],
)
def test_modes_become_rgb_on_white(tmp_path: Path, image: Image.Image, expected: list[int] | None):
    colour = flat(decoded(tmp_path, image, "a.png"))
    assert colour == (expected or [int(value) for value in image.convert("RGB").getpixel((0, 0))])


def test_a_transparent_colour_of_a_palette_is_laid_on_white(tmp_path: Path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 9, 9, 9])
    assert flat(decoded(tmp_path, image, "a.png", transparency=1)) == [255, 255, 255]


def test_cmyk_becomes_rgb(tmp_path: Path):
    red, green, blue = flat(decoded(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "a.jpg"))
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_gray_is_scaled_and_not_cut_off(tmp_path: Path, name: str, channels: int):
    values_HW = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    image_CHW = decoded(tmp_path, Image.fromarray(values_HW), name, channels)
    assert image_CHW.tolist() == [[[0, 1, 128, 255]]] * channels


def test_gray_of_unknown_range_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"`a\.tif` cannot be decoded \(32-bit gray has no known range\)"):
        decoded(tmp_path, Image.fromarray(np.array([[70000]], dtype=np.int32)), "a.tif")
    with pytest.raises(DataError, match="floating-point gray has no known range"):
        decoded(tmp_path, Image.fromarray(np.array([[0.5]], dtype=np.float32)), "a.tif")


def test_colour_becomes_gray_by_luma(tmp_path: Path):
    assert flat(decoded(tmp_path, Image.new("RGB", (4, 4), (255, 0, 0)), "a.png", channels=1)) == [76]


def test_the_orientation_mark_of_a_camera_is_obeyed(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    assert decoded(tmp_path, Image.new("RGB", (8, 4)), "a.jpg", exif=exif).shape == (3, 8, 4)


def test_the_first_frame_of_an_animation_is_taken(tmp_path: Path):
    second = Image.new("RGB", (4, 4), (0, 0, 255))
    first = Image.new("RGB", (4, 4), (255, 0, 0))
    assert flat(decoded(tmp_path, first, "a.gif", save_all=True, append_images=[second])) == [255, 0, 0]


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_truncated_file_is_named(tmp_path: Path, name: str):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png" if name.endswith("png") else "jpeg")
    (tmp_path / name).write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(DataError, match=f"`{name}` cannot be decoded"):
        decode(open_source(tmp_path), PurePosixPath(name), 3)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"`a\.png` cannot be decoded"):
        decode(open_source(tmp_path), PurePosixPath("a.png"), 3)


@pytest.mark.parametrize("limit", [70, 30])
def test_an_image_of_unreasonable_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int):
    """Pillow warns above its limit and refuses above twice the limit; here both are refused."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match=r"`a\.png` has too many pixels"):
        decoded(tmp_path, Image.new("L", (10, 10)), "a.png")


@pytest.mark.parametrize(
    ("mode", "expected"), [("L", True), ("1", True), ("LA", True), ("I;16", True), ("RGB", False), ("P", False)]
)
def test_gray_is_seen_from_the_header(tmp_path: Path, mode: str, expected: bool):  # noqa: FBT001 - an expected value
    Image.new(mode, (4, 4)).save(tmp_path / "a.png")
    assert is_gray(open_source(tmp_path), PurePosixPath("a.png")) is expected
