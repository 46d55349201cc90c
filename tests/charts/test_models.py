"""Models of every family: opened, asked and located; which tokens show what; folders that can't be opened."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from memloc.charts import ask, locate, patching, states
from memloc.charts.models import open_model
from memloc.charts.models.stages import editing, find
from memloc.charts.models.tokens import Layout, joined, layout, units
from tests.builders.complaints import complaint
from tests.builders.vlms import EVERY, write_model


@pytest.fixture(scope="module")
def folders(suite, tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    return {family: write_model(family, suite.folder, place / family) for family in EVERY}


@pytest.mark.parametrize("family", EVERY)
def test_a_model_of_every_family_is_asked_and_located(suite, folders, family, tmp_path):
    model = open_model(folders[family])
    names = [stage.name for stage in model.stages]
    towers = 3 if family == "mllama" else 2
    assert names[: towers + 1] == ["patch embedding", *(f"tower {i}" for i in range(1, towers + 1))]
    assert names[towers + 1 :] == ["connector", "decoder input", "decoder 1", "decoder 2"]
    tested, plan = suite.choose(split="test"), layout(model, suite)
    answers = ask.answers(model, suite, tested[:8], ["free", "text", "blank"], batch=8)
    assert len(answers) == 24 and answers["text"].map(type).eq(str).all()

    read = states.read(model, suite, suite.items, "templated", work=tmp_path, batch=16)
    predictions = locate.probe(model, suite, suite.items, read, seed=0)
    told = locate.own_answers(suite, tested, answers[answers["strategy"] == "free"])
    found = locate.accuracies(predictions, told)
    assert {*found["stage"]} == {*names, locate.ANSWER}
    decoder = found[found["stage"].str.startswith("decoder")]
    kept = {"last token"} if model.crosses else {"flattened", "pooled", "last token"}
    # Single tokens, too, where these are of places.
    assert {*decoder["representation"]} - {"single tokens"} == kept
    assert ("single tokens" in {*found["representation"]}) == (family == "llava")

    # Of an untrained model any two answers that part will do.
    chosen = patching.candidates(suite, tested, {str(item["item"]): True for item in tested}, most=4, seed=0)
    both = [item for pair in chosen for item in (pair.base, pair.source)]
    said = {str(item["item"]): torch.tensor([k + 5, 3]) for k, item in enumerate(both)}
    prepared = patching.prepare(model, suite, chosen, said, 0, "templated")
    shown = units(model, plan, suite, [str(item["chart"]) for pair in chosen for item in (pair.base, pair.source)])
    marked = [joined(*(shown[str(item["chart"])] for item in (pair.base, pair.source))) for pair in chosen]
    table = patching.patched(model, plan, chosen, prepared, marked)
    assert table["itself"].max() <= patching.ALIKE
    # All of the image is all that the two runs differ in, where the connector reads nothing but the last layer.
    whole = [f"tower {towers}", "connector"] if model.crosses else ["tower 1", "tower 2", "connector", "decoder input"]
    rows = table[table["unit"].eq("image") & table["stage"].isin(whole[model.crosses :])]
    assert rows["shift"].to_numpy() == pytest.approx(1, abs=1e-3)
    last = table[table["unit"].eq("last token")].set_index("stage")["shift"]
    assert last["decoder 2"].to_numpy() == pytest.approx(1, abs=1e-3)
    assert last["decoder input"].to_numpy() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("family", EVERY)
def test_tokens_that_show_a_mark_are_those_that_change_with_it(suite, folders, family):
    model, plan = open_model(folders[family]), None
    plan = layout(model, suite)
    chart = next(name for name, row in suite.charts.items() if row["n"] == 1)
    image, elements = np.array(suite.image(chart)), suite.elements(chart)
    without = image.copy()
    without[elements >= 4] = 255
    inputs = model.encode([model.prompt("Where?")] * 2, [Image.fromarray(image), Image.fromarray(without)])
    found = model.states(inputs, model.stages)
    stage = model.stages[0]
    changed = (found[stage][0] != found[stage][1]).any(dim=-1).numpy()
    shown = units(model, plan, suite, [chart])[chart]
    marks = plan.tokens(stage, shown["marks"], len(changed))
    # Smooth scaling may spread less than a tenth of a mark's colour to a neighbour.
    assert marks.any() and (changed | ~marks).all() and changed.sum() <= 3 * marks.sum()
    assert sum(part.astype(int) for part in shown.values()).tolist() == [1] * plan.patches
    if plan.order is not None:
        # What enters the decoder is what the connector put out, in the order that the layout says.
        entry = found[model.stage("decoder input")][model.places(inputs)].reshape(2, len(plan.order), -1)
        known = plan.order >= 0
        assert torch.equal(entry[:, known], found[model.stage("connector")][:, plan.order[known]])
        assert (~known).sum() == (8 if family == "onevision" else 0)


def test_patches_are_merged_as_each_family_does():
    shown = np.zeros(16, dtype=bool)
    shown[[1, 14]] = True
    grid, grouped = Layout(1, 4, 4, False, None), Layout(1, 4, 4, True, None)
    connector = type("Stage", (), {"part": "connector"})()
    assert grid.tokens(connector, shown, 4).tolist() == [True, False, False, True]
    # Patches 0 to 3 are the first token, 12 to 15 the last.
    assert grouped.tokens(connector, shown, 4).tolist() == [True, False, False, True]
    shown[4] = True
    assert grid.tokens(connector, shown, 4).tolist() == [True, False, False, True]
    assert grouped.tokens(connector, shown, 4).tolist() == [True, True, False, True]
    assert grid.tokens(connector, shown, 5) is None
    tower = type("Stage", (), {"part": "tower"})()
    assert np.flatnonzero(grid.tokens(tower, shown, 17)).tolist() == [2, 5, 15]
    assert grid.tokens(tower, shown, 15) is None
    # Cells of two patches a side: a class token shows none; merged tokens show one each, or several.
    assert grid.cells(tower, 17, 2).tolist() == [-1, *(0, 0, 1, 1) * 2, *(2, 2, 3, 3) * 2]
    assert grid.cells(connector, 4, 2).tolist() == [0, 1, 2, 3]
    assert grid.cells(connector, 4, 4) is None and grouped.cells(connector, 4, 2) is None


def test_layers_behind_those_that_the_connector_reads_are_no_stages(trained):
    config = transformers.LlavaConfig(**{**trained.config.to_dict(), "vision_feature_layer": -2})
    stages, remarks = find(trained.module, config)
    assert [stage.name for stage in stages if stage.part == "tower"] == ["patch embedding", "tower 1"]
    assert remarks == ["the connector reads tower layer 1; the 1 after it are on no way"]
    named = {
        "tower": "*.vision_tower.encoder.layers.?",
        "decoder": "*.language_model.layers.1",
        "connector": "*linear_2",
    }
    stages, _ = find(trained.module, trained.config, named)
    assert [stage.module.rpartition(".")[2] for stage in stages] == ["embeddings", "0", "1", "linear_2", "1", "1"]


def test_a_stage_that_no_run_reaches_is_one_line(trained, single):
    stages, _ = find(trained.module, trained.config, {"connector": "*.post_layernorm"})
    item = single.items[0]
    inputs = trained.encode([trained.prompt(item["question"])], [single.image(item["chart"])])

    def run():
        with editing(trained.module, 1, {stage: lambda states: None for stage in stages if stage.name == "connector"}):
            trained.module.model.language_model(input_ids=inputs["input_ids"])

    assert "is on no way from image to answer" in complaint(run)


@pytest.mark.parametrize(
    ("globs", "says"),
    [
        (
            {"tower": "model.language_model.layers.?"},
            "tower: model.language_model.layers.0 stands for two stages (decoder)",
        ),
        ({"tower": "model.multi_modal_projector"}, "model.multi_modal_projector stands for two stages (connector)"),
        (
            {"tower": "model.vision_tower.encoder.layers.[01]*"},
            "layers.0 contains model.vision_tower.encoder.layers.0.",
        ),
        ({"connector": "*.vision_tower.encoder.layers.1.mlp"}, "layers.1 contains"),
        ({"decoder": "model.multi_modal_projector.linear_?"}, "decoder"),
        ({"tower": "*.language_model.layers.0", "decoder": "*.language_model.layers.1"}, "runs after"),
        ({"tower": "*.vision_tower.encoder.layers.1", "decoder": "*.vision_tower.encoder.layers.0"}, "runs after"),
    ],
)
def test_globs_of_the_wrong_modules_are_one_line(trained, single, globs, says):
    def read():
        stages, _ = find(trained.module, trained.config, globs)
        item = single.items[0]
        trained.states(trained.encode([trained.prompt(item["question"])], [single.image(item["chart"])]), stages)

    said = complaint(read)
    assert says in said and "GLOB" in said


def _not_finite(folder):
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "language_model" in name)
    weights[name].view(-1)[-1] = torch.inf
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _without(folder, name):
    (folder / name).unlink()


def _config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda f: shutil.rmtree(f), "no such folder"),
        (lambda f: _without(f, "config.json"), "no config.json in it"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "pickled weights aren't read"),
        (lambda f: (f / "adapter_config.json").write_text("{}"), "adapters aren't read"),
        (lambda f: _config(f, quantization_config={"bits": 4}), "weights aren't cast"),
        (lambda f: _config(f, model_type="llama"), "llama is no vision-language model"),
        (lambda f: _config(f, model_type="mine", auto_map={"AutoConfig": "mine.Config"}), "code in a folder isn't run"),
        (lambda f: _without(f, "processor_config.json"), "its processor can't be opened"),
        (lambda f: _config(f, image_token_index=4), "config.json calls token 4 the image, its processor token 3"),
        (lambda f: (f / "model.safetensors").write_bytes(b"12345678{}"), "transformers can't open it"),
        (_not_finite, "not all of its weights are finite in torch.float32"),
    ],
)
def test_a_folder_that_cannot_be_opened_is_one_line(folders, tmp_path, break_it, says):
    folder = tmp_path / "model"
    shutil.copytree(folders["llava"], folder)
    break_it(folder)
    assert says in complaint(open_model, folder)


def test_a_model_is_another_with_another_vocabulary(folders, tmp_path):
    shutil.copytree(folders["llava"], tmp_path / "model")
    known = [open_model(tmp_path / "model").identity]
    for name in ("spiece.model", "tokenizer/vocab.json"):
        (tmp_path / "model" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "model" / name).write_text("{}")
        known.append(open_model(tmp_path / "model").identity)
    assert known[0] == open_model(folders["llava"]).identity and len({*known}) == 3
