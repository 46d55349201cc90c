"""Vision-language models in local folders: opened without running any code that lies there, asked and looked into."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from memloc.charts.models.stages import Stage, check_order, editing, find
from memloc.errors import InputError, show
from memloc.provenance import file_sha256
from memloc.scoring.encoders import hugging_face
from memloc.scoring.encoders.source import first_of, in_one_line, library, load_json, quietly

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEPENDS_ON = (".json", ".safetensors", ".jinja", ".txt", ".model")
"""How names of files end that answers depend on; SentencePiece's end in .model."""
Inputs = dict[str, Any]


@dataclass(frozen=True)
class Model:
    """A vision-language model in eval mode.

    Attributes:
        name: its folder, as it was given.
        module, processor: of transformers.
        stages: where its states can be read and replaced, in order.
        image_token: number of the token that stands for an image, or a part of one.
        crosses: whether images reach the decoder by cross-attention, and so are no tokens of its input.
        remarks: on what a user may not expect.
        identity: a hash of weights, configuration and processor.
    """

    name: str
    module: nn.Module
    processor: Any
    stages: tuple[Stage, ...]
    image_token: int
    crosses: bool
    remarks: tuple[str, ...]
    identity: str

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return next(self.module.parameters()).device

    @property
    def config(self) -> Any:
        """As transformers has it."""
        return self.module.config

    def stage(self, name: str) -> Stage:
        """A stage by its name."""
        return next(stage for stage in self.stages if stage.name == name)

    def prompt(self, question: str, *, image: bool = True, start: str = "") -> str:
        """A question as the model's chat template has it, or behind the token of the image; ``start`` of the answer."""
        token = self.processor.image_token if image else ""
        text = f"{token}{question}"
        if getattr(self.processor, "chat_template", None):
            content = [*([{"type": "image"}] if image else []), {"type": "text", "text": question}]
            with in_one_line(f"{self.name}: its chat template can't be used", "correct it"):
                text = self.processor.apply_chat_template(
                    [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
                )
        return f"{text} {start}" if start else text

    def encode(self, prompts: Sequence[str], images: Sequence[Image.Image] | None) -> Inputs:
        """A batch, padded on the left; without images where they are None.

        Raises:
            InputError: the processor can't take the prompts, or makes no token of an image.
        """
        bos = self.processor.tokenizer.bos_token
        doubled = bool(bos) and all(bos in prompt for prompt in prompts)
        with quietly(), in_one_line(f"{self.name}: its processor fails on charts", "get it again"):
            inputs = self.processor(
                text=list(prompts),
                images=None if images is None else [[image] for image in images],
                padding=True,
                add_special_tokens=not doubled,
                return_tensors="pt",
            )
        if images is not None and not (inputs["input_ids"] == self.image_token).any(dim=1).all():
            raise InputError(f"{self.name}: its processor makes no image tokens of a chart; get it again")
        dtype = next(self.module.parameters()).dtype
        return {
            key: value.to(self.device, dtype if value.is_floating_point() else None) for key, value in inputs.items()
        }

    def places(self, inputs: Inputs) -> Tensor:
        """Where image tokens stand in the decoder's input, [batch, length]."""
        found: Tensor = inputs["input_ids"] == self.image_token
        return found

    @torch.inference_mode()
    def generate(self, inputs: Inputs, tokens: int) -> Tensor:
        """Greedy answers of at most so many tokens, [batch, length], padded behind their end."""
        with quietly():
            out: Tensor = self.module.generate(**inputs, max_new_tokens=tokens)  # type: ignore[operator]
        return out[:, inputs["input_ids"].shape[1] :]

    @torch.inference_mode()
    def logits(self, inputs: Inputs) -> Tensor:
        """Of the next token, [batch, vocabulary]."""
        out: Tensor = self.module(**inputs, logits_to_keep=1, use_cache=False).logits[:, -1].float()
        return out

    @torch.inference_mode()
    def states(self, inputs: Inputs, stages: Sequence[Stage]) -> dict[Stage, Tensor]:
        """States [batch, tokens, width] of stages in one forward pass.

        Raises:
            InputError: tower, connector and decoder didn't run in this order.
        """
        found: dict[Stage, Tensor] = {}

        def keep(stage: Stage) -> Callable[[Tensor], None]:
            return lambda states: found.__setitem__(stage, states.clone())

        with editing(self.module, len(inputs["input_ids"]), {stage: keep(stage) for stage in stages}):
            self.module(**inputs, logits_to_keep=1, use_cache=False)
        check_order([*found])
        return found

    def text(self, answer: Tensor) -> str:
        """An answer's tokens as text."""
        said: str = self.processor.tokenizer.decode(answer, skip_special_tokens=True)
        return said.strip()


def open_model(
    folder: str | Path,
    *,
    device: str = "cpu",
    precision: str = "auto",
    globs: Mapping[str, str] | None = None,
) -> Model:
    """The model of a folder in Hugging Face's format, with weights of safetensors alone.

    Args:
        precision: of PRECISIONS; auto is float32 on a CPU, and elsewhere bfloat16 for weights of 16 bits.
        globs: names of parts that aren't found from the architecture (see ``stages.find``).

    Raises:
        InputError: the folder holds no such model, or parts of it don't fit together.
    """
    text, folder = show(str(folder)), Path(folder)
    config = _described(text, folder)
    transformers = library("transformers", text)
    hugging_face.refuse_code(text, config, transformers.CONFIG_MAPPING)
    kinds = transformers.models.auto.modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    if config["model_type"] not in kinds:
        raise InputError(
            f"{text}: {show(str(config['model_type']))} is no vision-language model, which takes an image and a text"
            " and answers with text; name another folder"
        )
    local = {"local_files_only": True, "trust_remote_code": False}
    with quietly(), in_one_line(f"{text}: its processor can't be opened", "get its processor and tokenizer again"):
        processor = transformers.AutoProcessor.from_pretrained(folder, **local)
    token = _image_token(text, processor)
    with quietly(), in_one_line(f"{text}: transformers can't open it", "get it again"):
        entries, types = hugging_face.entries_of(text, folder)
        hugging_face.refuse_endless(text, config, len(entries))
        half = device != "cpu" and types & {"F16", "BF16"}
        module, loaded = transformers.AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype=PRECISIONS[precision] if precision != "auto" else torch.bfloat16 if half else torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **local,
        )
    for key, says in (("mismatched_keys", "have other shapes than config.json says"), ("missing_keys", "lack entries")):
        if odd := sorted(name if isinstance(name, str) else name[0] for name in loaded[key]):
            raise InputError(f"{text}: its weights {says} ({first_of(odd)}); get it again")
    for name, weights in module.named_parameters():
        if not weights.isfinite().all():
            raise InputError(
                f"{text}: {show(name)}: not all of its weights are finite in {weights.dtype}; get it again, or give"
                " --precision float32 where they are too large"
            )
    stated = getattr(module.config, "image_token_id", token)
    if stated != token:
        raise InputError(
            f"{text}: config.json calls token {stated} the image, its processor token {token}; get both from one place"
        )
    _settle(transformers, module, processor)
    stages, remarks = find(module, module.config, globs)
    if loaded["unexpected_keys"]:
        remarks.append(f"entries of its weights have no place in it: {first_of(sorted(loaded['unexpected_keys']))}")
    files = sorted(path for path in folder.rglob("*") if path.suffix in DEPENDS_ON and path.is_file())
    sums = "".join(f"{path.relative_to(folder).as_posix()} {file_sha256(path)}\n" for path in files)
    return Model(
        *(text, module.to(device), processor, stages, token),
        crosses=hasattr(module.config.get_text_config(), "cross_attention_layers"),
        remarks=tuple(remarks),
        identity=hashlib.sha256(sums.encode()).hexdigest(),
    )


def _described(text: str, folder: Path) -> dict[str, Any]:
    """A folder's config.json.

    Raises:
        InputError: there is none, or it is of weights that can't be read.
    """
    if not folder.is_dir():
        raise InputError(f"{text}: no such folder; download the model and name the folder of its config.json")
    if not (folder / "config.json").is_file():
        raise InputError(f"{text}: no config.json in it; name a folder in Hugging Face's format")
    if not any((folder / name).is_file() for name in (hugging_face.WHOLE, hugging_face.INDEX)):
        raise InputError(f"{text}: no model.safetensors in it, and pickled weights aren't read; convert them")
    if (folder / "adapter_config.json").exists():
        raise InputError(f"{text}: adapter_config.json in it, and adapters aren't read; merge them into the weights")
    config = load_json(folder / "config.json")
    if config.get("quantization_config"):
        raise InputError(f"{text}: its config.json has a quantization_config, and weights aren't cast; get plain ones")
    return config


def _image_token(text: str, processor: Any) -> int:
    """Number of the token that stands for an image."""
    tokenizer, token = getattr(processor, "tokenizer", None), getattr(processor, "image_token", None)
    if tokenizer is None or getattr(processor, "image_processor", None) is None:
        raise InputError(f"{text}: has no processor of images and text; get its preprocessor_config.json and tokenizer")
    number = getattr(processor, "image_token_id", None) or (tokenizer.convert_tokens_to_ids(token) if token else None)
    if not isinstance(number, int) or number == tokenizer.unk_token_id:
        raise InputError(f"{text}: its processor has no image token, so charts can't be shown to it; get it again")
    return number


def _settle(transformers: Any, module: Any, processor: Any) -> None:
    """Make answers greedy, whatever the folder says, and pad on the left."""
    tokenizer, said = processor.tokenizer, module.generation_config
    end = said.eos_token_id if said.eos_token_id is not None else tokenizer.eos_token_id
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    module.generation_config = transformers.GenerationConfig(
        do_sample=False, num_beams=1, eos_token_id=end, pad_token_id=tokenizer.pad_token_id
    )
    module.eval().requires_grad_(False)
