"""A suite's folder: what is read of it, and what is one line."""

import hashlib
import json

import pytest

from memloc.charts.reading import asked_point, open_suite, pixel, places
from tests.builders.charts import write_suite
from tests.builders.complaints import complaint


def test_items_charts_and_elements_are_as_they_were_written(suite):
    item = suite.items[0]
    chart = suite.charts[item["chart"]]
    point = asked_point(item, chart)
    assert item["answer"] == f"({point['x']}, {point['y']})" and places(chart, point) == (point["x"], point["y"])
    x, y = pixel(chart, point)
    # A mark's values lie in the middle of its pixels.
    assert suite.elements(item["chart"])[int(y * 72), int(x * 72)] == 4
    assert suite.size == (72, 72) and suite.image(item["chart"]).mode == "RGB"
    assert {row["task"] for row in suite.choose(tasks=["count"], split="train")} == {"count"}
    assert asked_point({"metadata": {"marks": [0, 1]}}, chart) is None


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("manifest.json", None, "no manifest.json in it; make one with memloc charts make"),
        ("manifest.json", b"[", "manifest.json: can't be read"),
        ("items.jsonl", b"{}\n", "it isn't as manifest.json lists it"),
        ("images/chart0000.png", b"no image", "it isn't as manifest.json lists it"),
        ("masks/chart0000.npz", None, "No such file or directory"),
    ],
)
def test_a_suite_that_cannot_be_read_is_one_line(tmp_path, name, content, says):
    folder = write_suite(tmp_path / "suite", train=1, test=1)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)

    def read():
        suite = open_suite(folder)
        return suite.image("chart0000"), suite.elements("chart0000")

    said = complaint(read)
    assert says in said and said.count("make the suite again") <= 1


def test_an_image_that_was_broken_before_it_was_listed_is_one_line(tmp_path):
    folder = write_suite(tmp_path / "suite", train=1, test=1)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    path = folder / "images/chart0000.png"
    path.write_bytes(path.read_bytes()[:40])
    manifest["files"]["images/chart0000.png"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "chart0000.png: can't be read" in complaint(open_suite(folder).image, "chart0000")


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        (lambda item: item["metadata"].pop("tolerance"), "metadata.tolerance"),
        (lambda item: item["metadata"].pop("asked"), "metadata.asked"),
        (lambda item: item["metadata"].pop("kind"), "a metadata.kind of number, pair, object and choice"),
        (lambda item: item.update(metadata=[]), "a metadata.kind of number, pair, object and choice"),
        (lambda item: item["metadata"].update(kind="object"), "metadata.objects"),
        (lambda item: item["metadata"].update(kind="choice"), "an answer that scorers know"),
        (lambda item: item.update(answer="yes", metadata=item["metadata"] | {"kind": "choice"}), "answer_set"),
    ],
)
def test_an_item_that_cannot_be_scored_is_one_line(tmp_path, change, lacks):
    folder = write_suite(tmp_path / "suite", train=1, test=1)
    path, manifest = folder / "items.jsonl", json.loads((folder / "manifest.json").read_bytes())
    items = [json.loads(line) for line in path.read_text().splitlines()]
    change(items[1])
    path.write_text("\n".join(map(json.dumps, items)))
    manifest["files"]["items.jsonl"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert f"items.jsonl: line 2 lacks {lacks}; make the suite again" in complaint(open_suite, folder)


def test_tasks_and_items_that_there_are_not_are_one_line(suite, tmp_path):
    assert complaint(suite.choose, tasks=["colour"]) == "tasks: colour; the suite has position, count"
    empty = open_suite(write_suite(tmp_path / "suite", train=1, test=0))
    assert "has no such item of its test part" in complaint(empty.choose, split="test")
