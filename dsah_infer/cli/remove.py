"""remove pictures from a gallery file

examples:
  dsah remove gallery.dsah photos/old.jpg
  dsah remove gallery.dsah @gone.txt

Only the gallery changes; picture files are left alone, and need not exist.
"""

from __future__ import annotations

import argparse

from dsah_infer.gallery import Gallery


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("gallery", metavar="GALLERY", help="file written by 'dsah index'")
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="pictures, or @list.txt")


def run(args: argparse.Namespace) -> None:
    """Remove the pictures and write the gallery anew."""
    gallery = Gallery.load(args.gallery)
    removed = gallery.remove(args.images)
    gallery.save()
    print(f"{gallery.path}: {removed} removed, {len(gallery)} pictures now")
