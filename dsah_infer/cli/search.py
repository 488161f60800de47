"""find the pictures of a gallery that are nearest to a query

examples:
  dsah search gallery.dsah query.jpg
  dsah search gallery.dsah a.jpg b.jpg -k 20 --html result.html
  dsah search gallery.dsah query.jpg --json

Order is (distance, id) ascending; the distance counts differing bits (symbols of ordinal codes).
Pictures of one kind often share a code: where more are as near as the last hit, it says how many.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dsah_infer.cli import options
from dsah_infer.errors import UsageError
from dsah_infer.gallery import Gallery, Hit
from dsah_infer.html import write_result_page


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("gallery", metavar="GALLERY", help="file written by 'dsah index'")
    parser.add_argument("queries", nargs="+", metavar="QUERY", help="picture files or folders")
    parser.add_argument("-k", type=int, default=10, help="hits per query (default: 10)")
    parser.add_argument("--html", metavar="FILE", help="write a page with pictures and saliency")
    parser.add_argument("--json", action="store_true", help="print JSON, one line per query")
    options.add_model(parser, required=False)
    options.add_mix(parser)
    options.add_on_error(parser, "raise")


def run(args: argparse.Namespace) -> None:
    """Search, print, and write the page that was asked for."""
    if args.k < 1:
        raise UsageError(f"-k {args.k}: allowed are 1 or more hits")
    page = (
        options.writable(args.html, args.gallery, args.model, *args.queries) if args.html else None
    )
    paths = options.picture_paths(args.queries)
    gallery = Gallery.load(args.gallery)
    with options.gallery_encoder(args, gallery) as encoder:
        gallery.check(encoder.contract, mix=args.mix)
        paths, codes, *_ = options.encode_paths(encoder, paths, args.on_error)
        results = gallery.search(codes, args.k, encoder.contract, mix=args.mix)
        if page is not None:
            write_result_page(page, gallery, encoder, list(zip(paths, results, strict=True)))
    near = {} if args.json else _as_near(gallery, codes, results, args.k)
    for row, (path, hits) in enumerate(zip(paths, results, strict=True)):
        if args.json:
            found = [vars(hit) | {"path": gallery.place(hit.path)} for hit in hits]
            print(json.dumps({"query": str(path), "hits": found}))
            continue
        print(path)
        for rank, hit in enumerate(hits, 1):
            print(f"{rank:5}  distance {hit.distance:3}  {gallery.place(hit.path)}")
        if near.get(row, 0) > len(hits):
            print(f"       {near[row]:,} pictures are within distance {hits[-1].distance}")
    if page is not None:
        print(f"wrote {page}", file=sys.stderr if args.json else sys.stdout)


def _as_near(
    gallery: Gallery, codes: npt.NDArray[np.uint8], results: Sequence[Sequence[Hit]], k: int
) -> dict[int, int]:
    """By query that has all its hits: how many pictures are as near as the last of them."""
    by_distance: dict[int, list[int]] = {}
    for row, hits in enumerate(results):
        if len(hits) == k:
            by_distance.setdefault(hits[-1].distance, []).append(row)
    return {
        row: int(count)
        for distance, rows in by_distance.items()
        for row, count in zip(rows, gallery.index.count(codes[rows], distance), strict=True)
    }
