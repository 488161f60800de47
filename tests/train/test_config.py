"""Settings: types, ranges, presets, files, flags."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from pathlib import Path

import pytest
import yaml

from dsah_infer.errors import ConfigError
from dsah_train.__main__ import build_parser, config_from, seconds
from dsah_train.config import METHODS, Config
from dsah_train.config_file import read_file
from dsah_train.data.protocols import describe_protocols


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("preset", ["best", "paper"])
def test_presets_are_valid_and_survive_json(method: str, preset: str) -> None:
    config = Config.with_preset(method=method, preset=preset)
    assert config.method == method
    assert config.preset == preset
    assert Config.from_json(config.to_json()) == config


def test_wide_trunks_without_normalisation_learn_slower() -> None:
    light, vgg = (Config.with_preset(backbone=name) for name in ("squeezenet1_1", "vgg16"))
    assert light == Config(code_norm=True, lr=3e-3)
    assert vgg.trunk_lr < light.trunk_lr
    assert Config.with_preset(backbone="vgg16", trunk_lr=0.5).trunk_lr == 0.5
    assert Config.with_preset(backbone="vgg16", preset="paper").trunk_lr == 0.1


@pytest.mark.parametrize(("backbone", "rate"), [("vgg16", 3e-5), ("alexnet", 1e-4)])
@pytest.mark.parametrize("method", ["dsah", "orthohash", "csq", "dagh"])
def test_their_rate_is_the_same_beside_any_hash_layer(
    method: str, backbone: str, rate: float
) -> None:
    for given in ({}, {"lr": 2e-3}, {"code_norm": False} if method != "dagh" else {}):
        config = Config.with_preset(method=method, backbone=backbone, **given)
        assert config.lr * config.trunk_lr == pytest.approx(rate, rel=0.01)


def test_a_plain_hash_layer_learns_at_the_rate_it_bears() -> None:
    for method in ("dsah", "orthohash"):
        assert Config.with_preset(method=method).lr == 3e-3
        assert Config.with_preset(method=method, code_norm=False).lr == 1e-3
        assert Config.with_preset(method=method, code_norm=False, lr=2e-3).lr == 2e-3
    assert Config.with_preset(method="csq", code_norm=True).lr == 1e-3


@pytest.mark.parametrize("rate", ["fast", -1, float("nan"), None])
def test_a_wrong_rate_is_named_beside_any_backbone(rate: object) -> None:
    with pytest.raises(ConfigError, match="lr"):
        Config.with_preset(backbone="vgg16", lr=rate)


def test_paper_preset_is_the_published_one() -> None:
    config = Config.with_preset(method="dsah", preset="paper")
    assert (config.lambda_, config.alpha, config.batch_size) == (30, 40, 32)
    assert (config.optimizer, config.weight_decay, config.alternate) == ("sgd", 5e-4, "epoch")
    assert (config.backbone, config.pair_power, config.centres) == ("vgg16", 1, 0)
    assert config.warm_start == 0


@pytest.mark.parametrize("method", ["dsah", "dagh", "dpsh", "doh"])
def test_paper_preset_crops_224_pixels_of_256(method: str) -> None:
    config = Config.with_preset(method=method, preset="paper")
    assert round(config.image_size / config.crop) == 256
    assert config.min_area == config.max_area == (224 / 256) ** 2 == 0.765625
    assert (config.aspect, config.train_size) == (0, 224)


def test_settings_of_older_runs_get_the_values_that_they_had() -> None:
    old = json.loads(Config(method="dpsh", min_area=0.5).to_json())
    del old["max_area"], old["aspect"], old["code_norm"]
    config = Config.from_json(json.dumps(old))
    assert (config.min_area, config.max_area, config.aspect) == (0.5, 1.0, 0.2)
    assert not config.code_norm


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": 0}, "bits = 0, allowed: 1 to 4096"),
        ({"bits": 12.0}, "must be of type int"),
        ({"bits": True}, "must be of type int"),
        ({"lr": "fast"}, "must be of type float"),
        ({"method": "magic"}, "allowed: dsah, doh"),
        ({"batch_size": 1}, "allowed: 2 to"),
        ({"crop": 0}, "allowed: 0.1 to 1"),
        ({"weight_decay": -1}, "weight_decay = -1.0, allowed: 0 to 10"),
        ({"clip": 0}, "clip = 0.0, allowed: 0.001 to"),
        ({"lambda_": float("nan")}, "lambda_ = nan, allowed: finite numbers"),
        ({"beta": -3}, "beta = -3.0, allowed: 0.001 to"),
        ({"aspect": -0.1}, "aspect = -0.1, allowed: 0 to 1"),
        ({"max_area": 0.3}, "min_area = 0.35 with max_area = 0.3, allowed: min_area up to max"),
        ({"method": "doh", "bits": 12, "arity": 16, "nested": "6,12"}, "multiples of 4"),
        ({"method": "doh", "arity": 4, "bits": 13}, "not a multiple of 2"),
        ({"nested": "12,24"}, "ascending lengths that end with bits"),
        ({"nested": "48,48"}, "ascending"),
        ({"nested": "0,48"}, "ascending"),
        ({"nested": "a"}, "ascending"),
        ({"method": "lsh", "nested": "24,48"}, "learns none"),
        ({"teacher": "x.pt"}, "method dagh"),
        ({"attention_scale": 0.25}, "allowed: 1.0, 0.5"),
        ({"code_norm": True, "method": "doh"}, "a setting of dsah, dsh, .* orthohash, not of doh"),
        ({"attention_scale": 0.5, "method": "doh"}, "needs an attention network"),
        ({"attention_scale": 0.5, "attention": False}, "needs an attention network"),
        ({"attention_scale": 0.5, "method": "dagh", "teacher": "x.pt"}, "needs an attention"),
        ({"colour": 1}, "unknown settings"),
        ({"backbone": "vgg16", "image_size": 240}, "image_size = 240, allowed: multiples of 32"),
        ({"backbone": "vgg16", "train_size": 100}, "train_size = 100, allowed: multiples"),
        ({"method": "dpsh", "backbone": "alexnet", "image_size": 48}, "allowed for alexnet: 63"),
        ({"image_size": 32, "train_size": 33, "attention_scale": 0.5}, "image_size = 32, .* 34"),
    ],
)
def test_wrong_settings_say_what_is_allowed(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.from_dict(changes)


def test_whole_numbers_count_as_floats() -> None:
    assert Config(lr=1).lr == 1.0  # type: ignore[arg-type]
    assert Config(nested="12,24,48").lengths == (12, 24, 48)
    assert Config().lengths == (48,)


def test_sides_are_refused_only_where_they_matter() -> None:
    Config(backbone="vgg16", image_size=240, train_size=240, method="dpsh")
    Config(backbone="vgg16", image_size=240, train_size=240, attention_scale=0.5)
    Config(backbone="alexnet", method="dpsh", train_trunk=False, train_size=32)
    Config(backbone="alexnet", method="dpsh", image_size=63, train_size=63)


def test_rivals_keep_their_own_weights() -> None:
    for preset in ("best", "paper"):
        config = Config.with_preset(method="orthohash", preset=preset)
        assert (config.centre_scale, config.margin) == (8.0, 0.2)
    assert Config.with_preset(method="dsah").centre_scale == Config().centre_scale


def test_every_field_has_help_and_its_default_is_allowed() -> None:
    for field in dataclasses.fields(Config):
        assert field.metadata["help"], field.name
    Config()


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_files_and_flags_override_in_order(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"settings{suffix}"
    values = {"bits": 24, "lr": 0.01, "seed": 3}
    path.write_text(json.dumps(values) if suffix == ".json" else yaml.safe_dump(values))
    line = ["fit", "--data", "x", "--out", "y", "--config", str(path), "--set", "lr=0.02"]
    config = config_from(build_parser().parse_args([*line, "--seed", "4", "--no-attention"]))
    assert (config.bits, config.lr, config.seed, config.attention) == (24, 0.02, 4, False)


def test_names_and_numbers_may_be_written_as_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("lambda: 20\nimage-size: 128\nlr: 5e-4\nweight_decay: 1E-3\nnested: 12,48\n")
    line = ["fit", "--data", "x", "--out", "y", "--config", str(path)]
    config = config_from(build_parser().parse_args([*line, "--set", "train-size=96"]))
    assert (config.lambda_, config.image_size, config.train_size) == (20.0, 128, 96)
    assert (config.lr, config.weight_decay, config.nested) == (5e-4, 1e-3, "12,48")
    config = config_from(build_parser().parse_args([*line, "--set", "lambda=5"]))
    assert config.lambda_ == 5.0


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.json"):
        read_file(tmp_path / "absent.json")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(ConfigError, match="got list"):
        read_file(tmp_path / "list.json")
    (tmp_path / "broken.json").write_text("{")
    for name, text in (
        ("broken.json", "{"),
        ("deep.json", "[" * 100_000),
        ("broken.yaml", "a: [1\nb"),
        ("words.yaml", "# Title\n\n- *bold*: `x`\n"),
        ("twice.yaml", "lambda: 1\nlambda_: 2\n"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match=re.escape(name)):
            read_file(tmp_path / name)


@pytest.mark.parametrize("text", ["3e2", "3.0e2", "3.e+2", "+300", "300.0", "3.0E+2", ".3e3"])
def test_numbers_of_files_are_numbers(text: str, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(f"clip: {text}\n")
    assert read_file(tmp_path / "my.yaml")["clip"] == 300


def test_a_single_length_is_text_in_files_and_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("nested: 48\n")
    assert Config(**read_file(tmp_path / "my.yaml")).nested == "48"
    with pytest.raises(ConfigError, match="must be of type str"):
        Config(protocol=True)  # type: ignore[arg-type]
    line = ["fit", "--data", "x", "--out", "y", "--set"]
    for given in ("nested=48", 'nested="48"'):
        assert config_from(build_parser().parse_args([*line, given])).nested == "48"


@pytest.mark.parametrize("text", ["nan", "inf", "1e999h", "0", "-5", "x"])
def test_durations_are_finite(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no duration"):
        seconds(text)


@pytest.mark.parametrize("name", ["seed", "split_seed"])
@pytest.mark.parametrize("value", [-1, 2**31])
def test_seeds_are_in_range(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"{name} = {value}, allowed: 0 to"):
        Config(**{name: value})


def test_the_lengths_of_a_student_end_with_its_teachers() -> None:
    student = Config(method="dagh", teacher="t.pt", nested="6,12")  # bits are not known yet
    assert student.replace(bits=12).lengths == (6, 12)


def test_an_image_size_alone_is_remarked(caplog: pytest.LogCaptureFixture) -> None:
    line = ["fit", "--data", "x", "--out", "y", "--image-size", "64"]
    config_from(build_parser().parse_args(line))
    assert "train_size stays 224 while image_size is 64" in caplog.text
    caplog.clear()
    config_from(build_parser().parse_args([*line, "--train-size", "64"]))
    assert not caplog.records


def test_help_names_every_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("fit", "evaluate"):
        with pytest.raises(SystemExit):
            build_parser().parse_args([verb, "--help"])
        shown = capsys.readouterr().out
        assert all(line.strip() in shown for line in describe_protocols().splitlines())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            "--method dpsh --margin 0.5 --set beta=2 --quantization 0.2",
            ["beta is a setting of doh, not", "margin is a setting of dsah, dagh, orthohash, not"],
        ),
        ("--method dpsh --margin 0.25", []),  # as it would be anyway
        ("--method dpsh --alternate epoch", ["alternate is a setting of dsah, dagh, not of dpsh"]),
        ("--preset paper --alternate joint", []),
        ("--method itq --lr 0.5", ["lr is a setting of dsah, doh, .*, not of itq"]),
        ("--no-attention --alpha 3 --lambda 3", ["alpha is about masking"]),
        ("--alpha 3 --lambda 3", []),
        ("--method orthohash --margin 0.1", []),
        ("--method dagh --teacher t.pt --bits 12 --margin 1", ["bits is the", "margin is about"]),
        ("--method dagh --teacher t.pt --arity 4", ["arity is the teacher's"]),
    ],
)
def test_settings_that_are_not_read_are_named(
    arguments: str, expected: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    parsed = build_parser().parse_args(["fit", "--data", "x", "--out", "y", *arguments.split()])
    config_from(parsed)
    named = [record.getMessage() for record in caplog.records]
    assert len(named) == len(expected)
    assert all(re.match(start, text) for start, text in zip(expected, named, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_the_settings_of_a_run_are_given_again_in_peace(
    method: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "config.json").write_text(Config.with_preset(method=method).to_json())
    arguments = ["fit", "--data", "x", "--out", "y", "--config", str(tmp_path / "config.json")]
    assert config_from(build_parser().parse_args(arguments)).method == method
    assert not caplog.records
