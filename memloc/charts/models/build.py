"""A vision-language model small enough to be trained here: LLaVA's class, saved as any model's folder is.

Its tower learns first what lies in every patch, then its connector to name that; then, with the tower frozen and its
tokens computed once, connector and decoder learn to answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from memloc import io
from memloc.charts.reading import FIRST_MARK, Row, Suite, kind_of, pixel, places
from memloc.charts.strategies import STRATEGIES
from memloc.errors import InputError
from memloc.job import log
from memloc.scoring.encoders.source import library, quietly
from memloc.streams import generator, stream

IMAGE, PAD, END, UNKNOWN = "<image>", "<pad>", "</s>", "<unk>"
TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}" + IMAGE + "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %} Answer:{% endif %}"
)
WINDOW = 8
"""Batches whose rows are dealt anew by length."""
IGNORED = -100
"""Class of a place that no loss is taken of."""


@dataclass(frozen=True)
class Shape:
    """How large a model is.

    Attributes:
        image, patch: sides in pixels.
        width: of tokens, in tower and decoder.
        tower, decoder: their layers.
        heads: of every attention.
        read: which states of the tower the connector reads, as LLaVA counts them; several are joined.
    """

    image: int = 72
    patch: int = 8
    width: int = 64
    tower: int = 3
    decoder: int = 2
    heads: int = 4
    read: tuple[int, ...] = (-1,)


@dataclass(frozen=True)
class Schedule:
    """How a part is trained: AdamW; the rate rises for a twentieth of the steps, and falls to 0 in the last quarter.

    Attributes:
        steps: at most.
        enough: the mean loss of LATELY steps at which training ends; 0 where it goes on to the last step.
    """

    steps: int
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.01
    enough: float = 0.0


@dataclass(frozen=True)
class Ended:
    """How a part's training ended.

    Attributes:
        steps: that were taken.
        loss: mean of the last tenth of them; NaN where none was taken.
    """

    steps: int = 0
    loss: float = float("nan")


LATELY = 100
"""Steps over which a loss is averaged to tell whether it is low enough."""


ALIGNED = Schedule(300, batch=512)
"""How a connector learns to name marks."""


def tokenizer(texts: Iterable[str], named: Mapping[str, str] | None = None) -> Any:
    """A tokenizer of words, single digits and single marks, which gives every text of ``texts`` back as it was.

    Args:
        named: special tokens beside the four, by the attribute of the tokenizer that gives them.
    """
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers

    split = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Split(tokenizers.Regex(r"[^\p{L}▁]"), "isolated")]
    )
    words = {word for text in texts for word, _ in split.pre_tokenize_str(text)}
    named = {"image_token": IMAGE, **(named or {})}
    special = list(dict.fromkeys([PAD, UNKNOWN, END, *named.values()]))
    vocabulary = {word: number for number, word in enumerate([*special, *sorted(words - {*special})])}
    made = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    made.pre_tokenizer, made.decoder = split, decoders.Metaspace()
    return library("transformers", "tokenizer").PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=PAD,
        unk_token=UNKNOWN,
        eos_token=END,
        extra_special_tokens=named,
        padding_side="left",
    )


def build(texts: Iterable[str], shape: Shape = Shape(), *, processor: Any = None, seed: int = 0) -> tuple[Any, Any]:
    """An untrained model and its processor, whose tokenizer knows the words of ``texts``, or that is given.

    The processor turns colours round, so that paper is 0, and the tower's positions begin as waves along both sides:
    without both, training stays on a plateau for long.
    """
    transformers = library("transformers", "build")
    words = tokenizer(texts) if processor is None else processor.tokenizer
    torch.manual_seed(stream("chart model", seed))
    common = {"hidden_size": shape.width, "num_attention_heads": shape.heads}
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(
            **common,
            intermediate_size=4 * shape.width,
            num_hidden_layers=shape.tower,
            image_size=shape.image,
            patch_size=shape.patch,
        ),
        text_config=transformers.LlamaConfig(
            **common,
            intermediate_size=2 * shape.width,
            # The usual .02 is for wide models: at 64, attention is even for long, and marks aren't told apart.
            initializer_range=0.1,
            num_hidden_layers=shape.decoder,
            vocab_size=len(words),
            max_position_embeddings=1024,
            pad_token_id=words.pad_token_id,
            eos_token_id=words.eos_token_id,
            bos_token_id=None,
        ),
        image_token_index=words.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=shape.read[0] if len(shape.read) == 1 else list(shape.read),
        vision_feature_select_strategy="default",
    )
    model = transformers.LlavaForConditionalGeneration(config)
    side = shape.image // shape.patch
    with torch.no_grad():
        positions = model.model.vision_tower.embeddings.position_embedding.weight
        positions[1:] = 0.5 * _waves(side, shape.width)
    if processor is not None:
        return model.eval(), processor
    square = {"height": shape.image, "width": shape.image}
    pixels = transformers.CLIPImageProcessor(
        size=square, crop_size=square, do_center_crop=False, image_mean=[1.0] * 3, image_std=[-1.0] * 3
    )
    processor = transformers.LlavaProcessor(
        image_processor=pixels,
        tokenizer=words,
        patch_size=shape.patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    return model.eval(), processor


def save(model: Any, processor: Any, folder: str | Path) -> None:
    """Write a model as a folder that ``open_model`` and transformers open; all of it or nothing."""
    folder = Path(folder)
    with io.scratch(folder) as unfinished, quietly():
        model.save_pretrained(unfinished)
        processor.save_pretrained(unfinished)
        folder.mkdir(parents=True, exist_ok=True)
        # The weights are last: a folder without them is refused.
        for path in sorted(unfinished.iterdir(), key=lambda path: path.suffix == ".safetensors"):
            path.replace(folder / path.name)


def train(
    suite: Suite,
    items: Sequence[Row],
    folder: str | Path,
    *,
    shape: Shape = Shape(),
    tower: Schedule = Schedule(600),
    decoder: Schedule = Schedule(1200),
    strategies: Sequence[str] = ("free",),
    frozen: bool = True,
    start: Any = None,
    aligned: str = "",
    seed: int = 0,
    progress: Callable[[int], object] = lambda steps: None,
) -> dict[str, Ended]:
    """Train a model on items and save it.

    On a CPU the same arguments give the same weights, whatever the number of the items' later uses.

    Args:
        items: what is learned; their answers needn't be the suite's.
        strategies: how items are asked, in turn.
        frozen: whether the tower stays as it is while connector and decoder learn.
        start: a model and its processor to go on with; a new one where it is None.
        aligned: what of a start learns to name marks first: its connector, or all (its connector and words); nothing
            where it is empty. A new model learns all.
        progress: called with the number of steps that were done.

    Returns:
        How the training of the tower and that of the decoder ended.
    """
    model, processor = start or build(texts(suite, items), shape, seed=seed)
    charts = list(dict.fromkeys(str(item["chart"]) for item in items))
    pixels = torch.cat([_pixels(processor, suite, some) for some in _chunks(charts, 64)])
    ended = {"tower": Ended(), "decoder": Ended()}
    if tower.steps:
        ended["tower"] = _train_tower(model, suite, charts, pixels, tower, seed, progress)
    aligned = "all" if start is None else aligned
    if decoder.steps and aligned:
        _align(model, processor, suite, charts, pixels, seed, words=aligned == "all")
    if decoder.steps:
        ended["decoder"] = _train_decoder(
            model, processor, suite, items, charts, pixels, decoder, strategies, frozen, seed, progress
        )
    save(model.eval(), processor, folder)
    io.save_json(
        {
            **{"seed": seed, "shape": asdict(shape), "tower": asdict(tower), "decoder": asdict(decoder)},
            **{"strategies": list(strategies), "frozen": frozen, "suite": suite.identity},
            # No number has no sign in JSON.
            "ended": {part: asdict(of) | ({} if of.steps else {"loss": None}) for part, of in ended.items()},
        },
        Path(folder) / "training.json",
    )
    return ended


def patch_labels(suite: Suite, charts: Sequence[str], side: int) -> tuple[NDArray[np.int64], list[str]]:
    """What lies in every patch, [charts, side * side, 3]: class of the mark, its column and its row; and the classes.

    A mark is at the patch where its values lie; others that have some of it are IGNORED. Class 0 is no mark, and there
    column and row are IGNORED.
    """
    kinds = sorted({kind_of(point) for chart in suite.charts.values() for point in chart["points"]})
    labels = np.zeros((len(charts), side * side, 3), dtype=np.int64)
    labels[..., 1:] = IGNORED
    for row, name in enumerate(charts):
        chart = suite.charts[name]
        labels[row, _covered(suite.elements(name) >= FIRST_MARK, side), 0] = IGNORED
        for point in chart["points"]:
            x, y = (min(int(share * side), side - 1) for share in pixel(chart, point))
            labels[row, y * side + x] = (1 + kinds.index(kind_of(point)), *places(chart, point))
    return labels, kinds


def _train_tower(
    model: Any,
    suite: Suite,
    charts: Sequence[str],
    pixels: Tensor,
    schedule: Schedule,
    seed: int,
    progress: Callable[[int], object],
) -> Ended:
    vision = model.model.vision_tower
    config = vision.config
    labels, kinds = patch_labels(suite, charts, config.image_size // config.patch_size)
    classes = [1 + len(kinds), 1 + int(labels[..., 1].max()), 1 + int(labels[..., 2].max())]
    torch.manual_seed(stream("chart tower", seed))
    head = nn.Linear(config.hidden_size, sum(classes))
    known = torch.from_numpy(labels)
    # Nearly all patches are empty.
    weights = torch.tensor([0.05, *[1.0] * len(kinds)])

    def loss(rows: NDArray[np.int64]) -> Tensor:
        states = vision(pixels[rows], output_hidden_states=True).hidden_states[-1][:, 1:]
        parts = head(states).split(classes, dim=-1)
        terms = [
            nn.functional.cross_entropy(
                part.flatten(0, 1),
                known[rows, :, i].flatten(),
                weight=weights if i == 0 else None,
                ignore_index=IGNORED,
            )
            for i, part in enumerate(parts)
        ]
        return torch.stack(terms).sum()

    parameters = [*vision.parameters(), *head.parameters()]
    return _descend("tower", loss, parameters, len(charts), schedule, generator("chart tower", seed), progress)


def _align(
    model: Any, processor: Any, suite: Suite, charts: Sequence[str], pixels: Tensor, seed: int, *, words: bool
) -> None:
    """Teach the connector to name the mark that a token shows, as LLaVA's learns from captions before it is asked.

    Words and tokens that show what they mean become alike: L = - sum_w log softmax(E n)_w over the words w of the mark,
    E the embeddings, n the connector's token over the root of its mean square. Without this, some seeds never learn to
    tell the mark that was asked for from others.
    """
    side = model.config.vision_config.image_size // model.config.vision_config.patch_size
    labels, kinds = patch_labels(suite, charts, side)
    tokens_of, known = processor.tokenizer, torch.from_numpy(labels[..., 0])
    named = torch.tensor([[tokens_of.convert_tokens_to_ids(f"▁{word}") for word in kind.split()] for kind in kinds])
    shown, meant = [], []
    for start in range(0, len(charts), 64):
        of = known[start : start + 64]
        shown.append(_features(model, pixels[start : start + 64]).detach()[of > 0])
        meant.append(named[of[of > 0] - 1])
    states, targets = torch.cat(shown), torch.cat(meant)
    embeddings = model.get_input_embeddings()

    def loss(rows: NDArray[np.int64]) -> Tensor:
        tokens = model.model.multi_modal_projector(states[rows])
        tokens = tokens / tokens.square().mean(dim=-1, keepdim=True).sqrt()
        logits = tokens @ embeddings.weight.T
        return torch.stack([nn.functional.cross_entropy(logits, word) for word in targets[rows].T]).sum()

    parameters = [*model.model.multi_modal_projector.parameters(), *(embeddings.parameters() if words else ())]
    _descend(
        "names of marks", loss, parameters, len(states), ALIGNED, generator("chart connector", seed), lambda steps: None
    )


def _train_decoder(
    model: Any,
    processor: Any,
    suite: Suite,
    items: Sequence[Row],
    charts: Sequence[str],
    pixels: Tensor,
    schedule: Schedule,
    strategies: Sequence[str],
    frozen: bool,
    seed: int,
    progress: Callable[[int], object],
) -> Ended:
    ids, is_answer, kept = _sequences(model, processor, suite, items, strategies)
    image = torch.tensor([charts.index(str(item["chart"])) for item in items])
    place = ids == model.config.image_token_id
    features = torch.cat([_features(model, some).detach() for some in _chunks(pixels, 64)]) if frozen else None
    torch.manual_seed(stream("chart decoder", seed))

    def loss(rows: NDArray[np.int64]) -> Tensor:
        length = int(kept[rows].sum(dim=1).max())
        tokens, mask = ids[rows, :length], kept[rows, :length]
        seen = features[image[rows]] if features is not None else _features(model, pixels[image[rows]])
        given = model.get_input_embeddings()(tokens)
        given = given.masked_scatter(place[rows, :length, None], model.model.multi_modal_projector(seen))
        out = model.model.language_model(inputs_embeds=given, attention_mask=mask).last_hidden_state
        asked = is_answer[rows, :length][:, 1:]
        return nn.functional.cross_entropy(model.lm_head(out[:, :-1][asked]), tokens[:, 1:][asked])

    parameters = [
        *model.model.multi_modal_projector.parameters(),
        *model.model.language_model.parameters(),
        *model.lm_head.parameters(),
        *([] if frozen else model.model.vision_tower.parameters()),
    ]
    lengths = kept.sum(dim=1).numpy()
    return _descend(
        "answers", loss, parameters, len(items), schedule, generator("chart decoder", seed), progress, lengths
    )


def _descend(
    what: str,
    loss: Callable[[NDArray[np.int64]], Tensor],
    parameters: Sequence[nn.Parameter],
    rows: int,
    schedule: Schedule,
    rng: np.random.Generator,
    progress: Callable[[int], object],
    lengths: NDArray[np.int64] | None = None,
) -> Ended:
    """Take the steps of a schedule down a loss over rows, in a new order every epoch.

    Args:
        what: is trained, for the log.
        lengths: of rows; those of a batch are as long as one another, as far as WINDOW batches allow.
    """
    optimizer = torch.optim.AdamW(parameters, lr=schedule.rate, weight_decay=schedule.decay, betas=(0.9, 0.98))
    warm = max(1, schedule.steps // 20)
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warm, 1.0, 4 * (schedule.steps - step) / schedule.steps),
    )
    order = np.zeros(0, dtype=np.int64)
    values = []
    for step in range(schedule.steps):
        while len(order) < min(schedule.batch, rows):
            order = np.concatenate([order, _grouped(rng.permutation(rows), lengths, schedule.batch, rng)])
        chosen, order = order[: schedule.batch], order[schedule.batch :]
        value = loss(chosen)
        if not torch.isfinite(value):
            raise InputError(f"rate: {schedule.rate}: the loss is no number after {step} steps; lower it")
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        rates.step()
        values.append(float(value.detach()))
        progress(1)
        if len(values) >= LATELY and np.mean(values[-LATELY:]) < schedule.enough:
            break
    ended = Ended(len(values), float(np.mean(values[-max(1, len(values) // 10) :])))
    log.info("%s: ended after %d of %d steps, with a mean loss of %.3g", what, ended.steps, schedule.steps, ended.loss)
    return ended


def _grouped(
    order: NDArray[np.int64], lengths: NDArray[np.int64] | None, batch: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows in an order in which WINDOW batches at a time are dealt anew by length: a batch costs as its longest row."""
    if lengths is None:
        return order
    out = []
    for start in range(0, len(order), WINDOW * batch):
        window = order[start : start + WINDOW * batch]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches = [window[i : i + batch] for i in range(0, len(window), batch)]
        out += [batches[i] for i in rng.permutation(len(batches))]
    return np.concatenate(out)


def _sequences(
    model: Any, processor: Any, suite: Suite, items: Sequence[Row], strategies: Sequence[str]
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens of every item with its answer, [items, length]; which belong to the answer; which are no padding."""
    words = processor.tokenizer
    patches = (model.config.vision_config.image_size // model.config.vision_config.patch_size) ** 2
    rows, answers = [], []
    for number, item in enumerate(items):
        prompt = STRATEGIES[strategies[number % len(strategies)]](item, suite.charts[str(item["chart"])])
        content = [{"type": "image"}] * (prompt.image != "none") + [{"type": "text", "text": prompt.text}]
        text = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        text = f"{text} {prompt.start}" if prompt.start else text
        before = words(text.replace(IMAGE, IMAGE * patches))["input_ids"]
        # What the answer's beginning has said already isn't said again.
        answer = str(item["answer"]).removeprefix("(" if prompt.start.endswith("(") else "")
        rows.append([*before, *words(f" {answer}")["input_ids"], words.eos_token_id])
        answers.append(len(before))
    length = max(map(len, rows))
    ids = torch.full((len(rows), length), words.pad_token_id)
    is_answer, kept = torch.zeros(ids.shape, dtype=torch.bool), torch.zeros(ids.shape, dtype=torch.bool)
    for i, (row, start) in enumerate(zip(rows, answers, strict=True)):
        ids[i, : len(row)] = torch.tensor(row)
        is_answer[i, start : len(row)] = True
        kept[i, : len(row)] = True
    return ids, is_answer, kept


def _features(model: Any, pixels: Tensor) -> Tensor:
    """What the connector reads of images, [images, patches, width]."""
    states = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states
    layers = model.config.vision_feature_layer
    chosen = [states[layer][:, 1:] for layer in ([layers] if isinstance(layers, int) else layers)]
    return torch.cat(chosen, dim=-1)


def _pixels(processor: Any, suite: Suite, charts: Sequence[str]) -> Tensor:
    with quietly():
        pixels: Tensor = processor.image_processor(
            [suite.image(chart) for chart in charts], return_tensors="pt"
        ).pixel_values
    return pixels


def texts(suite: Suite, items: Sequence[Row]) -> Iterable[str]:
    """All that a model may have to read or say."""
    yield from (" Answer:", " 0123456789()[]{},.:;?!'\"-+=%/")
    for item in (*suite.items, *items):
        yield from (f" {item['answer']}", f" {str(item['answer']).removeprefix('(')}")
        for strategy in STRATEGIES.values():
            prompt = strategy(item, suite.charts[str(item["chart"])])
            yield from (prompt.text, f" {prompt.start}")


def _covered(mask: NDArray[np.bool_], side: int) -> NDArray[np.int64]:
    """Patches of a grid that have some of a mask."""
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    return np.unique(rows * side // height * side + columns * side // width)


def _waves(side: int, width: int) -> Tensor:
    """Sines and cosines along both sides of a grid, [side * side, width]."""
    at = torch.arange(side, dtype=torch.float32)
    rates = torch.pi / side * 2 ** (torch.arange(width // 4) * np.log2(side) / max(1, width // 4 - 1))
    one = torch.cat([(at[:, None] * rates).sin(), (at[:, None] * rates).cos()], dim=1)
    both = torch.cat([one[:, None].expand(side, side, -1), one[None].expand(side, side, -1)], dim=-1)
    out = torch.zeros(side * side, width)
    out[:, : both.shape[-1]] = both.flatten(0, 1)
    return out


def _chunks(some: Any, size: int) -> Iterable[Any]:
    return (some[i : i + size] for i in range(0, len(some), size))
