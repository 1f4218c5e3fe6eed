"""The page HParams lists each run once, under its own name, with its settings and the last values of its curves."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator as PluginEventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.get_experiment import Handler as ExperimentHandler
from tensorboard.plugins.hparams.list_session_groups import Handler as GroupsHandler

from jarvis_nano.config import PRESETS, ModelConfig, TrainConfig
from jarvis_nano.observe.hparams import DIALS, flattened
from jarvis_nano.observe.metrics import Metrics
from jarvis_nano.runs import RunConfig

STATUSES = (api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING)


def _page(logdir: Path) -> tuple[list[str], list[api_pb2.SessionGroup], api_pb2.Experiment]:
    """All runs that TensorBoard finds, and what its page HParams is given."""
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(logdir))
    multiplexer.Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(logdir))))
    request = api_pb2.ListSessionGroupsRequest(allowed_statuses=STATUSES, slice_size=100)
    groups = GroupsHandler(RequestContext(), context, "", request).run().session_groups
    content = context.hparams_metadata(RequestContext(), "")
    experiment = ExperimentHandler(
        RequestContext(), context, "", api_pb2.GetExperimentRequest(include_metrics=True)
    ).run()
    assert content
    return sorted(multiplexer.Runs()), list(groups), experiment


def _config(**train: object) -> RunConfig:
    return RunConfig("nano", ModelConfig(), TrainConfig(**train), "ab" * 32, "data/demo")


def test_runs_are_listed_once_with_their_settings_and_results(tmp_path):
    for name, rate in (("slow", 1e-4), ("fast", 1e-2)):
        with Metrics(tmp_path / name) as metrics:
            metrics.hyperparameters(flattened(_config(learning_rate=rate)), metrics=("eval/loss",))
            for step in (10, 20):
                metrics.scalars(step, {"eval/loss": rate * step, "train/loss": 1.0})
            metrics.finished(success=name == "slow")
    runs, groups, experiment = _page(tmp_path)
    assert runs == ["fast/tensorboard", "slow/tensorboard"]  # no run of its own for the settings
    assert [group.name for group in groups] == runs
    fast, slow = groups
    assert fast.hparams["train.learning_rate"].number_value == 1e-2
    assert fast.hparams["model.tie_embeddings"].bool_value is True
    assert fast.hparams["model.norm"].string_value == "layernorm"
    assert fast.hparams["train.sample_prompts"].string_value == " | Il était une fois"
    (loss,) = slow.metric_values
    assert (loss.name.tag, loss.training_step) == ("eval/loss", 20)
    assert loss.value == pytest.approx(2e-3)
    assert fast.sessions[0].status == api_pb2.STATUS_FAILURE
    assert slow.sessions[0].status == api_pb2.STATUS_SUCCESS
    kinds = {info.name: info.type for info in experiment.hparam_infos}
    assert set(kinds) == set(fast.hparams)
    assert kinds["model.tie_embeddings"] == api_pb2.DATA_TYPE_BOOL
    assert tuple(info.name for info in experiment.hparam_infos[:5]) == DIALS  # the columns that are shown
    assert [info.name.tag for info in experiment.metric_infos] == ["eval/loss"]


def test_every_setting_of_every_preset_has_a_column():
    for name, preset in PRESETS.items():
        flat = flattened(RunConfig(name, preset.model, preset.train, "0" * 64, "data"))
        assert {f"model.{field}" for field in vars(preset.model)} <= set(flat)
        assert {f"train.{field}" for field in vars(preset.train)} <= set(flat)
        assert all(isinstance(value, bool | int | float | str) for value in flat.values())


def test_a_run_that_starts_over_or_is_resumed_keeps_its_row(tmp_path):
    with Metrics(tmp_path / "run") as metrics:
        metrics.hyperparameters({"rate": 1.0}, metrics=("eval/loss",))
        metrics.scalars(10, {"eval/loss": 3.0})
        metrics.truncate(-1)
        metrics.scalars(10, {"eval/loss": 2.0})
    with Metrics(tmp_path / "run") as metrics:
        metrics.truncate(10)
        metrics.hyperparameters({"rate": 1.0}, metrics=("eval/loss",))
        metrics.scalars(20, {"eval/loss": 1.0})
    accumulator = PluginEventAccumulator(str(tmp_path / "run" / "tensorboard"))
    accumulator.Reload()
    for record in ("experiment", "session_start_info"):  # of the run that started over, and of the resumed one
        assert [event.step for event in accumulator.Tensors(f"_hparams_/{record}")] == [0, 0]
    _, (group,), _ = _page(tmp_path)
    assert group.hparams["rate"].number_value == 1.0
    assert [value.value for value in group.metric_values] == [1.0]
    assert group.sessions[0].status == api_pb2.STATUS_UNKNOWN
