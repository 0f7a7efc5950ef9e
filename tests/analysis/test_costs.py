"""``hqsearch cost``: a trial's recorded energy again, stated rates, other profiles, bad input."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from hqsearch.analysis.cost_study import EARLIER_COUNTING, CostRequest
from hqsearch.analysis.costs import Assigned, CostReport, cost_report
from hqsearch.cli import cli
from hqsearch.definition import embedded
from hqsearch.errors import (
    DefinitionError,
    InputError,
    PluginError,
    StudyMismatch,
    UnknownName,
)
from hqsearch.hardware import CostModel, Workload, load_profile, rates_from_json
from hqsearch.show.live import LiveProgress
from hqsearch.store.log import LogReader, storage_url
from hqsearch.store.records import TrialRow
from hqsearch.store.results import Results
from hqsearch.study.running import Request, start

PROFILE = "horowitz-45nm-memory"
SMALL = """
title = "small"
space = "spikformer"
evaluator = "short-qat"
[data]
dataset = "simulated-gestures"
size = 16
train = 33
validation = 22
test = 11
[model]
name = "spikformer"
timesteps = 2
embed_dim = 16
depth = 1
heads = 2
pooled_stages = 3
[evaluation]
parent_epochs = 1
parent_threads = 1
epochs = 1
batch_size = 11
[hardware]
profile = "mine.toml"
[[objective]]
name = "accuracy"
[[objective]]
name = "energy"
[[objective]]
name = "storage"
"""


def search(folder: Path, **overrides: Any) -> None:
    where = {"device": "cpu", "workers": 1, "studies_dir": folder / "studies"}
    study = str(folder / "small.toml")
    request = Request(study, "random", evaluations=6, overrides=overrides, **where)
    with LiveProgress(Console(quiet=True)) as progress:
        start(request, progress)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study with its own hardware profile, run once: five baselines and one more."""
    folder = tmp_path_factory.mktemp("costs")
    (folder / "small.toml").write_text(SMALL)
    built_in = Path(str(embedded("studies")["toy"])).parents[1] / "hqsearch/hardware/profiles"
    shutil.copy(built_in / f"{PROFILE}.toml", folder / "mine.toml")
    search(folder)
    return folder


@pytest.fixture
def folder(once: Path, tmp_path: Path) -> Path:
    """A copy that a test may change; the log still names the profile of the original."""
    shutil.copytree(once, tmp_path / "copy")
    return tmp_path / "copy"


def report(folder: Path, study: str | None = None, **asked: Any) -> CostReport:
    named = study or str(folder / "small.toml")
    return cost_report(CostRequest(named, studies_dir=folder / "studies", **asked))


def assigned(found: CostReport) -> Assigned:
    assert found.assigned is not None
    return found.assigned


def trials(folder: Path) -> tuple[list[TrialRow], list[TrialRow]]:
    """All trials, and the front."""
    path = (folder / "studies" / "small").resolve()
    reader = LogReader(storage_url(None, path), "small")
    results = Results(path, reader)
    reader.close()
    found = results.trials(), results.front()
    results.close()
    return found


def test_a_trial_costs_what_was_recorded(once: Path) -> None:
    rows, _ = trials(once)
    assert len(rows) == 6
    for row in rows:
        found = report(once, trial=row.number)
        costs = assigned(found)
        assert row.values is not None
        assert costs.energy.total == row.values["energy"] == costs.recorded
        assert costs.storage.kib == row.values["storage"]
        assert costs.storage.average_bits == row.average_bits
        assert costs.candidate.choices == row.choices
        assert found.notes == ()
    baseline = next(row for row in rows if row.origin == "4u")
    estimate = assigned(report(once, uniform="4u"))
    assert estimate.energy.total == baseline.details.energy_estimate
    assert estimate.rates == "measured on the fp32 parent"


def test_json_adds_up(once: Path) -> None:
    found = json.loads(json.dumps(report(once, trial=1).as_json(), allow_nan=False))
    assert sum(row["energy"] for row in found["layers"]) == found["energy"]
    assert sum(row["storage"] for row in found["layers"]) == found["storage"]
    assert sum(part["energy"] for part in found["parts"]) == found["energy"]
    assert sum(found["energy_columns"].values()) == found["energy"]
    assert {"tokenizer", "attention: query", "MLP"} <= {part["part"] for part in found["parts"]}
    assert found["comparison"]["quantized"] == found["energy"]
    assert found["comparison"]["fp32"] > found["energy"]
    assert found["compression"]["codes"] == 32 / found["average_bits"]
    assert found["compression"]["stored"] < found["compression"]["codes"]


def test_operations_are_counted_exactly_and_as_papers_count_them(once: Path) -> None:
    found = json.loads(json.dumps(report(once, trial=1).as_json(), allow_nan=False))
    layers = [row for row in found["layers"] if row["kind"] == "weight"]
    assert sum(row["operations"] for row in layers) == found["operations"]
    assert sum(row["padded_operations"] for row in layers) == found["padded_operations"]
    ratio = found["padded_operations"] / found["operations"]
    assert found["padded_over_operations"] == ratio > 1.0
    head = layers[-1]
    assert head["operations"] == head["padded_operations"] == head["macs"]
    assert found["unread"] == []
    assert f"{ratio:.3f} times this" in call(once, "--trial", "1")


def forget_exact_counts(folder: Path) -> float:
    """Make a study one of recipe 1; energy of its trial 0 by r·M, with padding, at 4u."""
    (file,) = (folder / "studies" / "small" / "parents").glob("*/workload.json")
    workload = json.loads(file.read_text())
    del workload["counting"], workload["unread"]
    for item in workload["operations"]:
        for key in ("padding_macs_per_step", "rate_per_use", "activity_per_use"):
            del item[key]
    file.write_text(json.dumps(workload))
    with sqlite3.connect(folder / "studies" / "small" / "results.db") as db:
        ((text,),) = db.execute("SELECT details FROM trials WHERE number = 0").fetchall()
        details = json.loads(text)
        for rate in details["rates"].values():
            for key in ("rate_per_use", "activity_per_use"):
                rate.pop(key, None)
        db.execute("UPDATE trials SET details = ? WHERE number = 0", [json.dumps(details)])
    old = Workload.from_json(workload, earlier=True)
    choices = {row["layer"]: row["choice"] for row in details["layers"]}
    costs = CostModel(old, load_profile(str(folder / "mine.toml")), {})
    return costs.energy(choices, rates_from_json(details["rates"])).total


def test_a_study_of_recipe_1_is_shown_by_its_own_counting(folder: Path) -> None:
    exact = assigned(report(folder, trial=0)).energy.total
    expected = forget_exact_counts(folder)
    with sqlite3.connect(folder / "studies" / "small" / "results.db") as db:
        db.execute('UPDATE trials SET "energy" = ? WHERE number = 0', [expected])
    found = report(folder, trial=0)
    assert assigned(found).energy.total == assigned(found).recorded == expected > exact
    assert found.notes == (EARLIER_COUNTING,)
    told = found.as_json()
    assert (told["operations"], told["padded_over_operations"]) == (None, None)
    assert {row["operations"] for row in told["layers"]} == {None}
    assert "r·M, as papers" not in call(folder, "--trial", "0")


def test_what_the_network_does_not_read_is_named(tmp_path: Path) -> None:
    study = own_network(tmp_path, "y")
    plain = assigned(report(tmp_path, study, uniform="4u", rate=0.2))
    text = (tmp_path / "net.py").read_text()
    unused = "self.fire = LIF()\n        self.pos_embed = nn.Parameter(torch.zeros(1, 1024, 64))"
    (tmp_path / "net.py").write_text(text.replace("self.fire = LIF()", unused))
    found = report(tmp_path, study, uniform="4u", rate=0.2)
    assert found.notes == ("not read by the network, not stored: pos_embed (65,536 values)",)
    assert found.as_json()["unread"] == [{"path": "pos_embed", "values": 65_536}]
    assert assigned(found).storage == plain.storage


def test_what_a_trial_would_cost_with_another_choice(once: Path) -> None:
    plain, changed = report(once, trial=0), report(once, trial=0, assign=("head=fp32",))
    assert assigned(changed).label == "trial 0 with head=fp32"
    assert assigned(changed).recorded is None
    assert assigned(changed).candidate.choices["head"] == "fp32"
    for before, after in zip(
        assigned(plain).energy.rows, assigned(changed).energy.rows, strict=True
    ):
        assert (before == after) == (before.path != "head")


def test_without_all_rates_the_difference_is_told(folder: Path) -> None:
    with sqlite3.connect(folder / "studies" / "small" / "results.db") as db:
        db.execute("UPDATE trials SET details = json_remove(details, '$.rates')")
    found = report(folder, trial=2)
    assert any("not every firing rate" in note for note in found.notes)
    assert assigned(found).energy.total == pytest.approx(assigned(found).recorded, rel=0.05)
    with sqlite3.connect(folder / "studies" / "small" / "results.db") as db:
        db.execute("UPDATE trials SET details = json_remove(details, '$.layers')")
    found = report(folder, trial=2)
    assert any("measured no firing rates" in note for note in found.notes)
    assert assigned(found).rates == "measured on the fp32 parent"


def test_stated_rates_without_a_parent_create_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --rate R"):
        report(tmp_path, "gesture", uniform="4u")
    energies = [
        assigned(report(tmp_path, "gesture", uniform="4u", rate=rate)).energy.total
        for rate in (0.1, 0.2)
    ]
    assert energies[0] < energies[1]
    assert assigned(report(tmp_path, "gesture", uniform="4u", rate=0.2)).energy.total == energies[1]
    with pytest.raises(DefinitionError, match="within 0 and 1"):
        report(tmp_path, "gesture", uniform="4u", rate=1.2)
    assert not list(tmp_path.iterdir())


def test_a_stated_rate_replaces_measured_ones(once: Path) -> None:
    found = report(once, uniform="2u", rate=0.5)
    assert "0.5 per step" in assigned(found).rates
    assert {r.rate for r in assigned(found).energy.rows if r.input_kind == "binary"} == {0.5}
    noted = report(once, uniform="2u", rate=0.5, unknown_as_real=True).notes
    assert noted == ("--unknown-as-real changes nothing: the parent is prepared",)


def test_uniform_is_the_baseline_where_the_space_has_one(once: Path, tmp_path: Path) -> None:
    (tmp_path / "pinned.toml").write_text(
        'choices = ["2u", "4u"]\n[[layers]]\nmatch = "head"\npin = "fp32"\n'
        '[[layers]]\nmatch = "blocks.*.[qk]"\ntie = true\n'
    )
    study = tmp_path / "tied.toml"
    study.write_text(SMALL.replace('"spikformer"\neval', '"pinned.toml"\neval'))
    shutil.copy(once / "mine.toml", tmp_path)
    found = report(tmp_path, str(study), uniform="2u", rate=0.2)
    choices = assigned(found).candidate.choices
    assert {path for path, c in choices.items() if c != "2u"} == {"head"}
    assert found.notes == ("layers that may not take 2u: head=fp32",)
    found = report(tmp_path, str(study), uniform="8u", rate=0.2)
    assert set(assigned(found).candidate.choices.values()) == {"8u"}
    assert "8u is outside" in found.notes[0]
    given = ("*=4u", "blocks.0.attention.q+k=2u", "blocks.*.fc?=4l")
    found = report(tmp_path, str(study), assign=given, rate=0.2)
    choices = assigned(found).candidate.choices
    assert choices["blocks.0.attention.q"] == choices["blocks.0.attention.k"] == "2u"
    assert choices["blocks.0.mlp.fc1"] == "4l"
    assert choices["head"] == choices["tokenizer.conv1"] == "4u"
    told = "outside the study's space: blocks.0.mlp.fc1=4l; blocks.0.mlp.fc2=4l; head=4u"
    assert found.notes == (told,)


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ({"assign": ("haed=4u",), "uniform": "4u"}, UnknownName, "did you mean 'head'"),
        ({"assign": ("head=4x",), "uniform": "4u"}, DefinitionError, "did you mean '4"),
        ({"assign": ("head",), "uniform": "4u"}, InputError, "expected LAYER=CHOICE"),
        ({"assign": ("head=4u",)}, InputError, "add --uniform CHOICE"),
        ({"uniform": "9u"}, DefinitionError, "unknown choice '9u'"),
        ({"uniform": "4u", "trial": 1}, InputError, "give one"),
        ({"trial": 1, "rate": 0.1}, InputError, "exclude each other"),
        ({"trial": 77}, InputError, "no trial 77"),
        ({"uniform": "4u", "profile": "loihi-41nm"}, UnknownName, "did you mean 'loihi-14nm'"),
        ({"uniform": "4u", "profile": "absent.toml"}, DefinitionError, "cannot be read"),
        ({"uniform": "4u", "seed": 3}, InputError, "needs --sensitivity"),
        ({}, InputError, "say which assignment"),
        ({"study": "toy", "uniform": "4u"}, InputError, "hqsearch show --study toy"),
        ({"study": "gestrue", "uniform": "4u"}, UnknownName, "did you mean 'gesture'"),
    ],
)
def test_bad_input(once: Path, asked: dict[str, Any], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        report(once, **asked)


def test_another_profile_only_where_it_is_asked_for(folder: Path) -> None:
    recorded = report(folder, trial=0)
    assert recorded.profile.name == "mine"
    other = report(folder, trial=0, profile="sop-45nm")
    assert other.profile.name == "sop-45nm"
    assert other.recorded_profile == "mine"
    assert "do not compare: name: 'mine' in the study" in other.notes[0]
    assert assigned(other).energy.total != assigned(other).recorded
    assert report(folder, trial=0, profile=str(folder / "mine.toml")).notes == ()
    text = (folder / "small.toml").read_text().replace("mine.toml", "sop-45nm")
    (folder / "small.toml").write_text(text)
    kept = report(folder, trial=0)
    assert kept.profile.name == "mine"
    assert assigned(kept).energy.total == assigned(recorded).energy.total
    assert "the definition names hardware profile 'sop-45nm'" in kept.notes[0]


def test_a_profile_that_has_changed_since(once: Path) -> None:
    """The recorded constants count, whatever became of the file."""
    file, before = once / "mine.toml", report(once, trial=0)
    text = file.read_text()
    try:
        file.write_text(text.replace("value = 16\n", "value = 24\n"))
        changed = report(once, trial=0)
        assert "has changed since" in changed.notes[0]
        assert "16.0 in the study, 24.0 asked for" in changed.notes[0]
        with pytest.raises(StudyMismatch, match=r"hardware\.constants\.accumulator_bits\.value"):
            search(once)
        file.unlink()
        absent = report(once, trial=0)
        assert "as recorded" in absent.notes[0]
    finally:
        file.write_text(text)
    for found in (changed, absent):
        assert assigned(found).energy.total == assigned(before).energy.total


def test_a_run_with_another_profile_is_refused(once: Path) -> None:
    with pytest.raises(StudyMismatch, match=r"hardware\.constants\.\w+\.value: .* in the study"):
        search(once, **{"hardware.profile": "sop-45nm", "seed": 9})
    assert len(trials(once)[0]) == 6


def test_a_parent_of_another_network_is_refused(folder: Path) -> None:
    (folder / "studies" / "small" / "study.db").unlink()  # prepared, but nothing was run yet
    assert assigned(report(folder, uniform="4u")).rates == "measured on the fp32 parent"
    text = (folder / "small.toml").read_text().replace("embed_dim = 16", "embed_dim = 32")
    (folder / "small.toml").write_text(text)
    with pytest.raises(StudyMismatch, match="prepared from another network"):
        report(folder, uniform="4u")


def test_sensitivity_of_the_front(once: Path) -> None:
    _, front = trials(once)
    found = report(once, sensitivity=True).robustness
    assert found is not None
    rows = found.rows()
    assert [row["trial"] for row in rows] == [row.number for row in front]
    for row, trial in zip(rows, front, strict=True):
        assert trial.values is not None
        assert row["nominal"] == pytest.approx(trial.values["energy"], rel=1e-9)
        assert row["low"] < row["nominal"] < row["high"]
    told = json.loads(json.dumps(report(once, sensitivity=True).as_json(), allow_nan=False))
    assert told["sensitivity"] == found.as_json()
    assert told["sensitivity"]["draws"] == 1000
    assert told["sensitivity"]["most_important"] in load_profile(PROFILE).uncertain()
    assert {s["input_kind"] for s in told["sensitivity"]["schemes"]} >= {"frames", "binary", "real"}
    assert all(0 <= s["holds"] <= 1 for s in told["sensitivity"]["schemes"])
    other = report(once, sensitivity=True, seed=1).robustness
    assert other is not None
    assert [r["low"] for r in other.rows()] != [r["low"] for r in rows]
    both = report(once, sensitivity=True, assign=("*=8u",)).robustness
    assert both is not None
    assert [c.label for c in both.candidates][-1] == "*=8u"
    stated = report(once, sensitivity=True, rate=0.3).robustness
    assert stated is not None
    assert all(c.rates is None for c in stated.candidates)


def test_sensitivity_without_a_front(tmp_path: Path) -> None:
    found = report(tmp_path, "gesture", sensitivity=True, rate=0.2)
    assert "no front yet" in found.notes[0]
    assert found.robustness is not None
    assert [r["candidate"] for r in found.robustness.rows()] == [
        f"uniform {c}" for c in ("2l", "2u", "3l", "3u", "4l", "4u", "fp32")
    ]


NETWORK = """
import torch
from torch import nn
from hqsearch.models.neurons import LIF

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, stride=4, padding=1, bias=False)
        self.fire = LIF()
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        steps, batch = x.shape[:2]
        y = self.fire(self.conv(x.flatten(0, 1)).unflatten(0, (steps, batch)))
        return self.head(LAST(y).mean((0, 3, 4)))

def LAST(y):
    return BODY

def build(*, timesteps, size, classes, in_channels):
    return Net(classes)
"""


def own_network(folder: Path, body: str) -> str:
    (folder / "net.py").write_text(NETWORK.replace("BODY", body))
    head, _, rest = SMALL.partition("[model]")
    model = '[model]\npath = "net.py:build"\ntimesteps = 2\n[evaluation]'
    text = head + model + rest.partition("[evaluation]")[2]
    (folder / "own.toml").write_text(text.replace("mine.toml", PROFILE))
    return str(folder / "own.toml")


def test_operations_that_the_trace_does_not_know(tmp_path: Path) -> None:
    study = own_network(tmp_path, "torch.lgamma(y + 1)")
    with pytest.raises(DefinitionError, match=r"lgamma.*--unknown-as-real"):
        report(tmp_path, study, uniform="4u", rate=0.2)
    found = report(tmp_path, study, uniform="4u", rate=0.2, unknown_as_real=True)
    assert "counted as real-valued MACs" in found.notes[0]
    assert any(r.kind == "unknown" and r.total > 0 for r in assigned(found).energy.rows)


def test_networks_that_look_at_their_values_or_fail(tmp_path: Path) -> None:
    plain = assigned(report(tmp_path, own_network(tmp_path, "y"), uniform="4u", rate=0.2))
    looks = own_network(tmp_path, "y if float(y.sum()) >= 0 else -y")
    found = assigned(report(tmp_path, looks, uniform="4u", rate=0.2))
    rows = {row.path: row for row in found.energy.rows}
    assert all(row == rows[row.path] for row in plain.energy.rows)
    with pytest.raises(PluginError, match=r"fails on frames \[2, 1, 2, 16, 16\] .*: RuntimeError"):
        report(tmp_path, own_network(tmp_path, "y.view(7, 11)"), uniform="4u", rate=0.2)


def call(folder: Path, *words: str) -> str:
    arguments = ["cost", "--study", "small", "--studies-dir", str(folder / "studies"), *words]
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.output


def test_the_command_prints_text_json_and_csv(once: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # else a line of a pipe is as long as it is
    text = call(once, "--trial", "1", "--sensitivity")
    for told in ("Cost of trial 1", "By part of the network", "(the same)", "Kendall's", "E(4u)"):
        assert told in text
    assert [line for line in text.splitlines() if len(line) > 80] == []
    found = json.loads(call(once, "--trial", "1", "--json"))
    assert found["energy"] == found["recorded_energy"]
    rows = list(csv.DictReader(io.StringIO(call(once, "--trial", "1", "--csv"))))
    assert sum(float(row["energy"]) for row in rows) == found["energy"]
    intervals = list(csv.DictReader(io.StringIO(call(once, "--sensitivity", "--csv"))))
    assert {"candidate", "nominal", "low", "high"} <= set(intervals[0])
    with pytest.raises(InputError, match="one table"):
        call(once, "--trial", "1", "--sensitivity", "--csv")
