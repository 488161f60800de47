"""The embedded set: deterministic, masks on the marks, and nothing but the mark tells the class."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from dsah_infer.contract import PixelRule
from dsah_infer.errors import DataError, UsageError
from dsah_train.data import MARK_SIZES, EmbeddedMarks, decode_masks, decode_part, load_dataset
from dsah_train.data.scenes import MARKS, draw_scene

SMALL = EmbeddedMarks(classes=3, train=4, query=2, size=48)
WHOLE = PixelRule(size=48, crop=1.0)


def draw(
    seed: int, shape: str, *, painted_over: bool = False, size: int = 64, mark: float = 0.2
) -> tuple:
    rng = np.random.default_rng(seed)
    scene = draw_scene(
        rng, shape, size=size, mark=mark, clutter=10, decoys=4, painted_over=painted_over
    )
    return scene.image.astype(int), scene.mask.astype(bool), rng.random()


def test_the_set_is_a_function_of_its_parameters() -> None:
    first, again = SMALL.dataset(), load_dataset(SMALL.spec())
    other = load_dataset(SMALL.spec() + "&seed=1")
    assert first.protocol == again.protocol == SMALL.spec()
    for i in range(len(first.train)):
        assert first.train.read(i) == again.train.read(i) != other.train.read(i)
    assert first.train.read(0) != first.query.read(0)
    assert first.class_names == ("arrow", "bar", "crescent")
    assert first.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert first.gallery is first.train


def test_data_sets_travel_to_other_processes() -> None:
    copy = pickle.loads(pickle.dumps(SMALL.dataset()))
    assert copy.train.subset([3]).read(0) == SMALL.dataset().train.read(3)


def test_the_split_seed_is_the_seed_of_the_set() -> None:
    assert load_dataset("embedded:marks?train=1", split_seed=5).protocol.endswith(
        "seed=5&painted_over=0"
    )
    assert load_dataset("embedded:marks").split_seed == 0


@pytest.mark.parametrize("seed", range(6))
def test_pictures_of_two_classes_differ_inside_the_mask_alone(seed: int) -> None:
    (one, mask, after), (two, mask_too, after_too) = draw(seed, "star"), draw(seed, "ring")
    assert np.array_equal(mask, mask_too)
    assert after == after_too  # the class changed nothing about what was drawn from the generator
    differs = np.abs(one - two).max(axis=2) > 0
    # Averaging two by two blurs the rim of a mark by at most one pixel.
    rim = np.zeros_like(mask)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            rim |= np.roll(mask, (dy, dx), axis=(0, 1))
    assert differs.any()
    assert not (differs & ~rim).any()


def test_painted_over_pictures_of_all_classes_are_equal() -> None:
    pictures = [draw(3, shape, painted_over=True)[0] for shape in MARKS]
    assert all(np.array_equal(pictures[0], other) for other in pictures[1:])
    marked = {draw(3, shape)[0].tobytes() for shape in MARKS}
    assert len(marked) == len(MARKS)


@pytest.mark.parametrize("mark", MARK_SIZES)
def test_masks_are_discs_of_the_mark_on_the_object(mark: float) -> None:
    for seed in range(12):
        marked, mask, _ = draw(seed, "disc", mark=mark, size=128)
        painted, _, _ = draw(seed, "disc", mark=mark, size=128, painted_over=True)
        inked = np.abs(marked - painted).max(axis=2) > 0
        # A disc fills its mask: ink and mask differ by the rim and by skin of the ink's colour.
        union = (inked | mask).sum()
        assert (inked & mask).sum() / union > 0.85
        diameter = np.sqrt(mask.sum() * 4 / np.pi) / 128
        assert 0.83 * mark < diameter < 1.17 * mark
        # The mark is on the object: the skin that it hides is leathery, neither vivid nor dark.
        skin = painted[mask]
        assert (skin.max(axis=1) - skin.min(axis=1)).mean() < 90


Scenes = list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]]


def scenes(part: str, *, painted_over: bool) -> tuple[Scenes, npt.NDArray[np.int64]]:
    marks = EmbeddedMarks(classes=8, train=40, query=25, size=64, painted_over=painted_over)
    labels = marks.dataset().parts[part].labels
    drawn = (marks.scene(part, i) for i in range(len(labels)))
    return [(scene.image, scene.mask.astype(bool)) for scene in drawn], labels


def inside(picture: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> list[float]:
    """Contrast of rings around the centre of the mark to the skin: blind to turning and ink."""
    grey = picture.mean(axis=2)
    y, x = np.nonzero(mask)
    rows, columns = np.mgrid[: len(grey), : len(grey)]
    away = np.hypot(rows - y.mean(), columns - x.mean()) / np.sqrt(mask.sum() / np.pi)
    contrast = np.abs(grey - np.median(grey[(away > 1.1) & (away < 1.5)]))
    rings = [contrast[(away >= a) & (away < a + 0.2)] for a in np.arange(0, 1, 0.2)]
    return [float(value) for ring in rings for value in (ring.mean(), ring.std())]


def histogram(picture: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> list[float]:
    """Share of each of 4 x 4 x 4 colours in the whole picture."""
    bins = (picture.reshape(-1, 3) // 64) @ np.array([16, 4, 1])
    return (np.bincount(bins, minlength=64) / len(bins)).tolist()


def accuracy(features: Callable[..., list[float]], *, painted_over: bool) -> float:
    """Query accuracy of ridge regression to the classes on hand-made features."""
    (train, labels), (query, truth) = (
        scenes(part, painted_over=painted_over) for part in ("train", "query")
    )
    x, q = (np.array([features(*scene) for scene in part]) for part in (train, query))
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    a, b = (np.c_[(part - mean) / scale, np.ones(len(part))] for part in (x, q))
    weights = np.linalg.solve(a.T @ a + np.eye(a.shape[1]), a.T @ np.eye(8)[labels])
    return float(((b @ weights).argmax(axis=1) == truth).mean())


def test_the_mark_alone_decides() -> None:
    # 200 queries of 8 classes: chance is .125, its standard deviation .023.
    low, high = 0.125 - 4 * 0.0234, 0.125 + 4 * 0.0234
    assert accuracy(inside, painted_over=False) > 0.6
    assert low < accuracy(inside, painted_over=True) < high
    assert low < accuracy(histogram, painted_over=True) < high


def test_colours_of_the_picture_do_not_give_the_class_away() -> None:
    assert accuracy(histogram, painted_over=False) < 0.3


def test_the_mark_survives_the_default_crop() -> None:
    data = EmbeddedMarks(classes=2, train=15, query=1, size=64).dataset()
    whole = decode_masks(data.train, PixelRule(size=64, crop=1.0)).sum(axis=(1, 2))
    cropped = decode_masks(data.train, PixelRule(size=56)).sum(axis=(1, 2))
    assert (cropped > 0.9 * whole).all()


def test_a_written_folder_is_read_like_any_data(tmp_path: Path) -> None:
    root = SMALL.write_folder(tmp_path / "deep" / "marks")
    assert sorted(p.name for p in root.iterdir()) == ["masks", "query", "train"]
    assert list(root.parent.iterdir()) == [root]
    drawn, read = SMALL.dataset(), load_dataset(root)
    assert read.class_names == drawn.class_names
    assert read.protocol == "folders"
    for part in ("train", "query"):
        a, b = drawn.parts[part], read.parts[part]
        assert a.names == b.names
        for decode in (
            lambda p: decode_part(p, WHOLE, progress=False),
            lambda p: decode_masks(p, WHOLE),
        ):
            assert np.array_equal(decode(a), decode(b))
    with pytest.raises(DataError, match="exists"):
        SMALL.write_folder(root)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("embedded:spots", "embedded set is embedded:marks"),
        ("embedded:marks?colour=1", "no field 'colour'; allowed: classes, train"),
        ("embedded:marks?mark=big", "mark = 'big'"),
        ("embedded:marks?painted_over=perhaps", "painted_over"),
        ("embedded:marks?classes=1", "classes = 1, allowed: 2 to 12"),
        ("embedded:marks?mark=0.5", r"mark = 0\.5, allowed: 0\.06 to 0\.3"),
    ],
)
def test_specs_that_make_no_sense(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_dataset(spec)


def test_pictures_are_uint8_rgb_and_masks_binary() -> None:
    scene = SMALL.scene("query", 5)
    assert scene.image.shape == (48, 48, 3)
    assert scene.image.dtype == scene.mask.dtype == np.uint8
    assert set(np.unique(scene.mask)) == {0, 1}
    assert Image.fromarray(scene.image).mode == "RGB"
