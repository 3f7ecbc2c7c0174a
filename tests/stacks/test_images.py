"""The program images: built here, or named in the stack file."""

from pipeline import layout
from tests.stacks.recorder import Recorder, declare, stack_values

IMAGES = {
    program: f"europe-west4-docker.pkg.dev/elsewhere/images/{program}@sha256:{digit * 64}"
    for program, digit in [("app", "a"), ("control", "d"), ("scraper", "b"), ("trainer", "c")]
}


def given() -> Recorder:
    return declare("prod", stack_values("prod") | {"gpt2-bots:images": IMAGES})


def test_images_of_the_stack_file_are_not_built_and_run_as_they_are_named() -> None:
    recorder = given()
    assert not [r for r in recorder.resources if r.type.startswith("docker:")]
    # The first `:live` needs no Docker either: it is a tag for an image in the registry.
    assert {tuple(i.inputs["sources"]) for i in recorder.of("docker-build:index:Index")} == {
        (IMAGES["app"],)
    }
    objects = "gcp:storage/bucketObject:BucketObject"
    pointers = layout.all_base_pointers()
    for pointer in recorder.of(objects, lambda o: o.inputs["name"].startswith(pointers)):
        assert IMAGES["app"] in str(pointer.inputs["content"])
    inputs = str([r.inputs for r in recorder.resources])
    assert IMAGES["scraper"] in inputs
    assert IMAGES["trainer"] in inputs


def test_images_in_the_stack_file_rename_nothing() -> None:
    built = {
        (r.type, r.name)
        for r in declare("prod", stack_values("prod")).resources
        if not r.type.startswith("docker:")
    }
    assert {(r.type, r.name) for r in given().resources} == built
