"""list groups of pictures with equal or near codes in a gallery file

examples:
  dsah dedup gallery.dsah
  dsah dedup gallery.dsah --radius 2 --json

Pictures are in one group when a chain of distances up to the radius links them. Copies have equal
codes; but codes say of which kind a picture is, so different pictures of one kind often have equal
codes, too: look at a group before you give any of it to 'dsah remove'. Nothing is removed here.
Codes stay in the file; the search takes some 50 bytes of memory per picture beside its path and,
with a radius above 0, an index of the distinct codes. With millions of pictures, Ctrl-C is heard
only after the names, which are read and written as JSON, are through.
"""

from __future__ import annotations

import argparse
import json
import sys

from dsah_infer.errors import UsageError
from dsah_infer.gallery import Gallery


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("gallery", metavar="GALLERY", help="file written by 'dsah index'")
    parser.add_argument(
        "--radius", type=int, default=0, metavar="R", help="largest distance (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one group a line")


def run(args: argparse.Namespace) -> None:
    """Group and print."""
    if args.radius < 0:
        raise UsageError(f"--radius {args.radius}: allowed are 0 or more")
    gallery = Gallery.load(args.gallery, mmap=True)
    groups = gallery.duplicates(args.radius)
    for group in groups:
        found = [gallery.place(name) for name in group]
        print(json.dumps(found) if args.json else "\n".join([*found, ""]))
    if not args.json:
        pictures = sum(map(len, groups))
        print(f"{len(groups)} groups, {pictures} pictures of {len(gallery)}, radius {args.radius}")
        if pictures > len(gallery) / 10:
            print(
                "note: these may be different pictures of one kind rather than copies; compare "
                "them before you remove any",
                file=sys.stderr,
            )
