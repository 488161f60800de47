"""Options that several verbs share, and the pictures they name."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsah_infer.encoder import Encoder
from dsah_infer.errors import DataError, ModelFileError, PictureError, UsageError
from dsah_infer.gallery import Gallery

__all__ = [
    "add_mix",
    "add_model",
    "add_on_error",
    "add_pictures",
    "encode_paths",
    "gallery_encoder",
    "open_encoder",
    "picture_paths",
    "shows_progress",
    "writable",
]

#: What counts as a picture inside a folder; a file named on the command line always does.
SUFFIXES = frozenset(
    f".{name}"
    for name in "jpg jpeg jpe jfif png webp gif bmp tif tiff ppm pgm avif".split()  # noqa: SIM905
)


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """The IMAGES argument."""
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGES",
        help="picture files, folders (searched, sorted), or @list.txt with one path a line",
    )


def add_model(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """-m and the options of `Encoder`."""
    default = "" if required else " (default: the one that the gallery names)"
    parser.add_argument(
        "-m", "--model", required=required, metavar="MODEL", help=f"exported model{default}"
    )
    parser.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda", "tensorrt"),
        help="anything but auto comes up or is an error (default: auto)",
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="cores to use (default: all that are allowed)"
    )


def add_on_error(parser: argparse.ArgumentParser, default: str) -> None:
    """--on-error."""
    parser.add_argument(
        "--on-error",
        choices=("raise", "skip"),
        default=default,
        help=f"unreadable pictures end the command, or are named and left out (default: {default})",
    )


def add_mix(parser: argparse.ArgumentParser) -> None:
    """--mix."""
    parser.add_argument(
        "--mix",
        action="store_true",
        help="accept a model that is another artefact of the same code space (other precision)",
    )


def open_encoder(args: argparse.Namespace, model: str | os.PathLike[str]) -> Encoder:
    """The encoder that the options ask for."""
    return Encoder(model, device=args.device, threads=args.threads)


def gallery_encoder(args: argparse.Namespace, gallery: Gallery) -> Encoder:
    """The encoder of ``-m``, else of the gallery's own model."""
    if args.model is None and not gallery.model_path.is_file():
        raise ModelFileError(
            f"{gallery.path} was made with {gallery.model.path}, which is not there any more; "
            "say where it is with -m MODEL"
        )
    return open_encoder(args, args.model or gallery.model_path)


def picture_paths(images: Sequence[str]) -> list[Path]:
    """The files meant by IMAGES, each once, in the order given; folders in sorted order.

    Raises:
        DataError: A path does not exist, or a folder holds no picture.
    """
    found: dict[Path, None] = {}
    for given in map(Path, images):
        if given.is_dir():
            inside = sorted(_pictures_in(given))
            if not inside:
                raise DataError(
                    f"{given}: no pictures in this folder ({' '.join(sorted(SUFFIXES))})"
                )
            found.update(dict.fromkeys(inside))
        elif given.exists():
            found[given] = None
        else:
            raise DataError(f"{given}: no such file or folder")
    return list(found)


def _pictures_in(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Path(root, name)


def encode_paths(
    encoder: Encoder, paths: Sequence[Path], on_error: str
) -> tuple[list[Path], npt.NDArray[np.uint8]]:
    """Codes of the readable pictures, and their paths; the others are named on stderr.

    Raises:
        PictureError: With ``on_error="raise"``.
        DataError: No picture could be read.
    """
    kept, codes = [], []
    for path, result in encoder.encode_files(
        paths, on_error="skip" if on_error == "skip" else "raise", progress=shows_progress()
    ):
        if isinstance(result, PictureError):
            print(f"skipped {result}", file=sys.stderr)
        else:
            kept.append(Path(path))
            codes.append(result)
    if not kept:
        raise DataError(f"none of the {len(paths)} pictures could be read")
    return kept, np.stack(codes)


def shows_progress() -> bool:
    """Whether a person watches: bars in a log file help nobody."""
    return sys.stderr.isatty()


def writable(path: str, *inputs: str | None) -> Path:
    """``path`` as an output file; asked before the work, not after it.

    Args:
        path: The output file.
        inputs: Files that the command reads, or writes too, and that must not be replaced.

    Raises:
        UsageError: Its folder does not exist, it is a folder, or it is one of the inputs.
    """
    target = Path(path)
    if any(given and target.resolve() == Path(given).resolve() for given in inputs):
        raise UsageError(f"{target} has another part in this command; name another output file")
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise UsageError(f"{target}: cannot be written; name a file in an existing folder")
    return target
