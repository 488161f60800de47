"""add pictures to a gallery file

examples:
  dsah add gallery.dsah new/ more.jpg
  dsah add gallery.dsah photos/ --new
  dsah add gallery.dsah new/ -m model-int8.onnx --mix

A picture that is already in the gallery, by its path, is encoded again and replaced; with --new it
stays as it is, by which an interrupted command goes on. Several processes may add at a time.
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
        encoded = options.encode_paths(
            encoder, paths, args.on_error, resumable=True, none_is_fine=args.new
        )
        contract = encoder.contract
    with sole_writer(args.gallery):
        gallery = Gallery.load(args.gallery)  # others may have added meanwhile
        fresh = set(gallery.unknown(encoded.paths) if args.new else encoded.paths)
        rows = [row for row, path in enumerate(encoded.paths) if path in fresh]
        kept = [encoded.paths[row] for row in rows]
        added, replaced = gallery.put(kept, encoded.codes[rows], contract, mix=args.mix)
        gallery.save()
    print(
        f"{gallery.path}: {added} added, {replaced} replaced{encoded.skipped}, "
        f"{len(gallery)} pictures now"
    )
    if encoded.stopped:
        how = "goes on" if args.new else "begins at the first picture again"
        raise KeyboardInterrupt(f"what was encoded is kept; the same command {how}")
