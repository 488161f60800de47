"""The dsah command: every verb on real files, its output, its exit codes, nothing half-written."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsah_infer import Encoder
from dsah_infer.cli import _parser, main
from dsah_infer.contract import CHECKPOINT_RECORD
from dsah_infer.file_lock import sole_writer
from dsah_infer.gallery import Gallery
from tests.infer.tiny_model import write_tiny_model

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model.onnx")


@pytest.fixture
def gallery(tmp_path: Path, folder: Path, model: Path) -> Path:
    path = tmp_path / "gallery.dsah"
    assert main(["index", str(folder), "-m", str(model), "-o", str(path)]) == 0
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_encode_writes_the_rows_of_the_pictures(folder: Path, model: Path, tmp_path: Path) -> None:
    out, names = tmp_path / "codes.npy", tmp_path / "names.txt"
    (folder / "05.png").write_bytes(b"junk")
    given = ["encode", str(folder), "-m", str(model), "-o", str(out), "--names", str(names)]
    assert main([*given, "--on-error", "skip"]) == 0
    kept = names.read_text().splitlines()
    assert len(kept) == 20
    np.testing.assert_array_equal(np.load(out), Encoder(model).encode(kept))


def test_a_bad_picture_ends_encode_and_leaves_the_old_file(
    folder: Path, model: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "codes.npy"
    out.write_bytes(b"old")
    (folder / "05.png").write_bytes(b"junk")
    assert main(["encode", str(folder), "-m", str(model), "-o", str(out)]) == 1
    assert "05.png" in capsys.readouterr().err
    assert out.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["codes.npy", "model.onnx", "pictures"]


def test_index_then_search_finds_each_picture_itself_first(
    gallery: Path, folder: Path, capsys: Captured
) -> None:
    capsys.readouterr()
    assert main(["search", str(gallery), str(folder), "-k", "3", "--json"]) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(results) == 21
    for result in results:
        hits = result["hits"]
        assert len(hits) == 3
        assert hits[0]["distance"] == 0
        assert [(h["distance"], h["id"]) for h in hits] == sorted(
            (h["distance"], h["id"]) for h in hits
        )
        same = [h["path"] for h in hits if h["distance"] == 0]
        assert result["query"] in same or len(same) == 3


def test_search_prints_no_more_than_there_is(gallery: Path, folder: Path, capsys: Captured) -> None:
    capsys.readouterr()
    assert main(["search", str(gallery), str(folder / "01.png"), "-k", "100"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 21


def test_add_replaces_and_remove_removes(gallery: Path, folder: Path, capsys: Captured) -> None:
    Image.new("RGB", (60, 60), "red").save(folder / "red.png")
    assert main(["add", str(gallery), str(folder / "red.png"), str(folder / "02.png")]) == 0
    assert "1 added, 1 replaced, 22 pictures" in capsys.readouterr().out
    assert main(["remove", str(gallery), str(folder / "red.png"), "pictures/03.png"]) == 0
    left = Gallery.load(gallery)
    assert len(left) == 20
    assert "pictures/03.png" not in left.items.values()
    assert main(["remove", str(gallery), "pictures/03.png", "pictures/04.png"]) == 2
    assert len(Gallery.load(gallery)) == 20


def test_a_gallery_moves_with_its_folder(
    gallery: Path, folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    for name in ("gallery.dsah", "model.onnx", "pictures"):
        (tmp_path / name).rename(target / name)
    capsys.readouterr()
    assert main(["search", str(target / "gallery.dsah"), str(target / "pictures/00.png")]) == 0
    assert "pictures/00.png" in capsys.readouterr().out


def test_a_gallery_whose_model_is_gone_asks_for_it(
    gallery: Path, folder: Path, model: Path, tmp_path: Path, capsys: Captured
) -> None:
    moved = model.rename(tmp_path / "moved.onnx")
    search = ["search", str(gallery), str(folder / "00.png")]
    assert main(search) == 1
    assert "-m MODEL" in capsys.readouterr().err
    assert main([*search, "-m", str(moved)]) == 0


def test_codes_of_another_space_never_enter_or_query_a_gallery(
    gallery: Path, folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    other = write_tiny_model(tmp_path / "other.onnx", seed=1)
    before = gallery.read_bytes()
    for verb in ("add", "search"):
        assert main([verb, str(gallery), str(folder / "00.png"), "-m", str(other)]) == 1
        assert "tiny-12-1" in capsys.readouterr().err
    assert gallery.read_bytes() == before


def test_another_artefact_of_the_space_enters_only_when_told_to(
    gallery: Path, folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    half = write_tiny_model(tmp_path / "half.onnx", precision="fp16")
    add = ["add", str(gallery), str(folder / "00.png"), "-m", str(half)]
    assert main(add) == 1
    said = capsys.readouterr().err
    assert "artefact" in said
    assert "--mix" in said
    assert main([*add, "--mix"]) == 0
    assert Encoder(half).fingerprint in Gallery.load(gallery).index.fingerprints


def test_another_artefact_searches_only_when_told_to(
    gallery: Path, folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    half = write_tiny_model(tmp_path / "half.onnx", precision="fp16")
    search = ["search", str(gallery), str(folder / "00.png"), "-m", str(half)]
    assert main(search) == 1
    said = capsys.readouterr().err
    assert "artefact" in said
    assert "--mix" in said
    assert main([*search, "--mix"]) == 0


def test_dedup_groups_equal_pictures(gallery: Path, folder: Path, capsys: Captured) -> None:
    copy = folder / "copy of 09.png"
    copy.write_bytes((folder / "09.png").read_bytes())
    assert main(["add", str(gallery), str(copy)]) == 0
    capsys.readouterr()
    assert main(["dedup", str(gallery), "--json"]) == 0
    groups = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert any({str(folder / "09.png"), str(copy)} <= set(group) for group in groups)
    codes = Encoder(folder.parent / "model.onnx")
    for group in groups:
        rows = codes.encode([folder.parent / name for name in group])
        assert (rows == rows[0]).all(), "radius 0 groups equal codes only"


def test_saliency_writes_a_picture_of_the_square(folder: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "overlay.png"
    assert main(["saliency", str(folder / "00.png"), "-m", str(model), "-o", str(out)]) == 0
    with Image.open(out) as image:
        assert (image.size, image.mode) == ((32, 32), "RGB")


@pytest.mark.parametrize("name", ["model.onnx", "gallery.dsah"])
def test_info(gallery: Path, name: str, capsys: Captured) -> None:
    capsys.readouterr()
    assert main(["info", str(gallery.parent / name), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == name.split(".")[0]
    assert facts["bits"] == 12
    assert main(["info", str(gallery.parent / name)]) == 0
    assert "tiny-12-0" in capsys.readouterr().out


def test_info_lists_the_pictures_of_a_gallery(gallery: Path, capsys: Captured) -> None:
    capsys.readouterr()
    assert main(["info", str(gallery), "--items", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["pictures"]) == 21


def test_info_reads_a_checkpoint_without_torch(
    model: Path, tmp_path: Path, capsys: Captured
) -> None:
    checkpoint = tmp_path / "ckpt.pt"
    checkpoint.write_bytes(b"PK\x03\x04 cut short")
    assert main(["info", str(checkpoint)]) == 1
    assert "damaged" in capsys.readouterr().err
    with zipfile.ZipFile(checkpoint, "w") as archive:
        archive.writestr("archive/version", "3")
    assert main(["info", str(checkpoint)]) == 1
    assert "no dsah checkpoint" in capsys.readouterr().err
    with zipfile.ZipFile(checkpoint, "a") as archive:
        archive.writestr(f"archive/{CHECKPOINT_RECORD}", Encoder(model).contract.to_json())
    assert main(["info", str(checkpoint), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "checkpoint"


def test_doctor_without_a_model_says_what_one_would_show(capsys: Captured) -> None:
    assert main(["doctor"]) == 0
    assert "give -m MODEL to see the provider of each node" in capsys.readouterr().out


def test_doctor_runs_the_model_and_places_its_nodes(model: Path, capsys: Captured) -> None:
    assert main(["doctor", "-m", str(model), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    probe = report["sections"]["probe run"]
    assert probe["device"] == "auto -> CPUExecutionProvider"
    assert "2 Conv" in probe["CPUExecutionProvider"]
    assert report["problems"] == []
    assert main(["doctor", "-m", str(model), "--device", "cuda"]) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["search", "{g}", "{p}", "-k", "0"], 2, "1 or more"),
        (["dedup", "{g}", "--radius", "-1"], 2, "0 or more"),
        (["index", "{p}", "-m", "{m}", "-o", "{t}/no/such/g.dsah"], 2, "existing folder"),
        (["index", "{t}/empty", "-m", "{m}", "-o", "{t}/x.dsah"], 1, "no pictures"),
        (["index", "{t}/nothing", "-m", "{m}", "-o", "{t}/x.dsah"], 1, "no such file"),
        (["index", "{p}", "-m", "{p}", "-o", "{t}/x.dsah"], 1, "not an ONNX file"),
        (["search", "{m}", "{p}"], 1, "not"),
        (["search", "{t}/none.dsah", "{p}"], 1, "none.dsah"),
        (["info", "{p}"], 1, "not"),
        (["info", "{t}/none"], 1, "No such file"),
        (["saliency", "{p}", "-m", "{m}", "-o", "{t}/o.txt"], 2, ".png"),
        (["encode", "{p}", "-m", "{m}", "-o", "{t}/c.npy", "--threads", "0"], 2, "threads"),
        (["encode", "{p}", "-m", "{m}", "-o", "{t}/c", "--names", "{t}/c"], 2, "another part"),
        (["encode", "{p}", "-m", "{m}", "-o", "{t}/c", "--names", "{m}"], 2, "another part"),
        (["encode", "{p}", "-m", "{m}", "-o", "{t}/c.npy", "--device", "cuda"], 1, "CUDA"),
    ],
)
def test_bad_input_is_a_message_and_an_exit_code(
    gallery: Path, folder: Path, arguments: list[str], code: int, says: str, capsys: Captured
) -> None:
    root = gallery.parent
    (root / "empty").mkdir()
    names = {"g": gallery, "p": folder / "00.png", "m": root / "model.onnx", "t": root}
    before = files(root)
    assert main([argument.format(**names) for argument in arguments]) == code
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert files(root) == before


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["index", "a.jpg"], ["search"]])
def test_usage_errors_exit_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


VERBS = "encode index search add remove info dedup saliency doctor"


@pytest.mark.parametrize("verb", VERBS.split())
def test_every_verb_has_help_with_examples_that_it_takes(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    examples = re.findall(rf"^  (dsah {verb}.*)$", text, re.MULTILINE)
    assert examples
    monkeypatch.chdir(tmp_path)
    for name in ("list.txt", "gone.txt"):  # named as @list.txt
        (tmp_path / name).write_text("a.jpg\n")
    for example in examples:
        assert _parser().parse_args(shlex.split(example)[1:]).verb == verb


def test_the_first_help_has_examples_too(capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    examples = re.findall(r"^  (dsah .+)$", text, re.MULTILINE)
    assert len(examples) >= 3
    for example in examples:
        _parser().parse_args(shlex.split(example)[1:])


def test_a_list_of_pictures_comes_from_a_file(folder: Path, model: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{folder / name}\n" for name in ("03.png", "01.png")))
    out = tmp_path / "codes.npy"
    assert main(["encode", f"@{listed}", "-m", str(model), "-o", str(out)]) == 0
    expected = Encoder(model).encode([folder / "03.png", folder / "01.png"])
    np.testing.assert_array_equal(np.load(out), expected)


def test_ctrl_c_ends_cleanly(folder: Path, model: Path, tmp_path: Path) -> None:
    for i in range(3000):
        os.link(folder / "00.png", folder / f"link{i}.png")
    out = tmp_path / "g.dsah"
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from dsah_infer.cli import main; sys.exit(main())",
         "index", str(folder), "-m", str(model), "-o", str(out), "-v"],
        stderr=subprocess.PIPE, text=True, cwd=Path.cwd(),
    )  # fmt: skip
    assert process.stderr is not None
    assert "runs on" in process.stderr.readline()  # the model is open: encoding begins
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert "interrupted" in error
    assert "Traceback" not in error
    assert not list(tmp_path.glob(".*"))


def test_an_interrupted_index_goes_on_with_add_new(
    folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    encode_files = Encoder.encode_files

    def interrupted(self: Encoder, paths: Sequence[Path], **options: Any) -> Iterator[Any]:
        yield from itertools.islice(encode_files(self, paths, **options), 5)
        raise KeyboardInterrupt

    out = tmp_path / "g.dsah"
    index = ["index", str(folder), "-m", str(model), "-o", str(out)]
    with monkeypatch.context() as patched:
        patched.setattr(Encoder, "encode_files", interrupted)
        assert main(index) == 130
    assert f"'dsah add {out}' with the same pictures and --new goes on" in capsys.readouterr().err
    kept = Gallery.load(out)
    assert len(kept) == 5
    assert main(["add", str(out), str(folder), "--new"]) == 0
    assert "16 added, 0 replaced, 21 pictures now" in capsys.readouterr().out
    assert set(kept.items.items()) <= set(Gallery.load(out).items.items())
    assert main(["add", str(out), str(folder), "--new"]) == 0
    assert "nothing new" in capsys.readouterr().out
    # Half of a gallery does not take the place of a whole one.
    with monkeypatch.context() as patched:
        patched.setattr(Encoder, "encode_files", interrupted)
        assert main(index) == 130
        assert f"{out} is as it was" in capsys.readouterr().err
        assert main(["add", str(out), str(folder)]) == 130
        assert "begins at the first picture again" in capsys.readouterr().err
    assert len(Gallery.load(out)) == 21
    # Where nothing but unreadable pictures is left, there is nothing to complain of.
    (folder / "bad.png").write_bytes(b"junk")
    assert main(["add", str(out), str(folder), "--new"]) == 0
    assert "0 added, 0 replaced, 1 unreadable, 21 pictures now" in capsys.readouterr().out


@pytest.mark.parametrize("by_link", [False, True])
def test_who_adds_waits_for_who_writes(
    gallery: Path, folder: Path, tmp_path: Path, by_link: bool
) -> None:
    extra = folder / "extra.png"
    os.link(folder / "00.png", extra)
    named = gallery
    if by_link:  # files are written through links, so the lock is that of the file's own folder
        (tmp_path / "elsewhere").mkdir()
        named = tmp_path / "elsewhere" / "link.dsah"
        named.symlink_to(gallery)
    with sole_writer(gallery):
        ours = Gallery.load(gallery)
        other = threading.Thread(target=main, args=(["add", str(named), str(extra)],))
        other.start()
        other.join(3)  # time enough to write, were it not kept waiting
        assert other.is_alive()
        ours.remove([folder / "00.png"])
        ours.save()
    other.join(60)
    assert not other.is_alive()
    both = Gallery.load(gallery)
    assert len(both) == 21 - 1 + 1
    assert "pictures/extra.png" in both.items.values()


def test_an_empty_line_is_not_the_current_folder(
    gallery: Path, folder: Path, model: Path, tmp_path: Path, capsys: Captured
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"{folder / '03.png'}\n\n  \n{folder / '01.png'}\n")
    out = tmp_path / "l.dsah"
    assert main(["index", f"@{listed}", "-m", str(model), "-o", str(out)]) == 0
    assert len(Gallery.load(out)) == 2
    assert main(["remove", str(gallery), f"@{listed}"]) == 0
    assert len(Gallery.load(gallery)) == 19
    for verb in (["index", "", "-m", str(model), "-o", str(out)], ["search", str(gallery), ""],
                 ["remove", str(gallery), ""]):  # fmt: skip
        assert main(verb) == 2
        assert "an empty path" in capsys.readouterr().err


def test_index_replaces_only_what_it_can_make_again(
    gallery: Path, folder: Path, model: Path, tmp_path: Path, capsys: Captured
) -> None:
    def index(out: Path, *more: str) -> int:
        few = [str(folder / "00.png"), str(folder / "01.png")]
        return main(["index", *few, "-m", str(model), "-o", str(out), *more])

    before = gallery.read_bytes()
    assert index(gallery) == 2
    assert "holds 19 pictures that this command does not name" in capsys.readouterr().err
    assert gallery.read_bytes() == before
    photo, notes = folder / "20.png", tmp_path / "notes.txt"
    notes.write_text("mine")
    for target, message in ((photo, "is a picture"), (notes, "name another output file")):
        was = target.read_bytes()
        assert index(target) == 2
        assert message in capsys.readouterr().err
        assert target.read_bytes() == was
    page = ["search", str(gallery), str(folder / "00.png"), "--html", str(photo)]
    assert main(page) == 2
    assert main(["index", str(folder), "-m", str(model), "-o", str(gallery)]) == 0
    assert index(gallery, "--force") == 0
    assert len(Gallery.load(gallery)) == 2


def test_a_folder_that_is_read_only_is_found_before_the_work(
    gallery: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    # Root may write everywhere, so the answer of the system is put in.
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(Encoder, "__init__", None)
    for verb in (["add", str(gallery), str(folder)], ["remove", str(gallery), str(folder)]):
        assert main(verb) == 2
        assert "read-only" in capsys.readouterr().err


def test_what_is_left_out_of_a_folder_is_counted(
    folder: Path, model: Path, tmp_path: Path, capsys: Captured
) -> None:
    (folder / "05.png").write_bytes(b"junk")
    (folder / "a.heic").write_bytes(b"x")
    (folder / "b.heic").write_bytes(b"x")
    (folder / "README").write_bytes(b"x")
    (folder / "linked").symlink_to(tmp_path, target_is_directory=True)
    out = tmp_path / "g.dsah"
    assert main(["index", str(folder), "-m", str(model), "-o", str(out)]) == 0
    told = capsys.readouterr()
    assert "20 pictures, 1 unreadable, " in told.out
    assert "2 .heic, 1 no suffix" in told.err
    assert f"linked folders are not entered: {folder / 'linked'}" in told.err


def test_folders_are_removed_and_missing_pictures_passed_over_when_asked(
    gallery: Path, folder: Path, capsys: Captured
) -> None:
    (folder / "more").mkdir()
    os.link(folder / "00.png", folder / "more" / "x.png")
    assert main(["add", str(gallery), str(folder / "more")]) == 0
    gone = ["remove", str(gallery), str(folder / "more"), str(folder / "no.png")]
    assert main(gone) == 2
    assert len(Gallery.load(gallery)) == 22
    assert main([*gone, "--missing-ok"]) == 0
    assert len(Gallery.load(gallery)) == 21
    capsys.readouterr()
    assert main(["remove", str(gallery), str(folder)]) == 0
    assert "21 removed, 0 pictures now" in capsys.readouterr().out


def test_remove_means_what_lies_below_and_what_was_printed(
    model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    for name in ("proj/a.png", "proj/sub/a.png", "proj/sub/b.png", "outside/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(folder / "00.png", tmp_path / name)
    monkeypatch.chdir(tmp_path / "proj")

    def left() -> set[str]:
        gallery = Gallery.load("sub/g.dsah")
        return {gallery.place(name) for name in gallery.items.values()}

    index = ["index", "a.png", "sub", "../outside", "-m", str(model), "-o", "sub/g.dsah", "--force"]
    assert main(index) == 0
    assert main(["remove", "sub/g.dsah", "a.png"]) == 0  # of this folder, not of the gallery's
    assert left() == {"sub/a.png", "sub/b.png", "../outside/x.png"}
    assert main(index) == 0
    assert main(["remove", "sub/g.dsah", "sub"]) == 0
    assert left() == {"a.png", "../outside/x.png"}
    assert main(index) == 0
    assert main(["remove", "sub/g.dsah", "."]) == 0
    assert left() == {"../outside/x.png"}
    assert main(index) == 0
    assert main(["remove", "sub/g.dsah", "b.png"]) == 0  # as it is in the gallery
    assert left() == {"a.png", "sub/a.png", "../outside/x.png"}
    capsys.readouterr()
    # One picture by two names is one picture.
    twice = ["sub/a.png", "sub/../sub/a.png"]
    assert main(["index", *twice, "-m", str(model), "-o", "sub/g.dsah"]) == 2
    assert "holds 2 pictures that this command does not name" in capsys.readouterr().err


def test_search_says_how_many_are_as_near_and_skips_when_asked(
    gallery: Path, folder: Path, capsys: Captured
) -> None:
    for i in range(5):
        os.link(folder / "00.png", folder / f"same{i}.png")
    assert main(["add", str(gallery), str(folder)]) == 0
    (folder / "bad.png").write_bytes(b"junk")
    capsys.readouterr()
    search = ["search", str(gallery), str(folder / "bad.png"), str(folder / "00.png"), "-k", "2"]
    assert main(search) == 1
    assert "--on-error skip leaves such pictures out" in capsys.readouterr().err
    assert main([*search, "--on-error", "skip"]) == 0
    shown = capsys.readouterr().out
    near = re.search(r"(\d+) pictures are within distance 0", shown)
    assert near is not None
    assert int(near[1]) >= 6
    assert str(folder / "00.png") in shown


def test_another_model_is_explained(
    gallery: Path, folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    other = write_tiny_model(tmp_path / "other.onnx", space="another")
    assert main(["search", str(gallery), str(folder / "00.png"), "-m", str(other)]) == 1
    assert "indexed anew with this model" in capsys.readouterr().err
