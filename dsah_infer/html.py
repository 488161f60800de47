"""The result page of a search: one self-contained HTML file, pictures inside."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsah_infer.atomic_file import replacing
from dsah_infer.contract import PixelRule
from dsah_infer.encoder import Encoder
from dsah_infer.errors import PictureError
from dsah_infer.gallery import Gallery, Hit
from dsah_infer.preprocess import load_picture
from dsah_infer.saliency import overlay

__all__ = ["write_result_page"]

_THUMBNAIL = PixelRule(size=192)


def write_result_page(
    path: Path, gallery: Gallery, encoder: Encoder, results: Sequence[tuple[Path, Sequence[Hit]]]
) -> None:
    """Write the page of a search.

    Args:
        path: The page; replaced as a whole.
        gallery: Where the hits come from.
        encoder: The model; its saliency is laid over each query if it has one.
        results: Each query picture with its hits.
    """
    contract = encoder.contract
    unit = "bits" if contract.symbol_bits == 1 else "symbols"
    facts = (
        f"{len(gallery):,} pictures",
        f"{contract.method}, {contract.bits}-bit codes",
        f"distance: differing {unit} of {contract.segments}",
    )
    page = _template("page").substitute(
        title=html.escape(f"{gallery.path.name}: {len(results)} queries"),
        gallery=html.escape(gallery.path.name),
        facts="".join(f"<li>{html.escape(fact)}</li>" for fact in facts),
        queries="".join(_query(path, gallery, encoder, query, hits) for query, hits in results),
        fingerprint=html.escape(encoder.fingerprint),
        space=html.escape(encoder.space),
    )
    with replacing(path) as stream:
        stream.write(page.encode(errors="xmlcharrefreplace"))


def _template(name: str) -> Template:
    text = resources.files("dsah_infer").joinpath("templates", f"{name}.html").read_text("utf-8")
    return Template(text)


def _query(page: Path, gallery: Gallery, encoder: Encoder, query: Path, hits: Sequence[Hit]) -> str:
    square = load_picture(query, encoder.contract.pixels)
    views = [_figure(_data_uri(square), "what the model saw")]
    if encoder.contract.has_saliency:
        glow = overlay(square, encoder.saliency(query))
        views.append(_figure(_data_uri(glow), "where it looked"))
    return _template("query").substitute(
        name=html.escape(query.name),
        views="".join(views),
        hits="".join(
            _hit(gallery, page, rank, hit, encoder.contract.segments)
            for rank, hit in enumerate(hits, 1)
        ),
    )


def _figure(uri: str, caption: str) -> str:
    return f'<figure><img src="{uri}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'


def _hit(gallery: Gallery, page: Path, rank: int, hit: Hit, farthest: int) -> str:
    source = gallery.path.parent / hit.path
    try:
        shown = f'<img src="{_data_uri(load_picture(source, _THUMBNAIL))}" alt="">'
        place = Path(os.path.relpath(source.absolute(), page.absolute().parent)).as_posix()
        link = quote(os.fsencode(place))  # names need not be Unicode
        picture = f'<a href="{link}">{shown}</a>'
    except PictureError as error:
        picture = f'<div class="missing">{html.escape(error.reason)}</div>'
    return _template("hit").substitute(
        picture=picture,
        rank=rank,
        distance=hit.distance,
        share=f"{100 * hit.distance / farthest:.1f}",
        path=html.escape(hit.path),
        name=html.escape(Path(hit.path).name),
        folder=html.escape(Path(hit.path).parent.name),
    )


def _data_uri(square: npt.NDArray[np.uint8]) -> str:
    stream = io.BytesIO()
    Image.fromarray(square).save(stream, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
