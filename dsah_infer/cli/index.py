"""make a gallery file from pictures

examples:
  dsah index photos/ -m model.onnx -o gallery.dsah
  dsah index @list.txt -m model.onnx -o gallery.dsah --on-error raise

The gallery remembers its pictures and its model by paths relative to its own folder.
"""

from __future__ import annotations

import argparse

from dsah_infer.cli import options
from dsah_infer.gallery import Gallery


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    options.add_pictures(parser)
    options.add_model(parser, required=True)
    parser.add_argument("-o", "--out", required=True, metavar="GALLERY", help="output file")
    options.add_on_error(parser, "skip")


def run(args: argparse.Namespace) -> None:
    """Encode all pictures and write the gallery."""
    out = options.writable(args.out, args.model, *args.images)
    paths = options.picture_paths(args.images)
    with options.open_encoder(args, args.model) as encoder:
        gallery = Gallery.new(out, encoder)
        kept, codes = options.encode_paths(encoder, paths, args.on_error)
        gallery.put(kept, codes, encoder.contract)
    gallery.save()
    print(f"{out}: {len(gallery)} pictures, {gallery.index.bits}-bit codes")
