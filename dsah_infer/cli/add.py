"""add pictures to a gallery file

examples:
  dsah add gallery.dsah new/ more.jpg
  dsah add gallery.dsah photos/ --new
  dsah add gallery.dsah new/ -m model-int8.onnx --mix

A picture that is already in the gallery, by its path, is encoded again and replaced; with --new it
stays as it is, which goes on with an interrupted command. Several processes may add at a time.
"""

from __future__ import annotations

import argparse

from dsah_infer.cli import options
from dsah_infer.file_lock import sole_writer
from dsah_infer.gallery import Gallery


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("gallery", metavar="GALLERY", help="file written by 'dsah index'")
    options.add_pictures(parser)
    parser.add_argument(
        "--new", action="store_true", help="leave pictures alone that the gallery has already"
    )
    options.add_model(parser, required=False)
    options.add_mix(parser)
    options.add_on_error(parser, "skip")


def run(args: argparse.Namespace) -> None:
    """Encode the pictures and write the gallery anew."""
    options.writable(args.gallery, args.model, *args.images)
    gallery = Gallery.load(args.gallery)
    paths = options.picture_paths(args.images)
    if args.new:
        paths = gallery.unknown(paths)
        if not paths:
            print(f"{gallery.path}: nothing new, {len(gallery)} pictures")
            return
    with options.gallery_encoder(args, gallery) as encoder:
        gallery.check(encoder.contract, mix=args.mix)
        encoded = options.encode_paths(encoder, paths, args.on_error, resumable=True)
        contract = encoder.contract
    with sole_writer(args.gallery):
        gallery = Gallery.load(args.gallery)  # others may have added meanwhile
        added, replaced = gallery.put(encoded.paths, encoded.codes, contract, mix=args.mix)
        gallery.save()
    print(
        f"{gallery.path}: {added} added, {replaced} replaced{encoded.skipped}, "
        f"{len(gallery)} pictures now"
    )
    if encoded.stopped:
        raise KeyboardInterrupt(options.goes_on(gallery))
