"""remove pictures from a gallery file

examples:
  dsah remove gallery.dsah photos/old.jpg
  dsah remove gallery.dsah photos/2019/ @gone.txt --missing-ok

A folder means all pictures of the gallery below it. Only the gallery changes; picture files are
left alone, and need not exist.
"""

from __future__ import annotations

import argparse

from dsah_infer.cli import options
from dsah_infer.file_lock import sole_writer
from dsah_infer.gallery import Gallery


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("gallery", metavar="GALLERY", help="file written by 'dsah index'")
    parser.add_argument(
        "images", nargs="+", metavar="IMAGES", help="pictures, folders, or @list.txt"
    )
    parser.add_argument(
        "--missing-ok", action="store_true", help="pass over what is not in the gallery"
    )


def run(args: argparse.Namespace) -> None:
    """Remove the pictures and write the gallery anew."""
    options.writable(args.gallery)
    with sole_writer(args.gallery):
        gallery = Gallery.load(args.gallery)
        removed = gallery.remove(args.images, missing_ok=args.missing_ok)
        gallery.save()
    print(f"{gallery.path}: {removed} removed, {len(gallery)} pictures now")
