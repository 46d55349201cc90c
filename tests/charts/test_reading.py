"""A suite's folder: what is read of it, and what is one line."""

import hashlib
import json

import pytest
from PIL import Image

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


def relist(folder, name):
    """Let the manifest list a file as it is now."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def edit(folder, name, line, change):
    """Change a line of a table by hand, and the manifest with it."""
    rows = [json.loads(text) for text in (folder / name).read_text().splitlines()]
    change(rows[line - 1])
    (folder / name).write_text("\n".join(map(json.dumps, rows)))
    relist(folder, name)


def test_an_image_that_was_broken_before_it_was_listed_is_one_line(tmp_path):
    folder = write_suite(tmp_path / "suite", train=1, test=1)
    path = folder / "images/chart0000.png"
    path.write_bytes(path.read_bytes()[:40])
    relist(folder, "images/chart0000.png")
    assert "chart0000.png: can't be read" in complaint(open_suite(folder).image, "chart0000")


def test_an_image_of_another_size_is_one_line(tmp_path):
    folder = write_suite(tmp_path / "suite", train=1, test=1)
    Image.new("RGB", (72, 80)).save(folder / "images/chart0001.png")
    relist(folder, "images/chart0001.png")
    says = "images/chart0001.png: is of 72 x 80 pixels, and the first chart of 72 x 72; make the suite again"
    assert complaint(open_suite(folder).image, "chart0001").endswith(says)


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        (lambda item: item["metadata"].pop("tolerance"), "metadata.tolerance"),
        (lambda item: item["metadata"].pop("asked"), "metadata.asked"),
        (lambda item: item["metadata"].pop("kind"), "a metadata.kind of number, pair, object and choice"),
        (lambda item: item.update(metadata=[]), "a metadata.kind of number, pair, object and choice"),
        (lambda item: item.pop("held_out"), "held_out"),
        (lambda item: item["metadata"].update(kind="object"), "metadata.objects"),
        (lambda item: item["metadata"].update(kind="choice"), "an answer that scorers know"),
        (lambda item: item.update(answer="yes", metadata=item["metadata"] | {"kind": "choice"}), "answer_set"),
    ],
)
def test_an_item_that_cannot_be_scored_is_one_line(tmp_path, change, lacks):
    folder = write_suite(tmp_path / "suite", train=1, test=1)
    edit(folder, "items.jsonl", 2, change)
    assert f"items.jsonl: line 2 lacks {lacks}; make the suite again" in complaint(open_suite, folder)


def _chart(change):
    return "charts.jsonl", change


def _item(**new):
    return "items.jsonl", lambda item: item.update(new)


def _about(**new):
    return "items.jsonl", lambda item: item["metadata"].update(new)


@pytest.mark.parametrize(
    ("where", "says"),
    [
        (
            _chart(lambda row: row.update(chart="chart0000")),
            'chart: "chart0000"; it must be a name that no other line has',
        ),
        (_chart(lambda row: row.update(n=1)), "n: 1; it must be the number of points"),
        (_chart(lambda row: row.update(points=[])), "points: []; it must be a list of marks"),
        (_chart(lambda row: row["points"][1].update(x=float("nan"))), "points.1.x: NaN; it must be a finite number"),
        (_chart(lambda row: row["points"][0].update(y="3")), 'points.0.y: "3"; it must be a finite number'),
        (_chart(lambda row: row["points"][0].pop("colour")), " lacks points.0.colour"),
        (_chart(lambda row: row["points"][1].pop("marker")), " lacks points.1.marker"),
        (_chart(lambda row: row["axes"].pop("y")), "it must be the axes x and y"),
        (_chart(lambda row: row["axes"]["x"].update(step=0)), "axes.x.step: 0; it must be a finite number above 0"),
        (_chart(lambda row: row["axes"]["y"].update(high=-1)), "axes.y.high: -1; it must be a finite number above low"),
        (_item(item="chart0000-position"), 'item: "chart0000-position"; it must be a name that no other line has'),
        (_item(chart="chart9"), 'chart: "chart9"; it must be a chart of charts.jsonl'),
        (_item(task="place"), 'task: "place"; it must be one of count, position'),
        (_item(split="dev"), 'split: "dev"; it must be train or test'),
        (_item(split="test"), 'split: "test"; it must be train or test, the same for all items of a chart'),
        (_item(n=2), "n: 2; it must be the number of points of the chart"),
        (_item(n=True), "n: true; it must be the number of points of the chart"),
        (_item(accepted="1"), 'accepted: "1"; it must be a list of texts'),
        (_about(marks=[1]), "metadata.marks: [1]; it must be numbers of points, from 0"),
        (_about(low=[float("inf")]), "metadata.low: [Infinity]; it must be a finite number each"),
        (_about(low=[2]), "metadata.high: [1]; it must be a finite number each, none below low"),
        (_about(tolerance=-1), "metadata.tolerance: -1; it must be a finite number, 0 or above"),
        (_about(kind="pair"), 'metadata.kind: "pair"; it must be the kind of its task'),
        (_item(held_out="no"), 'held_out: "no"; it must be true or false'),
        (_item(answer="2"), 'answer: "2"; it must be an answer that is right by the item\'s metadata'),
        (_item(task="position"), 'metadata.kind: "number"; it must be the kind of its task'),
    ],
)
def test_a_line_that_was_edited_is_named_with_its_key(tmp_path, where, says):
    folder = write_suite(tmp_path / "suite", train=1, test=1)
    edit(folder, where[0], 2, where[1])
    said = complaint(open_suite, folder)
    assert f"{where[0]}: line 2" in said and says in said and said.endswith("; make the suite again")


def test_tasks_and_items_that_there_are_not_are_one_line(suite, tmp_path):
    assert complaint(suite.choose, tasks=["colour"]) == "tasks: colour; the suite has position, count"
    empty = open_suite(write_suite(tmp_path / "suite", train=1, test=0))
    assert "has no item of these tasks in its test part; name other tasks" in complaint(empty.choose, split="test")


def test_a_position_item_without_its_mark_is_one_line(tmp_path):
    folder = write_suite(tmp_path / "suite", train=1, test=1)
    edit(folder, "items.jsonl", 1, lambda item: item["metadata"].pop("marks"))
    assert "items.jsonl: line 1 lacks metadata.marks; make the suite again" in complaint(open_suite, folder)
