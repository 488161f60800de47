"""add pictures to a gallery file

examples:
  dsah add gallery.dsah new/ more.jpg
  dsah add gallery.dsah new/ -m model-int8.onnx --mix

A picture that is already in the gallery, by its path, is encoded again and replaced.
"""

from __future__ import annotations

import argparse

from dsah_infer.cli import options
from dsah_infer.gallery import Gallery


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("gallery", metavar="GALLERY", help="file written by 'dsah index'")
    options.add_pictures(parser)
    options.add_model(parser, required=False)
    options.add_mix(parser)
    options.add_on_error(parser, "skip")


def run(args: argparse.Namespace) -> None:
    """Encode the pictures and write the gallery anew."""
    gallery = Gallery.load(args.gallery)
    paths = options.picture_paths(args.images)
    with options.gallery_encoder(args, gallery) as encoder:
        kept, codes = options.encode_paths(encoder, paths, args.on_error)
        contract = encoder.contract
    added, replaced = gallery.put(kept, codes, contract, mix=args.mix)
    gallery.save()
    print(f"{gallery.path}: {added} added, {replaced} replaced, {len(gallery)} pictures now")
