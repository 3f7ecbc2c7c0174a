"""A training run by hand: the note for the watcher, and the advice for the operator."""

import json
import logging
from typing import Any

import pytest

from control_image.by_hand import Run
from pipeline import layout
from tests.stacks.recorder import declare, stack_values

MACHINE = "gcp:compute/instanceFromTemplate:InstanceFromTemplate"
OBJECT = "gcp:storage/bucketObject:BucketObject"


def dev(**training: Any) -> dict[str, Any]:
    values = stack_values("dev")
    values["gpt2-bots:training"] |= training
    return values


def test_the_watcher_reads_the_declared_machines_and_their_hours() -> None:
    declared = declare("dev", dev(run="2026-11-23", workers=2, hours=3))
    note = declared.one(OBJECT, "train-2026-11-23")
    assert note.inputs["bucket"] == layout.data_bucket("example-bots-dev", "dev")
    assert note.inputs["name"] == layout.run_by_hand("2026-11-23")
    written = Run.model_validate(json.loads(note.inputs["content"]["value"]), extra="forbid")
    machines = declared.of(MACHINE)
    assert written.machines == [machine.inputs["name"] for machine in machines]
    assert {written.zone} == {machine.inputs["zone"] for machine in machines}
    assert (written.run, written.hours) == ("2026-11-23", 3)


def test_without_a_run_there_is_no_note() -> None:
    notes = layout.runs_by_hand()
    assert not declare("dev", dev()).any_of(OBJECT, lambda o: notes in o.inputs["name"])
    assert declare("dev", dev(run="first")).of(OBJECT, lambda o: notes in o.inputs["name"])


def test_the_log_says_which_zone_is_tried_and_what_to_do_in_a_stock_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    declare("dev", dev())
    assert "ZONE_RESOURCE_POOL_EXHAUSTED" not in caplog.text
    zones = ["europe-west4-c", "europe-west4-a"]
    declare("dev", dev(run="2026-11-23", workers=2, zones=zones))
    (line,) = [r.getMessage() for r in caplog.records if "EXHAUSTED" in r.getMessage()]
    assert "tries only europe-west4-c" in line
    assert "such as europe-west4-a" in line
    assert "training.zones" in line
    assert "\n" not in line


def test_the_note_is_about_the_machines_that_were_made_whatever_becomes_of_the_stack_file() -> None:
    declared = declare("dev", dev(run="2026-11-23", workers=2))
    note = declared.one(OBJECT, "train-2026-11-23")
    assert note.ignore_changes == ("*",)
    assert {machine.key for machine in declared.of(MACHINE)} <= note.needs
