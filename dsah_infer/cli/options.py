"""Options that several verbs share, and the pictures they name."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsah_infer.encoder import Encoder
from dsah_infer.errors import DataError, ModelFileError, PictureError, UsageError
from dsah_infer.gallery import Gallery

__all__ = [
    "Encoded",
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
        DataError: A path does not exist, or a folder holds no picture or cannot be listed.
        UsageError: An empty path, which would mean the current folder.
    """
    if "" in images:
        raise UsageError("an empty path among the pictures; '.' means the current folder")
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
    """Pictures below a folder; what is left out there is counted on stderr."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror})")

    others: Counter[str] = Counter()
    for root, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        linked = [name for name in folders if Path(root, name).is_symlink()]
        if linked:
            shown = ", ".join(str(Path(root, name)) for name in linked)
            print(f"linked folders are not entered: {shown}", file=sys.stderr)
        for name in files:
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                continue
            if suffix in SUFFIXES:
                yield Path(root, name)
            else:
                others[suffix or "no suffix"] += 1
    if others:
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(others.items()))
        print(f"{folder}: left out what is no picture by its name: {kinds}", file=sys.stderr)


class Encoded(NamedTuple):
    """What `encode_paths` gives.

    Attributes:
        paths: The pictures that could be read (n).
        codes: Their codes, uint8 (n, bytes).
        unreadable: How many could not.
        stopped: Whether Ctrl-C ended it before the last picture.
    """

    paths: list[Path]
    codes: npt.NDArray[np.uint8]
    unreadable: int
    stopped: bool = False

    @property
    def skipped(self) -> str:
        """``, 2 unreadable`` where there were any, for the last line of a verb."""
        return f", {self.unreadable:,} unreadable" if self.unreadable else ""


def encode_paths(
    encoder: Encoder,
    paths: Sequence[Path],
    on_error: str,
    *,
    resumable: bool = False,
    none_is_fine: bool = False,
) -> Encoded:
    """Codes of the readable pictures, and their paths; the others are named on stderr.

    Args:
        encoder: The model.
        paths: The pictures.
        on_error: ``raise`` or ``skip``.
        resumable: Whether Ctrl-C gives what is encoded so far instead of losing it.
        none_is_fine: Whether all pictures may be unreadable.

    Raises:
        PictureError: With ``on_error="raise"``.
        DataError: No picture could be read.
    """
    codes: list[npt.NDArray[np.uint8]] = []
    kept, unreadable, stopped = [], 0, False
    try:
        for path, result in encoder.encode_files(
            paths, on_error="skip" if on_error == "skip" else "raise", progress=shows_progress()
        ):
            if isinstance(result, PictureError):
                print(f"skipped {result}", file=sys.stderr)
                unreadable += 1
            else:
                kept.append(Path(path))
                codes.append(result)
    except KeyboardInterrupt:
        stopped = resumable and bool(kept)
        if not stopped:
            raise
        del codes[len(kept) :], kept[len(codes) :]  # it may have come between the two lines
    if not kept:
        if not none_is_fine:
            raise DataError(f"none of the {len(paths)} pictures could be read")
        codes = [np.empty((0, -(-encoder.bits // 8)), np.uint8)]
        return Encoded(kept, codes[0], unreadable)
    return Encoded(kept, np.stack(codes), unreadable, stopped)


def shows_progress() -> bool:
    """Whether a person watches: bars in a log file help nobody."""
    return sys.stderr.isatty()


def writable(path: str, *inputs: str | None, picture: bool = False) -> Path:
    """``path`` as an output file; asked before the work, not after it.

    Args:
        path: The output file.
        inputs: Files that the command reads, or writes too, and that must not be replaced.
        picture: Whether the command makes pictures, and may replace an older one.

    Raises:
        UsageError: Its folder does not exist or cannot be written to, it is a folder, one of the
            inputs, or a picture that is there already.
    """
    target = Path(path)
    if any(given and target.resolve() == Path(given).resolve() for given in inputs):
        raise UsageError(f"{target} has another part in this command; name another output file")
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise UsageError(f"{target}: cannot be written; name a file in an existing folder")
    if not os.access(target.resolve().parent, os.W_OK):  # files are written through links
        raise UsageError(f"{target}: cannot be written; its folder is read-only for you")
    if target.exists() and target.suffix.lower() in SUFFIXES and not picture:
        raise UsageError(f"{target} is a picture; name another output file")
    return target
