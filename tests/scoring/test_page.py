import base64
import hashlib
import re
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memloc.analysis import plotting
from memloc.analysis.plotting import plt
from memloc.errors import InputError
from memloc.scoring import figure
from memloc.scoring.page import NEXT, POINTS, SKIPPED, UNITS, decimal, render
from tests.builders.figures import faults
from tests.builders.scored import Scored, scored, thumbnail

EVIL = '"><script>alert("x")</script>\n& \u202e{{ 7 * 7 }}'
SHOWN = EVIL.replace("\n", "\\n").replace("\u202e", "\\u202e")


class Reader(HTMLParser):
    """Tags, attributes and visible text of a page, the text of each section by its id."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.sections, self.at = [], {"": ""}, ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "h2":
            self.at = dict(attributes)["id"]
            self.sections[self.at] = ""

    def handle_data(self, data):
        self.sections[self.at] += f" {data}"

    @property
    def text(self):
        return " ".join(" ".join(self.sections.values()).split())

    def section(self, name):
        return " ".join(self.sections[name].split())

    def of(self, **wanted):
        wanted = {key.rstrip("_"): value for key, value in wanted.items()}
        return [
            (tag, a) for tag, a in self.tags if all(value in (a.get(k) or "").split() for k, value in wanted.items())
        ]


def page(made: Scored, thumbnail=thumbnail, **changes):
    tables = {name: getattr(made, name) for name in ("units", "tops", "layers", "points", "meta")}
    return render(**{**tables, "figure_png": b"\x89PNG", "thumbnail": thumbnail, **changes})


def embedded(text):
    """Pixels of every embedded image, by CSS class."""
    images = re.findall(r"\.(i[0-9]+) \{ background-image: url\(data:image/(png|jpeg);base64,([^)]+)\)", text)
    return {name: np.asarray(Image.open(BytesIO(base64.b64decode(data)))) for name, _, data in images}


# --- What the page shows ---------------------------------------------------------------------------------------------


def test_units_of_highest_unitmem_are_shown_with_their_owners():
    made = scored(["1", "deep"], units=20)
    text = Reader(page(made)).section("units")
    for layer, rows in made.units[made.units["status"] == "ok"].groupby("layer"):
        best = rows.nlargest(UNITS, "unitmem")
        for unit in best.to_dict("records"):
            assert f"unit {unit['unit']} {unit['unitmem']:.3f} UnitMem" in text
            assert unit["owner_image"] in text
        assert f"{UNITS} of 20 units shown" in text, layer
    assert text.count("unit ") >= 2 * UNITS and text.index("layer 1") < text.index("deep")


def test_next_images_have_bars_relative_to_the_owner():
    made = scored(["1"], units=1)
    mu = made.tops.sort_values("rank")["activation"].to_numpy()
    reader = Reader(page(made))
    widths = [a["style"] for tag, a in reader.tags if tag == "i"][1:]  # the first is the layer's own
    assert widths == [f"width:{share:.0%}" for share in mu[1 : 1 + NEXT] / mu[0]]
    marks = {a["style"] for tag, a in reader.tags if tag == "u"}
    assert f"left:{made.units['others'][0] / mu[0]:.0%}" in marks


def test_pictures_are_those_of_the_named_images():
    made = scored(["1"], units=2, pair=False)
    text = page(made)
    pixels = embedded(text)
    pictures = Reader(text).of(role="img")
    assert len(pictures) == 2 * (1 + NEXT)
    for _, attributes in pictures:
        image = int(attributes["aria-label"].split("/")[1])
        expected = thumbnail(image)
        shown = pixels[attributes["class"].split()[-1]]
        assert np.array_equal(shown, expected[0] if len(expected) == 1 else expected.transpose(1, 2, 0))


def test_table_has_values_intervals_and_bold_where_an_effect_is_off_zero_after_correction():
    made = scored(["1", "2"])
    made.layers.loc[0, ["excess", "excess_low", "excess_high", "excess_holm"]] = 0.0123, 0.001, 0.02, 0.06
    made.layers.loc[1, ["excess", "excess_low", "excess_high", "excess_holm"]] = -0.0456, -0.06, -0.03, 0.04
    text = page(made)
    assert '<td class="edge" data-value="0.0123">0.012<small>0.001 to 0.020</small></td>' in text
    assert '<td class="edge" data-value="-0.0456"><b>−0.046</b><small>−0.060 to −0.030</small></td>' in text
    # A value that cannot be negative is never bold, wherever its interval lies.
    assert f"<b>{made.layers['unitmem'][0]:.3f}</b>" not in text


def test_most_memorized_points_are_candidates_of_the_last_layer_beside_the_same_choice_among_external():
    made = scored(["1", "2"], images=90)
    last = made.points[made.points["layer"] == "2"]
    best = last[last["group"] == "candidate"].nlargest(POINTS, "sslmem_choose")
    null = last[last["group"] == "external"].nlargest(POINTS, "sslmem_choose")
    reader = Reader(page(made))
    text = reader.section("points")
    assert (
        f"Of 30 candidates the {POINTS} of highest SSLMem at layer 2, on average {best['sslmem_score'].mean():.3f}"
        in text
    )
    assert (
        f"The highest {POINTS} of 30 external images, which neither encoder saw, have {null['sslmem_score'].mean():.3f}"
        in text
    )
    assert re.findall(r"train/[0-9]+", text) == list(best["name"])


def test_last_layer_is_the_deepest_whatever_the_order_of_rows():
    made = scored(["1", "2"])
    assert "at layer 2," in page(made, points=made.points[::-1], layers=made.layers[::-1])


def test_the_page_says_what_was_scored_and_how():
    made = scored(images=6000)
    made.meta["command"] = "memloc score simclr-f.safetensors --images '/data/my photos' --out scores"
    text = Reader(page(made)).text
    for part in ("simclr-f.safetensors", "simclr-g.safetensors", "/data/photos", "/data/unseen", made.meta["command"]):
        assert part in text
    assert text.index(made.meta["verdict"]["headline"]) < text.index("/data/photos")
    assert "6,000 scored images" in text
    assert "recipe.augmentation normal" in text and "torch 2.14.1" in text


def test_units_that_other_images_of_the_layer_share_are_counted():
    made = scored(["1"], units=3)
    made.units["owner"] = 5
    made.tops.loc[made.tops["rank"] == 1, "image"] = 5
    assert Reader(page(made)).section("units").count("owns 2 other units here") == 3


def test_faint_units_are_counted_not_shown_and_equal_ones_are_ranked_by_strength():
    made = scored(["1"], units=6)
    made.units["status"] = ["faint", *["ok"] * 5]
    made.layers["faint"] = 1
    made.units["excess"], made.units["strength"] = 0.5, [9, 1, 3, 2, 5, 4]
    text = Reader(page(made)).section("units")
    assert re.findall(r"unit ([0-9]+) ", text) == ["4", "5", "2", "3", "1"] and "strength 5.00" in text
    assert "5 of 6 units shown · 1 faint" in text


def test_classes_and_owners_are_told_only_where_they_mean_something():
    made = scored(["1"], units=4)
    made.units["owner"] = 5
    made.units["classmem_p"], made.units["tied"] = [0.04, 0.06, np.nan, 0.04], [1, 1, 16, 1]
    text = Reader(page(made)).section("units")
    assert text.count("class ") == 2 and text.count("16 images or more excite it alike") == 1
    assert text.count("owns 2 other units here") == 3  # The tied unit has no owner.


# --- Nothing is lost silently ----------------------------------------------------------------------------------------


def test_first_skipped_files_are_listed_and_the_others_counted():
    text = Reader(page(scored(skipped=SKIPPED + 13))).section("skipped")
    assert text.count("cannot identify image file") == SKIPPED
    assert f"{SKIPPED + 13} files could not be read" in text and "13 more are not shown here" in text
    assert "Skipped" not in page(scored())


def test_layers_without_room_are_named_and_those_that_memorize_most_are_kept(monkeypatch):
    monkeypatch.setattr("memloc.scoring.page.BUDGET", 600_000)
    made = scored([f"layer{i}.conv" for i in range(40)], images=2000, pair=False)
    text = page(made)
    assert sum(map(len, re.findall(r"url\([^)]*\)", text))) < 620_000
    reader = Reader(text)
    shown = [name for name in made.layers["layer"] if f"{name} mean UnitMem" in reader.section("units")]
    said = re.search(r"([0-9]+) of 40 layers are shown.* the tables: (.*?conv)\. ", reader.section("units") + " ")
    assert 1 < len(shown) < 40 and said[1] == str(len(shown))
    named = re.findall(r"layer[0-9]+\.conv", reader.section("units").split("the tables:")[1])
    left_out = [name for name in made.layers["layer"] if name not in shown]
    assert named[: len(left_out)] == left_out
    p90 = made.units[made.units["status"] == "ok"].groupby("layer")["unitmem"].quantile(0.9)
    assert shown[0] and p90.idxmax() in shown
    assert all(f">{name}<small" in text for name in made.layers["layer"])  # the table has them all


def test_images_that_are_gone_are_counted():
    def gone(image):
        raise InputError(f"{image} can't be read")

    text = page(scored(["1"], units=1, pair=False), gone)
    assert "6 images could not be read any more and are hatched." in Reader(text).section("units")
    assert (
        not embedded(text)
        and text.count("(can't be read any more)".replace("'", "&#39;")) + text.count("(can't be read any more)") == 6
    )


def test_dead_and_signed_units_are_counted():
    made = scored(["1", "2"], units=24)
    text = Reader(page(made)).text
    assert "46 units in 2 layers; 6 of them dead, 0 faint; not scored: 2 signed" in text
    assert text.count("6 of 24 units shown · 3 dead · 1 signed") == 2


def test_a_layer_of_dead_units_has_no_unit_to_show():
    made = scored(["1", "2"])
    dead = made.units["layer"] == "1"
    made.units.loc[dead, "status"], made.units.loc[dead, "unitmem"] = "dead", np.nan
    made.layers.loc[0, made.layers.columns[8:]] = np.nan
    made.layers.loc[0, ["dead", "signed"]] = 8, 0
    text = page(made)
    assert "layer 1 no unit to show: 8 of 8 units dead, 0 faint, 0 signed" in Reader(text).section("units")
    assert "nan" not in text.lower().split("</style>")[1].split("<script>")[0]


def test_an_encoder_of_dead_units_still_has_a_page():
    made = scored(["1"], units=4)
    made.units["status"], made.units["unitmem"] = "dead", np.nan
    made.layers[["dead", "unitmem", "unitmem_p90", "excess", "layermem_crossed"]] = [[4, *[np.nan] * 4]]
    text = Reader(page(made, tops=made.tops.iloc[:0], points=None)).text
    assert "4 units in 1 layer; 4 of them dead, 0 faint; not scored: 0 signed" in text


# --- Columns that are absent -----------------------------------------------------------------------------------------


def test_one_encoder_without_labels_and_nulls():
    reader = Reader(page(scored(nulls=False, labels=False, pair=False)))
    for word in ("ClassMem", "LayerMem", "SSLMem", "External", "untrained", "Against", "class "):
        assert word not in reader.text.replace("tables", "")
    assert "UnitMem can't show memorization: it can be as high on images never seen" in reader.text
    assert "points" not in reader.sections


@pytest.mark.parametrize(
    "change",
    [lambda p: p.iloc[:0], lambda p: p[p["group"] == "independent"], lambda p: p.assign(sslmem=np.nan)],
    ids=["no rows", "no candidates", "no values"],
)
def test_points_without_scores_have_no_section(change):
    made = scored()
    assert "points" not in Reader(page(made, points=change(made.points))).sections


def test_points_without_external_images_have_no_null():
    made = scored()
    text = Reader(page(made, points=made.points[made.points["group"] == "candidate"])).section("points")
    assert "of highest SSLMem" in text and "neither encoder saw" not in text


def test_layers_without_intervals():
    made = scored()
    made.layers = made.layers[[c for c in made.layers if not c.endswith(("_low", "_high"))]]
    assert "<small>" not in page(made).split("<tbody>")[1].split("</tbody>")[0]


# --- Safe, small and self-contained ----------------------------------------------------------------------------------


def test_every_text_is_escaped():
    made = scored([EVIL, "2"], name=lambda i: f"{EVIL}{i}", classes=(EVIL, "b"), skipped=2)
    made.meta |= dict.fromkeys(("encoder", "against", "images", "external", "split"), EVIL)
    made.meta |= {"counts": {EVIL: 3}, "settings": {EVIL: EVIL}, "versions": {EVIL: EVIL}}
    made.meta["skipped"] = dict.fromkeys(made.meta["skipped"], EVIL)
    text = page(made)
    plain = scored(["1", "2"], skipped=2)
    plain.meta |= {"split": "split", "counts": {"a": 3}, "settings": {"a": 1}, "versions": {"a": 1}}
    reader = Reader(text)
    assert [tag for tag, _ in reader.tags] == [tag for tag, _ in Reader(page(plain)).tags]
    assert "49" not in reader.section("made").split()
    shown = " ".join(SHOWN.split())
    assert reader.text.count(shown) > 30 and "\u202e" not in text
    assert reader.of(role="img")[0][1]["title"].startswith(SHOWN)


def test_names_that_are_no_text_can_be_written():
    made = scored()
    made.meta |= {"images": "caf\udce9", "skipped": {"caf\udce9/x.png": "empty"}}
    assert page(made).encode("utf-8").count(b"caf\\udce9") == 2


def test_very_long_names_lose_their_middle():
    made = scored(name=lambda i: f"start/{'x' * 5000}/{i}.png")
    text = page(made)
    assert len(text) < 200_000 and re.search(r"start/x+…x+/[0-9]+\.png", text)


@pytest.mark.parametrize(("picture", "different"), [(thumbnail, 12), (lambda image: thumbnail(image % 2), 2)])
def test_each_image_and_images_that_look_alike_are_embedded_once(picture, different):
    text = page(scored(["1", "2", "3"], units=16, images=12), picture)  # 12 images, shown again and again
    data = re.findall(r"data:image/(?:png|jpeg);base64,([^)\"]+)", text)
    assert len(data) == len(set(data)) == different + 1  # the figure
    assert len(Reader(text).of(role="img")) > 100 and len(embedded(text)) == different


def test_large_images_are_made_small():
    def smooth(image):
        ramp = np.linspace(0, 200, 640).astype(np.uint8)
        return np.stack([np.broadcast_to(ramp + image % 50, (480, 640))] * 3)

    text = page(scored(["1"], units=2), smooth)
    assert all(max(pixels.shape) == 112 for pixels in embedded(text).values())


def test_sixty_layers_of_photographs_stay_small():
    def photograph(image):  # smooth, with some noise, as 112 pixels of a photograph are
        rng = np.random.default_rng(image)
        coarse = Image.fromarray(rng.integers(0, 256, size=(14, 14, 3), dtype=np.uint8)).resize((112, 112))
        return np.asarray(coarse).transpose(2, 0, 1)

    assert len(page(scored([str(i) for i in range(60)], images=900, pair=False), photograph)) < 5_000_000


def test_nothing_is_loaded_from_anywhere():
    text = page(scored(skipped=1))
    reader = Reader(text)
    links = [a[k] for _, a in reader.tags for k in ("src", "href", "srcset", "data", "action") if k in a]
    assert links and all(link.startswith(("#", "data:")) for link in links)
    assert all(target.startswith("data:") for target in re.findall(r"url\(([^)]*)", text)) and "@import" not in text
    assert not {"link", "iframe", "object", "base"} & {tag for tag, _ in reader.tags}
    (policy,) = reader.of(**{"http-equiv": "Content-Security-Policy"})
    (script,) = re.findall("<script>(.*?)</script>", text, re.DOTALL)
    own = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    expected = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{own}'"
    assert policy[1]["content"] == expected and not re.search("fetch|XMLHttp|import|http", script)


@pytest.mark.parametrize("options", [{}, {"nulls": False, "labels": False, "pair": False}, {"skipped": 2}])
def test_links_have_targets_pictures_have_names_and_rows_of_the_table_are_as_wide_as_its_head(options):
    text = page(scored(**options))
    reader = Reader(text)
    targets = {a["href"][1:] for tag, a in reader.tags if tag == "a"}
    ids = [a["id"] for _, a in reader.tags if "id" in a]
    assert targets <= set(ids) and len(ids) == len(set(ids))
    assert all(a["aria-label"] for _, a in reader.of(role="img"))
    assert all(a["alt"] for tag, a in reader.tags if tag == "img")
    table = text.split('<table class="sortable sticky">')[1].split("</table>")[0]
    head, names, *rows = [re.findall(r"<t[hd][^>]*>", row) for row in table.split("<tr")[1:]]
    spans = sum(int((re.findall(r'colspan="([0-9]+)"', cell) or [1])[0]) for cell in head)
    assert {spans, len(names)} == {len(row) for row in rows} and len(rows) == 3


def test_same_tables_same_page():
    assert page(scored()) == page(scored())


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (-0.5, "−0.500"), (-1e-9, "0.000"), (np.nan, "–"), (None, "–")]
)
def test_decimals(value, text):
    assert decimal(value) == text


# --- The figure ------------------------------------------------------------------------------------------------------


def test_figure_is_drawn_from_the_table_beside_it(tmp_path):
    made = scored()
    figure.summary(made.layers[::-1], made.units, path_png=tmp_path / "a.png", path_csv=tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv", dtype={"layer": str}).set_index(["panel", "series", "layer"]).sort_index()
    for (panel, series), column in {
        ("UnitMem", "UnitMem"): "unitmem",
        ("UnitMem", "external"): "unitmem_external",
        ("nulls", "minus untrained"): "gain",
        ("classes", "ClassMem, shuffled labels"): "classmem_shuffled",
        ("LayerMem", "crossed"): "layermem_crossed",
    }.items():
        rows = table.loc[panel, series]
        assert list(rows.index) == ["1", "2", "3"]
        for end, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
            assert rows[end].to_numpy() == pytest.approx(made.layers[column + suffix].to_numpy(), rel=1e-6)
    median = made.units[(made.units["layer"] == "2") & (made.units["status"] == "ok")]["unitmem"].quantile(0.75)
    assert table.loc["UnitMem", "quantile 0.75 of units", "2"]["value"] == pytest.approx(median, rel=1e-6)
    with Image.open(tmp_path / "a.png") as drawn:
        assert drawn.width == 1350


@pytest.mark.parametrize(
    ("options", "panels"),
    [({}, 4), ({"pair": False}, 3), ({"nulls": False}, 3), ({"nulls": False, "labels": False, "pair": False}, 1)],
)
def test_figure_has_the_panels_that_the_columns_allow(options, panels):
    made = scored(**options)
    assert figure.drawn(made.layers, made.units)["panel"].nunique() == panels


@pytest.mark.parametrize(
    "names",
    [
        ["1"],
        ["a.relu", "b.relu"],
        [f"encoder.layer.{i}.intermediate.intermediate_act_fn" for i in range(24)],
        [f"layer{i // 10}.{i}.conv2" for i in range(150)],
        ["$x_$", "\u4e2d\n", EVIL],
    ],
    ids=["one", "two", "transformer", "many", "evil"],
)
def test_names_of_layers_fit(names, tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(plt, "close", kept.append)  # keeps what save would throw away
    made = scored(names, units=4, images=30)
    figure.summary(made.layers, made.units, path_png=tmp_path / "a.png", path_csv=tmp_path / "a.csv")
    (drawn,) = kept
    monkeypatch.undo()
    assert drawn.axes[-1].get_xticklabels()[-1].get_text() and not faults(drawn)
    plt.close(drawn)


def test_names_of_layers_lose_what_they_share_and_are_grouped_by_block():
    assert plotting.short(["b.0.act", "b.1.act"]) == ["0", "1"] and plotting.short(["1", "2"]) == ["1", "2"]
    assert plotting.short(["b.act", "b.c.act"]) == ["act", "c.act"] and plotting.short(["a.b"]) == ["a.b"]
    assert plotting.blocks(["stem", "1.att", "1.fc", "2.att", "out"]) == [
        ("stem", 0, 0), ("1", 1, 2), ("2", 3, 3), ("out", 4, 4)
    ]  # fmt: skip


def test_figure_of_dead_units(tmp_path):
    made = scored(["1", "2"])
    made.units["status"], made.units["unitmem"] = "dead", np.nan
    made.layers[[c for c in made.layers if "mem" in c or c.startswith(("excess", "gain"))]] = np.nan
    figure.summary(made.layers, made.units, path_png=tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000
