"""One experiment as its job analyses and draws it, on files that a test has planted; what its configuration says."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import yaml

from memloc import config
from memloc.analysis.inputs import Inputs
from memloc.analysis.sheet import Sheet
from memloc.analysis.tables import load_table, save_table
from memloc.experiments import EXPERIMENTS, module
from memloc.io import save_arrays
from memloc.models.frameworks import FRAMEWORKS
from memloc.provenance import ROOT, record


def analysed(kind, inputs, *, experiment=None, **options):
    """The figure's table, and the rows of claims.csv, where every effect is of interest: none is negligible."""
    claims = {name: replace(claim, least=0.0) for name, claim in module(kind).CLAIMS.items()}
    sheet = Sheet(inputs, {"resamples": 150, "normalisation": "ratio", **options}, claims)
    module(kind).analyse(sheet)
    rows = sheet.rows(kind=kind, experiment=experiment or kind)
    # What is planted without noise is alike in all seeds, which decides nothing; tests ask for its direction.
    alike = (rows["low"] == rows["high"]) & rows["p"].isna() & (rows["effect"] != 0)
    rows.loc[alike, "verdict"] = np.where(rows.loc[alike, "effect"] > 0, "supported", "refuted")
    return sheet.table(), rows


class About(dict):
    """What the configuration says of an encoder: SimCLR on ResNet9, if its name doesn't begin with a framework's."""

    def __missing__(self, name):
        framework = name.split("-")[0] if name.split("-")[0] in FRAMEWORKS else "simclr"
        architecture = "vit-tiny" if framework == "mae" else "resnet9"
        return {"framework": framework, "architecture": architecture, "measure": {"distance": "l2", "pairs": "aug-aug"}}


def save(content, path, **made):
    """A table or arrays as a rule writes them, with the record of who made them.

    A table of scores gets the columns that all have and an analysis needn't read.
    """
    if isinstance(content, pd.DataFrame):
        filled = {"owner": -1, "activation": 0.0} if "unitmem" in content else {}
        if {"unitmem", "group", "layer"} <= set(content):
            filled["unit"] = content.groupby(["group", "layer"]).cumcount()
        filled |= {"sslmem": 0.0} if {"point", "layer"} <= set(content) else {}
        content = content.assign(**{name: value for name, value in filled.items() if name not in content})
    (save_table if isinstance(content, pd.DataFrame) else save_arrays)(content, path, record(path, **made))


class Study:
    """An experiment's files, written where its entry expects them."""

    def __init__(self, folder, kind):
        self.folder, self.kind = folder, kind
        self.runs, self.files = [], {name: [] for name in EXPERIMENTS[kind].inputs}
        self.about, self.roles = About(), {}

    def add(self, encoder, seed, *, of_g=None, **contents):
        """Files of a run; ``of_g``: those of g, where it counts, too."""
        self.runs.append((encoder, seed))
        self.roles[encoder] = ("f", "g") if of_g else ("f",)
        for role, some in (("f", contents), ("g", of_g or {})):
            for name, table in some.items():
                names = dict.fromkeys(("encoder", "table", "model", "tower"), encoder) | {
                    "experiment": self.kind,
                    "seed": seed,
                    "role": role,
                }
                path = self.folder / EXPERIMENTS[self.kind].inputs[name].format(**names)
                save(table, path)
                self.files[name].append(str(path))
        return self

    def analyse(self, **options):
        """The figure's table, as in memory, and the rows of claims.csv."""
        return analysed(self.kind, Inputs(self.runs, self.files, self.about, self.roles), **options)

    def drawn(self, table, images=None, *, settled=True):
        """The figure, from the table as a CSV holds it; ``settled``: with its layout, which takes a drawing."""
        save_table(table, self.folder / "table.csv")
        read = load_table(self.folder / "table.csv")
        assert list(read.columns) == list(table.columns) and len(read) == len(table)
        if images is None:
            images = np.zeros((300, 1, 16, 16), dtype=np.uint8)
        shown = [images] if "encoders" in EXPERIMENTS[self.kind].over else []
        figure = module(self.kind).draw(read, *shown)
        if settled:
            figure.canvas.draw()
        return figure


def of(table, series, encoder, column="value"):
    """A series of an encoder by layer."""
    return table[(table["series"] == series) & (table["encoder"] == encoder)].set_index("layer")[column]


def by_claim(rows, claim):
    """Rows of a claim by subject."""
    return rows[rows["claim"] == claim].set_index("subject")


def single(rows):
    """Rows by claim, without the name of the experiment's kind, of an analysis in which each claim has one subject."""
    assert rows["claim"].is_unique
    return rows.set_index(rows["claim"].str.partition(".")[2])


def verdicts(rows):
    """By claim, of an analysis in which each claim has one subject, without the name of the experiment's kind."""
    return single(rows)["verdict"].to_dict()


def configured(experiment, encoders):
    """The committed configuration with one experiment alone, and encoders that differ from simclr as told."""
    whole = yaml.safe_load((ROOT / "config.yaml").read_text())
    whole["encoders"]["simclr"]["seeds"] = whole["encoders"]["supervised"]["seeds"] = [0, 1, 2]
    whole["datasets"]["fashion"]["split"] = {"shared": 200, "candidate": 200, "independent": 200, "external": 200}
    for name, changes in encoders.items():
        plain = copy.deepcopy(whole["encoders"]["simclr"])
        whole["encoders"][name] = changes if "weights" in changes else plain | changes
    whole["experiments"] = {"it": experiment}
    return whole


def complaint(experiment, encoders):
    """What the check of such a configuration says, None if nothing."""
    try:
        config.check(configured(experiment, encoders))
    except config.InputError as error:
        return str(error)
    return None
