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
    return CHARTS / f"suites/{tower_settings(wildcards)['suite']}"


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
    """The encoder's entry behind a rule's tower."""
    return config["encoders"][tower_settings(wildcards)["encoder"]]


def weights_of_tower(wildcards):
    """Weights behind a rule's tower: trained on charts, or an encoder's as it is, trained or not."""
    tower = tower_settings(wildcards)
    if tower["kind"] == "supervised":
        return CHARTS / f"towers/{wildcards.tower}/seed{wildcards.seed}/model"
    if tower["kind"] == "ssl":
        return CHARTS / f"towers/{wildcards.tower}/seed{wildcards.seed}/weights.safetensors"
    role = "untrained" if tower["kind"] == "untrained" else "f"
    return trained(role)(SimpleNamespace(encoder=tower["encoder"], seed=wildcards.seed))


def description_of_tower(wildcards):
    """What says how the images of a rule's encoder are described; nothing where it learns charts."""
    tower = tower_settings(wildcards)
    if tower["kind"] in ("supervised", "ssl"):
        return []
    return RESULTS / f"data/{encoder_of_tower(wildcards)['dataset']}/dataset.json"


def encoder_settings(wildcards):
    """How the encoder behind a rule's tower is built and trained, and the images that it takes."""
    tower = tower_settings(wildcards)
    if tower["kind"] == "supervised":
        return tower
    encoder = encoder_of_tower(wildcards)
    keys = (*configuration.TRAINING, "initialisation", "snapshots")
    layers = [asdict(layer) for layer in layers_of(encoder)]
    size = config["datasets"][encoder["dataset"]]["image_size"]
    return tower | {"training": {key: encoder[key] for key in keys}, "layers": layers, "image_size": size}
