"""Event data for a study: simulated gestures, known recorded sets, or a folder of files.

::

    spec = DataSpec("simulated-gestures", timesteps=8, size=32)
    check_data(spec)                       # before anything is created
    data = prepare_data(spec, cache)       # frames them once
    data = load_data(spec, cache)          # any process, memory-mapped
    x = data.encoding.to_float(torch.from_numpy(data.train.frames[:32]))
"""

from hqsearch.data.encoding import Encoding, get_encoding
from hqsearch.data.frames import FrameData, Split, open_frames
from hqsearch.data.given import FolderFrames, Frames
from hqsearch.data.given_images import Images
from hqsearch.data.prepare import (
    DataOutlook,
    check_data,
    data_classes,
    data_outlook,
    load_data,
    prepare_data,
    splits_given,
    summarise_data,
)
from hqsearch.data.simulated import SIMULATED_NOTE, SIMULATOR_VERSION, simulate_gesture
from hqsearch.data.sources import classes_beforehand
from hqsearch.data.spec import DataSpec, usual_place
from hqsearch.data.summary import DataSummary, RecordingSummary
from hqsearch.definition.data import DATASETS, ENCODINGS

__all__ = [
    "DATASETS",
    "ENCODINGS",
    "SIMULATED_NOTE",
    "SIMULATOR_VERSION",
    "DataOutlook",
    "DataSpec",
    "DataSummary",
    "Encoding",
    "FolderFrames",
    "FrameData",
    "Frames",
    "Images",
    "RecordingSummary",
    "Split",
    "check_data",
    "classes_beforehand",
    "data_classes",
    "data_outlook",
    "get_encoding",
    "load_data",
    "open_frames",
    "prepare_data",
    "simulate_gesture",
    "splits_given",
    "summarise_data",
    "usual_place",
]
