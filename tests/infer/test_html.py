"""The result page: complete, self-contained, safe with hostile names, and shown by a browser."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import numpy.typing as npt
import pytest

from dsah_infer import Encoder
from dsah_infer.cli import main
from dsah_infer.saliency import overlay
from tests.infer.tiny_model import write_tiny_model

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)


class Tags(HTMLParser):
    """Every tag with its attributes, and the text outside of <style>."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page(tmp_path: Path, folder: Path) -> Path:
    """Two queries on 22 pictures, one with a hostile name, one deleted after indexing."""
    hostile = folder / "<img src=x onerror=alert(1)>&.png"
    hostile.write_bytes((folder / "03.png").read_bytes())
    model = write_tiny_model(tmp_path / "model.onnx")
    gallery, out = tmp_path / "gallery.dsah", tmp_path / "result.html"
    assert main(["index", str(folder), "-m", str(model), "-o", str(gallery)]) == 0
    (folder / "04.png").unlink()
    queries = [str(folder / "03.png"), str(hostile)]
    assert main(["search", str(gallery), *queries, "-k", "22", "--html", str(out)]) == 0
    return out


def test_it_holds_everything_and_refers_to_nothing(page: Path) -> None:
    tags = Tags(page.read_text())
    pictures = [attrs["src"] for tag, attrs in tags.found if tag == "img"]
    assert len(pictures) == 2 * (2 + 22 - 1), "two views and all hits but the deleted, per query"
    assert all(src and src.startswith("data:image/jpeg;base64,") for src in pictures)
    assert not re.search(r"https?://|url\(|@import", page.read_text())
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags.found}
    assert tags.text.count("no such file") == 2
    assert tags.text.count("distance ") == 44


def test_names_of_files_are_text(page: Path) -> None:
    tags = Tags(page.read_text())
    assert not any("onerror" in attrs for _, attrs in tags.found)
    assert "<img src=x onerror=alert(1)>&.png" in tags.text


def test_pictures_link_to_their_files(tmp_path: Path, folder: Path, tiny: Path) -> None:
    names = ["a b#c?.png"]
    with contextlib.suppress(OSError):  # some file systems have no such names
        os.link(folder / "00.png", folder / os.fsdecode(b"\xff.png"))
        names.append(os.fsdecode(b"\xff.png"))
    os.link(folder / "00.png", folder / names[0])
    gallery, out = tmp_path / "g.dsah", tmp_path / "pages" / "r.html"
    out.parent.mkdir()
    assert main(["index", str(folder), "-m", str(tiny), "-o", str(gallery)]) == 0
    search = ["search", str(gallery), str(folder / "00.png"), "-k", "30", "--html", str(out)]
    assert main(search) == 0
    links = [str(attrs["href"]) for tag, attrs in Tags(out.read_text()).found if tag == "a"]
    found = {(out.parent / os.fsdecode(unquote_to_bytes(link))).resolve() for link in links}
    assert found == {path.resolve() for path in folder.iterdir()}
    assert {folder / name for name in names} <= found


def test_a_model_without_saliency_shows_one_view(tmp_path: Path, folder: Path, plain: Path) -> None:
    gallery, out = tmp_path / "g.dsah", tmp_path / "r.html"
    assert main(["index", str(folder), "-m", str(plain), "-o", str(gallery)]) == 0
    assert main(["search", str(gallery), str(folder / "00.png"), "--html", str(out)]) == 0
    assert "where it looked" not in out.read_text()
    assert "what the model saw" in out.read_text()


def test_the_overlay_glows_where_saliency_is_high(noise: npt.NDArray[np.uint8], tiny: Path) -> None:
    grey = np.full((32, 32, 3), 128, np.uint8)
    ramp = np.tile(np.linspace(0, 1, 32, dtype=np.float32), (32, 1))
    glow = overlay(grey, ramp).astype(int)
    assert glow.shape == (32, 32, 3)
    assert (np.diff(glow[0].sum(axis=1)[8:]) > 0).all()
    np.testing.assert_array_equal(overlay(grey, 0 * ramp), np.round(grey * 0.65))
    real = overlay(grey, Encoder(tiny).saliency(noise[0]))
    assert real.dtype == np.uint8


@pytest.mark.skipif(BROWSER is None, reason="needs a headless browser: chromium is not installed")
def test_a_browser_shows_every_picture(page: Path, tmp_path: Path) -> None:
    probe = """<script>addEventListener("load", () => {
      const shown = [...document.images].filter(i => i.naturalWidth > 0 && i.clientWidth > 0);
      const wide = document.documentElement.scrollWidth > innerWidth;
      document.title = `shown ${shown.length} of ${document.images.length} overflow ${wide}`;
    });</script></body>"""
    copy = tmp_path / "probe.html"
    copy.write_text(page.read_text().replace("</body>", probe))
    for width in (1280, 400):
        done = subprocess.run(
            [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
             "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
             f"--window-size={width},900", "--dump-dom", copy.as_uri()],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        title = re.search(r"<title>(.*?)</title>", done.stdout)
        assert title is not None
        assert title[1] == "shown 46 of 46 overflow false"
