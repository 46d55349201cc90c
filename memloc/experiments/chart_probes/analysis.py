"""At which stage what a tower has seen is lost."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from memloc.analysis import plotting
from memloc.analysis.charted import OWN, by_place, counted, effect, equal, find_share, groups, last_of, size, tables
from memloc.analysis.claims import Claim
from memloc.analysis.sheet import Sheet
from memloc.errors import InputError

CLAIMS = {
    "gap": Claim(
        "A probe of the tower's last layer tells places of four and of eight marks more often than the model, at "
        "places of training charts: accuracy of the probe minus that of the answers, minus .2",
        OWN,
    ),
    "wrong": Claim(
        "Where the model answers wrongly a probe of the tower's last layer still tells the place: accuracy minus .5",
        OWN,
    ),
    "handoff": Claim(
        "Places are lost on the way from the tower through the connector into the decoder: accuracy of the probe of "
        "the tower's last layer minus that of the decoder's input, by chart",
        OWN,
    ),
    "decoder": Claim(
        "Places are lost inside the decoder: accuracy of the probe of its input minus that of what its last layer "
        "reads, by chart"
    ),
    "control": Claim(
        "A probe of shuffled labels tells no place in the tower's last layer: .05 minus its accuracy", OWN
    ),
    "last-token": Claim(
        "The last token of the decoder's last layer holds the place no better than the answer tells it: accuracy of "
        "the answers minus that of its probe, plus .05, own margin"
    ),
}
SINGLE, FLATTENED, POOLED, LAST = "single tokens", "flattened", "pooled", "last token"
NUMBERS = (4, 8)
"""Numbers of marks that the gap is about."""


PROBES = {SINGLE: "single tokens", FLATTENED: "all tokens"}
"""Probes that claims are about, and what subjects call them."""
PLACES = {0: "", 1: ", held-out places"}


def analyse(sheet: Sheet) -> None:
    """Accuracy of probes of places by stage, of all marks and of those that were told wrongly, and of the answers."""
    for model in sheet.encoders:
        seeds = [table[table["target"] == "position"] for table in tables(sheet, "predictions", model)]
        if any(table.empty for table in seeds):
            few = f"{model}: too few training charts have marks of one kind for a probe to learn from"
            raise InputError(f"{few}; raise charts.locate.charts, or charts of its suite")
        stages = list(dict.fromkeys(seeds[0]["stage"]))
        asked = [table[table["answered"] >= 0] for table in seeds]
        for series, kept in (("all", asked), ("told wrongly", [t[t["answered"] == 0] for t in asked])):
            for column, name in (("right", series), ("control", f"{series}, shuffled labels")):
                if all(len(table) for table in kept):
                    found = counted(kept, ["stage", "representation"], column=column)
                    sheet.add(found, model=model, series=name)
        tower = last_of(stages, "tower")
        for representation in PROBES:
            told = [_of(table, tower, representation) for table in asked]
            told = [table.assign(answered=table["answered"].astype(float)) for table in told]
            if all(len(table) for table in told):
                _claims(sheet, model, seeds, told, stages, representation)
        told = [_of(table, tower, FLATTENED) for table in asked]
        if all(len(table) for table in told):
            own = counted(told, ["held_out"], column="answered").assign(stage="answer", representation="answer")
            sheet.add(own, model=model, series="all")
            sheet.add(counted(told, ["held_out", "n"], column="answered"), model=model, series="answers by n")
            pointing = [_of(table, tower, SINGLE) for table in asked]
            sheet.add(counted(pointing if all(map(len, pointing)) else told, ["n"]), model=model, series="probe by n")
        chance = groups([_of(t, tower, FLATTENED) for t in seeds], {"all": lambda t: t["n"] > 0}, column="control")
        if chance:
            find_share(sheet, "control", model, chance, "all", below=0.05)
        ends = [_of(table, last_of(stages, "decoder"), LAST) for table in asked]
        ends = [table.assign(behind=table["answered"] - table["right"]) for table in ends]
        rows = groups(ends, {"behind": lambda t: t["n"] > 0}, column="behind")
        if rows:
            sheet.find("last-token", model, effect(sheet, rows, lambda m: m["behind"], minus=-0.05), size(rows))


def _of(table: pd.DataFrame, stage: str, representation: str) -> pd.DataFrame:
    return table[table["stage"].eq(stage) & table["representation"].eq(representation)]


def _claims(
    sheet: Sheet,
    model: str,
    seeds: list[pd.DataFrame],
    told: list[pd.DataFrame],
    stages: list[str],
    representation: str,
) -> None:
    subject = f"{model}, {PROBES[representation]}"
    ahead = [table.assign(ahead=table["right"] - table["answered"]) for table in told]
    for n in NUMBERS:
        rows = groups(ahead, {"ahead": equal(n=n, held_out=0)}, column="ahead")
        if rows:
            sheet.find("gap", f"{subject}, {n} marks", effect(sheet, rows, lambda m: m["ahead"], minus=0.2), size(rows))
    for held, place in PLACES.items():
        chosen = {"missed": equal(answered=0, held_out=held)}
        missed = groups(told, chosen)
        if missed:
            together = by_place(told, chosen)
            find_share(sheet, "wrong", f"{subject}{place}", missed, "missed", above=0.5, together=together)
    decoder = [stage for stage in stages if stage.startswith("decoder")]
    # Image tokens behind the last layer are read by nothing.
    for name, first, then in (("handoff", last_of(stages, "tower"), decoder[0]), ("decoder", decoder[0], decoder[-2])):
        drops = [_drop(table, first, then, representation) for table in seeds]
        rows = groups(drops, {"drop": lambda table: table["drop"].notna()}, column="drop")
        if rows and first != then:
            sheet.find(name, subject, effect(sheet, rows, lambda m: m["drop"]), size(rows))


def _drop(table: pd.DataFrame, first: str, then: str, representation: str) -> pd.DataFrame:
    """What a probe loses from a stage to another, by chart: its mean over the chart's marks."""
    one, other = (_of(table, stage, representation)[["chart", "kind", "right"]] for stage in (first, then))
    both = one.merge(other, on=["chart", "kind"], suffixes=("", "_then"))
    both = both.assign(drop=both["right"].astype(float) - both["right_then"])
    return both.groupby("chart", sort=False)[["drop"]].mean()


ANSWERS = {0: plotting.INK, 1: plotting.PALETTE["brown"]}
"""Hues of a model's answers, at places of training charts and at held-out ones."""


def draw(table: pd.DataFrame) -> Figure:
    """A row a model: probes by stage, of all marks and of those told wrongly; probe and answers by number of marks."""
    models = list(dict.fromkeys(table["model"]))
    figure, axes = plotting.panels(rows=len(models), columns=3, height=3.0)
    hues = {SINGLE: "blue", FLATTENED: "purple", POOLED: "green", LAST: "orange"}
    for row, model in zip(axes, models, strict=True):
        mine = table[table["model"] == model]
        stages = [stage for stage in dict.fromkeys(mine["stage"].dropna()) if stage != "answer"]
        for axis, series in zip(row, ("all", "told wrongly"), strict=False):
            for representation, hue in hues.items():
                colour = plotting.PALETTE[hue]
                for name, style in ((series, "-"), (f"{series}, shuffled labels", "--")):
                    own = mine[mine["series"].eq(name) & mine["representation"].eq(representation)]
                    at = [stages.index(stage) for stage in own["stage"]]
                    axis.plot(at, own["value"], style, color=colour, linewidth=1.4 if style == "-" else 0.9)
                    if style == "-":
                        plotting.band(axis, at, own, colour=colour)
            plotting.layers(axis, stages)
            axis.set(title=f"{plotting.plain(model)}: marks {series}" if series != "all" else plotting.plain(model))
            axis.set(xlabel="stage", ylabel="accuracy of a probe", ylim=(-0.03, 1.03))
        answer = mine[mine["stage"].eq("answer")].set_index("held_out")["value"]
        for place, value in answer.items():
            row[0].axhline(value, color=ANSWERS[place], linewidth=1)
        order = sorted(mine.loc[mine["series"].eq("probe by n"), "n"].unique())
        told = mine[mine["series"].eq("answers by n")]
        lines = [(mine[mine["series"].eq("probe by n")], plotting.PALETTE["blue"])]
        for own, colour in lines + [(told[told["held_out"].eq(place)], hue) for place, hue in ANSWERS.items()]:
            own = own.sort_values("n")
            at = [order.index(n) for n in own["n"]]
            row[2].plot(at, own["value"], marker="o", markersize=3.5, color=colour)
            plotting.band(row[2], at, own, colour=colour)
        row[2].set_xticks(range(len(order)), [f"{n:g}" for n in order])
        row[2].set(title="tower and answers", xlabel="marks in the chart", ylabel="accuracy", ylim=(-0.03, 1.03))
    meaning = {"single image tokens": "blue", "all together": "purple", "their mean": "green", "last token": "orange"}
    colours = {name: plotting.PALETTE[hue] for name, hue in meaning.items()}
    plotting.key(
        figure,
        {
            **colours,
            "the model's answers, places of training charts": ANSWERS[0],
            "its answers, held-out places": ANSWERS[1],
            "shuffled labels": plotting.PALETTE["grey"],
        },
        dashed=["shuffled labels"],
    )
    return figure
