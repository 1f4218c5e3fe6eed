"""The page HParams: a run's settings beside its results, so that runs can be sorted and compared.

Three records in the run's own event file. SummaryWriter.add_hparams writes them into a run of their own, which then
stands beside the real one in every list.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from jarvis_nano.runs import RunConfig

Setting = bool | int | float | str
# The dials that people turn. TensorBoard shows first what differs between runs, and five columns unless told otherwise;
# a run does not know the others, so it says of these that they do.
DIALS = ("model.d_model", "model.n_layers", "train.batch_size", "train.learning_rate", "train.optimizer")
METRICS = ("eval/loss", "eval/bits_per_byte", "eval/grammar", "train/loss", "train/tokens_per_second")


def flattened(config: RunConfig) -> dict[str, Setting]:
    """A run's configuration, one level deep: `model.n_layers`, `train.learning_rate`, `data`, `tuned_from`, `preset`.

    Lists become one string; the tokenizer is named by the first 12 digits of its hash.
    """
    flat: dict[str, Setting] = {"preset": config.preset, "data": config.data, "tuned_from": config.tuned_from}
    flat["tokenizer"] = config.tokenizer_hash[:12]
    for part, settings in (("model", config.model), ("train", config.train)):
        for name, value in dataclasses.asdict(settings).items():
            flat[f"{part}.{name}"] = " | ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return flat


def start(settings: Mapping[str, Setting], metrics: Sequence[str], wall_time: float) -> list[Summary.Value]:
    """The records `experiment`, which columns there are, and `session_start_info`, this run's settings."""
    experiment = api_pb2.Experiment(
        time_created_secs=wall_time,
        hparam_infos=[
            api_pb2.HParamInfo(name=name, type=_kind(value), differs=name in DIALS) for name, value in settings.items()
        ],
        metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in metrics],
    )
    # Without a group's name the group is called like the run: a row of the table says which run it is.
    session = SessionStartInfo(start_time_secs=wall_time)
    for name, value in settings.items():
        if isinstance(value, bool):  # before int, of which it is a kind
            session.hparams[name].bool_value = value
        elif isinstance(value, int | float):
            session.hparams[name].number_value = value
        else:
            session.hparams[name].string_value = value
    return [
        _record(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment)),
        _record(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=session)),
    ]


def end(success: bool, wall_time: float) -> Summary.Value:
    """The record `session_end_info`. TensorBoard keeps a run's first one: write it when nothing more will come."""
    status = api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE
    info = SessionEndInfo(status=status, end_time_secs=wall_time)
    return _record(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))


def _kind(value: Setting) -> api_pb2.DataType:
    if isinstance(value, bool):
        return api_pb2.DATA_TYPE_BOOL
    return api_pb2.DATA_TYPE_FLOAT64 if isinstance(value, int | float) else api_pb2.DATA_TYPE_STRING


def _record(tag: str, data: HParamsPluginData) -> Summary.Value:
    # All is in the metadata; the value itself is empty.
    return Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR)
