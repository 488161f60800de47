"""Batches: every picture once, balanced, repeatable; views of one batch shared by processes."""

from __future__ import annotations

import pytest
import torch

from dsah_infer.contract import IMAGENET_STD
from dsah_infer.errors import ConfigError
from dsah_train.augment import normalise, random_views
from dsah_train.batches import FeatureSet, balanced_order
from dsah_train.config import Config
from tests.train import tiny


@pytest.mark.parametrize("sampler", ["random", "balanced"])
def test_each_epoch_sees_every_picture_once_in_its_own_order(sampler: str) -> None:
    data = tiny.training_set(tiny.config(sampler=sampler, batch_size=5), per_class=6)
    epochs = [torch.cat([batch.rows for batch in data.batches(e)]).tolist() for e in (0, 0, 1)]
    assert epochs[0] == epochs[1] != epochs[2]
    assert sorted(epochs[0]) == sorted(epochs[2]) == list(range(12))
    turn = torch.cat([batch.rows for batch in data.batches(0, turn=1)]).tolist()
    assert turn != epochs[0]


def test_balanced_batches_hold_equal_counts() -> None:
    targets = torch.eye(4)[torch.arange(4).repeat_interleave(12)]
    order = balanced_order(targets, 4, torch.Generator().manual_seed(0))
    for rows in order.split(16):
        assert targets[rows].sum(0).tolist() == [4, 4, 4, 4]


def test_balanced_order_of_unequal_and_multi_label_classes_is_complete() -> None:
    targets = torch.tensor([[1, 0, 1]] * 9 + [[0, 1, 0]] * 2 + [[0, 0, 1]] * 3)
    order = balanced_order(targets, 4, torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == list(range(14))


def rounds_of_equal_classes(
    targets: torch.Tensor, group: int, rng: torch.Generator
) -> torch.Tensor:
    """What `balanced_order` was before classes of unequal size: committed figures rest on it."""
    first = targets.argmax(1)
    groups = []
    for c in first.unique():
        rows = torch.nonzero(first == c)[:, 0]
        groups.append(list(rows[torch.randperm(len(rows), generator=rng)].split(group)))
    order = []
    for turn in range(max(map(len, groups))):
        for c in torch.randperm(len(groups), generator=rng):
            order += groups[c][turn : turn + 1]
    return torch.cat(order)


@pytest.mark.parametrize(("classes", "per_class", "group"), [(17, 40, 4), (3, 11, 4), (10, 30, 7)])
def test_the_order_of_equal_classes_is_that_of_committed_figures(
    classes: int, per_class: int, group: int
) -> None:
    targets = torch.eye(classes)[torch.randperm(classes * per_class) % classes]
    now, then = (torch.Generator().manual_seed(3) for _ in range(2))
    for _ in range(2):
        order = balanced_order(targets, group, now)
        assert torch.equal(order, rounds_of_equal_classes(targets, group, then))
    assert torch.equal(now.get_state(), then.get_state())  # what is drawn behind it, too


@pytest.mark.parametrize("sizes", [[1000] + [30] * 9, [30] * 9 + [1000], [1000, 300, 200, 150, 35]])
def test_a_large_class_fills_no_batch_alone(sizes: list[int]) -> None:
    classes = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    targets = torch.eye(len(sizes))[classes]
    for seed in range(5):
        order = balanced_order(targets, 4, torch.Generator().manual_seed(seed))
        assert sorted(order.tolist()) == list(range(sum(sizes)))
        assert all(len(classes[rows].unique()) >= 2 for rows in order.split(32))
        for c, size in enumerate(sizes):  # each quarter of the epoch sees a quarter of each class
            seen = [int((classes[part] == c).sum()) for part in order.tensor_split(4)]
            assert max(seen) - min(seen) <= 8 + size // 20, (c, seen)


def test_a_last_single_picture_is_left_out() -> None:
    data = tiny.training_set(tiny.config(batch_size=3), per_class=2)
    assert [len(batch.rows) for batch in data.batches(0)] == [3]


def test_a_last_batch_with_too_few_pictures_for_the_processes_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No share is empty, and every process makes the same steps of the same pictures."""
    data = tiny.training_set(tiny.config(batch_size=8), per_class=9)  # 8, 8 and 2 pictures
    alone = list(data.batches(0))
    assert [len(batch.rows) for batch in alone] == [8, 8, 2]
    for rank in range(4):
        monkeypatch.setattr("dsah_train.distributed._world", lambda rank=rank: (rank, 4))
        shared = list(data.batches(0))
        assert [len(batch.images) for batch in shared] == [2, 2]
        for one, whole in zip(shared, alone, strict=False):
            assert torch.equal(one.rows, whole.rows)
            assert torch.equal(one.images, whole.images[2 * rank : 2 * rank + 2])
        assert data.steps == 3  # as in one process: learning rates are the same


def test_more_processes_than_pictures_of_a_batch_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dsah_train.distributed._world", lambda: (0, 4))
    data = tiny.training_set(tiny.config(batch_size=3))
    with pytest.raises(ConfigError, match=r"batches of 3 pictures .* for 4 processes"):
        next(data.batches(0))
    few = tiny.training_set(tiny.config(batch_size=8), per_class=1)
    with pytest.raises(ConfigError, match=r"2 pictures\) for 4 processes"):
        next(few.batches(0))


def test_views_without_chance_are_the_pictures() -> None:
    settings = tiny.config(min_area=1.0, colour_jitter=0.0)
    pictures = torch.from_numpy(tiny.pictures(2, 2, 48))
    # The aspect of a crop varies even at full area, by at most a fifth.
    views = random_views(pictures, settings, torch.Generator().manual_seed(0))
    assert views.shape == (4, 3, 48, 48)
    assert float((views.mean((2, 3)) - normalise(pictures).mean((2, 3))).abs().max()) < 0.1


def corners(size: int) -> torch.Tensor:
    """uint8 (1, size, size, 3): red is the column, green the row of each pixel."""
    line = torch.arange(size, dtype=torch.uint8)
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([columns, rows, torch.zeros_like(rows)], 2)[None]


def test_paper_views_are_squares_of_224_pixels_of_256() -> None:
    settings = Config.with_preset(method="dpsh", preset="paper")
    # No pixel is enlarged: a step in the view is a step in the picture, anywhere and mirrored.
    many = corners(256).expand(16, -1, -1, -1)
    views = random_views(many, settings, torch.Generator().manual_seed(0))
    scale = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1) * 255
    across = views.diff(dim=3)[:, 0] * scale[0, 0]
    down = views.diff(dim=2)[:, 1] * scale[0, 1]
    assert torch.allclose(across.abs(), torch.ones(()), atol=2e-3)
    assert torch.allclose(down, torch.ones(()), atol=2e-3)
    assert {1, -1} == set(across[:, 0, 0].round().int().tolist())
    left, top = (views * scale).amin((2, 3))[:, :2].unbind(1)
    assert float(left.std()) > 3
    assert float(top.std()) > 3


def test_views_of_committed_figures_are_drawn_as_they_were() -> None:
    """Sums of the views that the code before ``max_area`` and ``aspect`` made of this seed."""
    settings = Config(train_size=32)
    pictures = torch.from_numpy(tiny.pictures(2, 3, 48))
    rng = torch.Generator().manual_seed(5)
    views = random_views(pictures, settings, rng)
    sums = [-2733.729, -2568.903, -3039.870, -1598.346, -921.838, -928.708]
    assert views.double().sum((1, 2, 3)).tolist() == pytest.approx(sums, abs=0.01)
    assert float(torch.rand(1, generator=rng)) == 0.8563690185546875  # nothing more is drawn


def test_shares_of_a_batch_are_its_views() -> None:
    settings = tiny.config(min_area=0.3, colour_jitter=0.4)
    pictures = torch.from_numpy(tiny.pictures(2, 3, 48))

    def views(share: slice) -> torch.Tensor:
        return random_views(pictures, settings, torch.Generator().manual_seed(7), share)

    whole = views(slice(None))
    assert torch.equal(torch.cat([views(slice(0, 2)), views(slice(2, 6))]), whole)
    low = normalise(torch.zeros(1, 1, 1, 3, dtype=torch.uint8)).amin()
    high = normalise(torch.full((1, 1, 1, 3), 255, dtype=torch.uint8)).amax()
    assert float(low) <= float(whole.min()) < float(whole.max()) <= float(high)


def test_feature_sets_give_their_rows() -> None:
    features = torch.arange(12.0).view(6, 2)
    data = FeatureSet(features, torch.eye(2)[[0, 0, 0, 1, 1, 1]], tiny.config(batch_size=4))
    for batch in data.batches(0):
        assert torch.equal(batch.images, features[batch.rows])
        assert torch.equal(batch.targets, data.targets[batch.rows])
