"""make a gallery file from pictures

examples:
  dsah index photos/ -m model.onnx -o gallery.dsah
  dsah index @list.txt -m model.onnx -o gallery.dsah --on-error raise

The gallery remembers its pictures and its model by paths relative to its own folder. After Ctrl-C
a new gallery holds what was encoded, and 'dsah add GALLERY IMAGES --new' goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dsah_infer.cli import options
from dsah_infer.errors import IndexFileError, UsageError
from dsah_infer.file_lock import sole_writer
from dsah_infer.gallery import Gallery


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    options.add_pictures(parser)
    options.add_model(parser, required=True)
    parser.add_argument("-o", "--out", required=True, metavar="GALLERY", help="output file")
    parser.add_argument(
        "--force", action="store_true", help="replace a gallery that holds other pictures as well"
    )
    options.add_on_error(parser, "skip")


def run(args: argparse.Namespace) -> None:
    """Encode all pictures and write the gallery."""
    out = options.writable(args.out, args.model, *args.images)
    paths = options.picture_paths(args.images)
    if out.exists() and not args.force:
        _check_replaced(out, paths)
    with options.open_encoder(args, args.model) as encoder:
        gallery = Gallery.new(out, encoder)
        encoded = options.encode_paths(encoder, paths, args.on_error, resumable=True)
        gallery.put(encoded.paths, encoded.codes, encoder.contract)
    with sole_writer(out):
        if out.exists() and encoded.stopped:  # half a gallery must not take a whole one's place
            raise KeyboardInterrupt(f"{out} is as it was")
        if out.exists() and not args.force:  # it may have come, or grown, meanwhile
            _check_replaced(out, paths)
        gallery.save()
    print(f"{out}: {len(gallery)} pictures{encoded.skipped}, {gallery.index.bits}-bit codes")
    if encoded.stopped:
        raise KeyboardInterrupt(
            f"what was encoded is kept; 'dsah add {out}' with the same pictures and --new goes on"
        )


def _check_replaced(out: Path, paths: list[Path]) -> None:
    """Refuse to replace what is no gallery, or one that knows more than this command names.

    Raises:
        UsageError: It would be lost.
    """
    try:
        old = Gallery.load(out, mmap=True)
    except IndexFileError as error:
        raise UsageError(f"{error}; name another output file, or add --force") from None
    if lost := old.besides(paths):
        raise UsageError(
            f"{out} holds {lost:,} pictures that this command does not name; 'dsah add' keeps "
            "them, --force drops them"
        )
