"""TensorBoard: event files in the run folder, written by TensorBoard's own package, without TensorFlow or torch."""

import io
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from PIL import Image

from telltale.training.about import About
from telltale.training.events import EpochDone, Event
from telltale.training.trackers.tracker import Outcome, Rows, row_of, scalars_of

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

FOLDER: Final = "tensorboard"
"""Below the run folder."""

ENDS: Final = {"finished": "STATUS_SUCCESS", "stopped": "STATUS_UNKNOWN", "failed": "STATUS_FAILURE"}


class TensorBoard:
    """Curves, test figures, pictures and settings as event files in `RUN/tensorboard`, for `tensorboard --logdir`.

    Each session writes the whole history anew and calls what was there before out of date, so it is whole also where
    the files of an earlier machine are lost, and no step is there twice.
    """

    package: ClassVar[str] = "tensorboard"

    def __init__(self) -> None:
        self._writer: EventFileWriter | None = None
        self._epochs = set[int]()

    def check(self) -> str:
        """Nothing can be seen in advance."""
        return ""

    def begin(self, about: About, rows: Rows) -> str:
        """Begin a new event file with all epochs so far."""
        from tensorboard.compat.proto.event_pb2 import Event as Entry, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = about.folder / FOLDER
        self._writer = EventFileWriter(str(folder))
        # TensorBoard forgets all steps from this one on that it has read before.
        start = Entry(wall_time=time.time(), step=0, session_log=SessionLog(status=SessionLog.START))
        self._writer.add_event(start)
        self._add(_settings(about), 0)
        self._add(_text("about", about.facts()), 0)
        for row in rows:
            self._add_row(row)
        self._writer.flush()
        return f"written to {folder}; to look at it: tensorboard --logdir {about.folder.parent}"

    def hear(self, event: Event) -> None:
        """A point of each curve."""
        if isinstance(event, EpochDone) and self._writer is not None:
            self._add_row(row_of(event))
            self._writer.flush()

    def finish(self, outcome: Outcome) -> None:
        """The test's figures as points, its pictures, and how it ended."""
        last = max(self._epochs, default=0)
        for name, value in outcome.figures.items():
            self._add(_scalar(name, value), last)
        for name, picture in outcome.pictures.items():
            self._add(_picture(name, picture), last)
        self._add(_end(ENDS[outcome.end]), last)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _add_row(self, row: Mapping[str, float]) -> None:
        epoch = int(row["epoch"])
        if epoch not in self._epochs:
            self._epochs.add(epoch)
            for name, value in scalars_of(row).items():
                self._add(_scalar(name, value), epoch)

    def _add(self, value: "Summary.Value", step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event as Entry
        from tensorboard.compat.proto.summary_pb2 import Summary

        if self._writer is not None:
            self._writer.add_event(Entry(wall_time=time.time(), step=step, summary=Summary(value=[value])))


def _scalar(name: str, value: float) -> "Summary.Value":
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary.Value(tag=name, simple_value=value)


def _picture(name: str, png: bytes) -> "Summary.Value":
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = Image.open(io.BytesIO(png)).size
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
    return Summary.Value(tag=name, image=image)


def _text(name: str, facts: Mapping[str, Any]) -> "Summary.Value":
    """A table of facts, which the text page shows as Markdown."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING

    # Indented, because Markdown shows that as it stands: names come from outside.
    lines = [f"    {name} = {json.dumps(value, ensure_ascii=False, default=str)}" for name, value in facts.items()]
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype=DT_STRING, tensor_shape=shape, string_val=["\n".join(lines).encode()])
    plugin = SummaryMetadata.PluginData(plugin_name="text")
    return Summary.Value(tag=f"{name}/text_summary", tensor=tensor, metadata=SummaryMetadata(plugin_data=plugin))


def _settings(about: About) -> "Summary.Value":
    """The settings for the page HPARAMS, which compares runs by them."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    info = SessionStartInfo(start_time_secs=time.time(), group_name=about.id)
    for name, value in about.settings.items():
        if isinstance(value, bool):
            info.hparams[name].bool_value = value
        elif isinstance(value, int | float):
            info.hparams[name].number_value = value
        else:
            info.hparams[name].string_value = value if isinstance(value, str) else ", ".join(map(str, value))
    return _hparams("session_start_info", HParamsPluginData(version=0, session_start_info=info))


def _end(status: str) -> "Summary.Value":
    from tensorboard.plugins.hparams import api_pb2
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    info = SessionEndInfo(status=api_pb2.Status.Value(status), end_time_secs=time.time())
    return _hparams("session_end_info", HParamsPluginData(version=0, session_end_info=info))


def _hparams(name: str, content: Any) -> "Summary.Value":
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata

    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=content.SerializeToString())
    return Summary.Value(tag=f"_hparams_/{name}", metadata=SummaryMetadata(plugin_data=plugin))
