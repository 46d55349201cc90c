"""What the rules of charts look up: settings of suites, towers and models, and paths."""

CHARTS = RESULTS / "charts"


def in_charts(part, *keys):
    """A function that looks a setting of a rule's suite, tower or model up."""

    def setting(wildcards):
        value = config["charts"][part][wildcards[part.removesuffix("s")]]
        for key in keys:
            value = value[key]
        return value

    return setting


def chart_setting(wildcards):
    """A model's entry, without the seeds, which repeat no training."""
    return {key: value for key, value in in_charts("models")(wildcards).items() if key not in ("seeds", "asked")}


def tower_settings(wildcards):
    """The entry of a rule's tower, or of the tower before a rule's model; seeds repeat no training."""
    name = wildcards.tower if "tower" in wildcards.keys() else in_charts("models", "tower")(wildcards)
    return {key: value for key, value in config["charts"]["towers"][name].items() if key != "seeds"}


def suite_of(wildcards):
    """The suite that a rule's tower or model learns."""
    model = in_charts("models")(wildcards) if "model" in wildcards.keys() else {}
    return folder_of_suite(model.get("suite", tower_settings(wildcards)["suite"]))


def every_suite(wildcards):
    """All suites, whose words models know."""
    return [folder_of_suite(name) for name in config["charts"]["suites"]]


def tower_of(wildcards):
    """The tower before a rule's model, of its seed."""
    return CHARTS / f"towers/{in_charts('models', 'tower')(wildcards)}/seed{wildcards.seed}/model"


def model_before(wildcards):
    """The model after which a rule's model goes on learning; none where it begins anew."""
    after = in_charts("models")(wildcards).get("after")
    return CHARTS / f"models/{after}/whole/seed{wildcards.seed}" if after else []


def towers_that(*kinds):
    """A pattern that matches the names of towers of some kinds."""
    return any_of(name for name, tower in config.get("charts", {}).get("towers", {}).items() if tower["kind"] in kinds)


def models_that(*, canaries):
    """A pattern that matches the names of models that learn canaries in halves, or all items as they are."""
    models = config.get("charts", {}).get("models", {})
    return any_of(name for name, model in models.items() if ("canaries" in model) == canaries)


def encoder_of_tower(wildcards):
    """The encoder behind a rule's tower, as a rule on encoders knows it; None behind one that has none."""
    tower = tower_settings(wildcards)
    return SimpleNamespace(encoder=tower["encoder"], seed=wildcards.seed) if "encoder" in tower else None


def weights_of_tower(wildcards):
    """Weights behind a rule's tower: its model's, or those of f of a pair, trained or not."""
    encoder = encoder_of_tower(wildcards)
    if encoder is None:
        return CHARTS / f"towers/{wildcards.tower}/seed{wildcards.seed}/model"
    return trained("f" if tower_settings(wildcards)["kind"] == "trained" else "untrained")(encoder)


def description_of_tower(wildcards):
    """What says which images the encoder behind a rule's tower takes."""
    encoder = encoder_of_tower(wildcards)
    return data_file(encoder, "dataset.json") if encoder else []


def points_of_tower(wildcards):
    """Scores of the points of the pair behind a rule's tower, where it was trained with a partner."""
    if tower_settings(wildcards)["kind"] != "trained":
        return []
    return RESULTS / "scores/{encoder}/seed{seed}/points.parquet".format(**vars(encoder_of_tower(wildcards)))


def probed_settings(wildcards):
    """The entry of a rule's tower, with how its encoder is built and which layers it has."""
    encoder = encoder_of_tower(wildcards)
    if encoder is None:
        return tower_settings(wildcards)
    built = {key: config["encoders"][encoder.encoder][key] for key in ("architecture", "network")}
    return tower_settings(wildcards) | {"built": built, "layers": measured_layers(encoder)}
