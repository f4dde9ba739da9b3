"""One set of base weights that carries the trained `candidate` and the frozen `current`."""

from __future__ import annotations

import copy
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, cast

import torch

from holdfast.errors import ModelError
from holdfast.models import adapters, weights_io
from holdfast.models.generate import converse, generate
from holdfast.models.layout import TokenRow, packed_layout, padded_layout
from holdfast.models.load import context_length, load
from holdfast.models.memory import choose_checkpointing
from holdfast.models.packed_attention import can_pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import Tensor
    from torch.nn import Parameter
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from holdfast.models.adapter_config import AdapterConfig
    from holdfast.models.generate import Sampling, Talk
    from holdfast.models.load import Loaded
    from holdfast.types import Completion

Which: TypeAlias = Literal["candidate", "current", "base"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Head:
    """The output projection: `weight` [V, H] and perhaps `bias` [V]; it requires grad only if it is trained."""

    weight: Tensor
    bias: Tensor | None


class Learner:
    """A model that learns: `candidate` is trained, `current` is the frozen version it started from.

    With an adapter both are adapters on the same base weights, and `base` is the model with adapters
    off. Without one (full fine-tuning) `current` is a frozen second copy of the weights: the only case
    in which there is one. Build it with `Learner.create`.
    """

    def __init__(
        self,
        loaded: Loaded,
        adapter: AdapterConfig | None,
        candidate: PreTrainedModel,
        current: PreTrainedModel | None,
        reasons: list[str],
        *,
        started: bool,
    ) -> None:
        self.tokenizer: PreTrainedTokenizerBase = loaded.tokenizer
        self.adapter = adapter
        self.name = loaded.name
        self.reasons = reasons
        self.device: torch.device = candidate.device
        self.context_length = context_length(candidate.config)
        self.vocab_size = int(_head_layer(candidate).weight.shape[0])
        self.gradient_checkpointing = False
        self._started_from_weights = started
        self._autocast = adapter is None and loaded.model.dtype == torch.bfloat16
        self._candidate = candidate
        self._current = current
        self._base: PreTrainedModel | None = None
        packs = [can_pack(model) for model in (candidate, current) if model is not None]
        self._can_pack = all(packs)
        self._layers = adapters.adapter_layers(candidate) if adapter else []
        self._dropouts = adapters.dropouts(self._layers)

    @classmethod
    def create(
        cls,
        loaded: Loaded,
        adapter: AdapterConfig | None,
        *,
        start: Path | None = None,
        gradient_checkpointing: Literal["auto", True, False] = "auto",
        tokens_per_batch: int = 4096,
        seed: int = 0,
    ) -> Learner:
        """Returns a learner whose candidate and current are both the weights in `start`, or the bare base.

        It takes the loaded model over: do not use `loaded.model` afterwards. `tokens_per_batch` is the
        size of a micro-batch from which `gradient_checkpointing="auto"` estimates memory; `seed` draws
        the adapter's A matrices.
        """
        reasons = list(loaded.reasons)
        model, current = loaded.model, None
        model.requires_grad_(requires_grad=False)
        if adapter is not None:
            adapters.attach(model, adapter, start=start, seed=seed)
        else:
            # Trained weights are float32: small updates vanish in bfloat16's rounding.
            current, model = model, copy.deepcopy(model).float()
            model.requires_grad_(requires_grad=True)
            if start is not None:
                for copy_of_start in (model, current):
                    weights_io.read_full(copy_of_start, start)
        learner = cls(loaded, adapter, model, current, reasons, started=start is not None)
        use, reason = choose_checkpointing(model, gradient_checkpointing, tokens_per_batch)
        reasons.append(reason)
        if use:
            learner._checkpoint_activations()
        return learner

    @property
    def num_parameters(self) -> int:
        """Number of parameters of the base model, adapters left out."""
        total = sum(p.numel() for p in self._candidate.parameters())
        return total if self.adapter is None else total - 2 * sum(p.numel() for _, p in self.trainable())

    @property
    def can_pack(self) -> bool:
        """Whether rows can be laid end to end for this model."""
        return self._can_pack

    def hidden(self, rows: Sequence[TokenRow], which: Which, *, packed: bool = False) -> Tensor:
        """Returns the final hidden states [N, H] that predict the masked tokens, row after row.

        N is the number of True in all masks. Rows are padded on the right, or, with `packed`, laid end
        to end in one sequence with positions that restart and attention that stays inside each row. Branches of
        a row share its prefix where rows are packed, and are rows of their own where they are not.
        Only `candidate` has a gradient.

        Raises:
            ContextLengthError: a row is longer than the model's context.
        """
        if packed and not self._can_pack:
            raise ModelError(f"{self.name}: this model's attention cannot be replaced. Set packing = false.")
        model = self._model(which)
        layout = packed_layout if packed else padded_layout
        batch = layout(rows, self.context_length, self.device)
        trains = which == "candidate" and torch.is_grad_enabled()
        with self._training_mode() if trains else torch.no_grad(), self._precision(which):
            output = model.get_decoder()(**batch.inputs, use_cache=False)
        if packed and not batch.inputs["row_lengths"].seen:
            raise ModelError(f"{self.name}: this model's attention cannot keep packed rows apart. Set packing = false.")
        return output.last_hidden_state.flatten(0, 1).index_select(0, batch.select)

    def head(self, which: Which) -> Head:
        """Returns the output projection of `which`."""
        layer = _head_layer(self._model(which))
        return Head(weight=layer.weight, bias=layer.bias)

    def trainable(self) -> list[tuple[str, Parameter]]:
        """Returns the candidate's trained parameters by name, in a fixed order."""
        return [(name, p) for name, p in self._candidate.named_parameters() if p.requires_grad]

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        which: Which = "candidate",
        shared: Sequence[int] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> list[list[Completion]]:
        """Returns `sampling.num_samples` completions of each prompt by `which`; see `models.generate.generate`."""
        with self._precision(which):
            return generate(self._model(which), self.tokenizer, prompts, sampling, shared=shared, progress=progress)

    def converse(
        self,
        talks: Sequence[Talk[T]],
        *,
        longest: int,
        which: Which = "candidate",
        progress: Callable[[int, int], None] | None = None,
    ) -> list[T]:
        """Runs talks with `which` side by side and returns what they return; see `models.generate.converse`."""
        with self._precision(which):
            return converse(self._model(which), self.tokenizer, talks, longest=longest, progress=progress)

    def candidate_state(self) -> dict[str, Tensor]:
        """Returns copies of the trained tensors by name."""
        return {name: p.detach().clone() for name, p in self.trainable()}

    def load_candidate_state(self, state: Mapping[str, Tensor]) -> None:
        """Sets the trained tensors to `state`, which must have exactly their names and shapes."""
        mine = dict(self.trainable())
        if differing := sorted(set(mine) ^ set(state)):
            raise ModelError(
                f"the saved state does not fit this model: {differing[0]} is on one side only "
                f"({len(differing)} such names). Use the base and adapter settings it was saved with."
            )
        with torch.no_grad():
            for name, parameter in mine.items():
                if parameter.shape != state[name].shape:
                    raise ModelError(
                        f"the saved state does not fit this model: {name} is {list(state[name].shape)}, "
                        f"wanted {list(parameter.shape)}."
                    )
                parameter.copy_(state[name])

    def save(self, folder: Path) -> None:
        """Writes the candidate to `folder`, atomically, as safetensors that stock peft or transformers load."""
        if self.adapter is not None:
            weights_io.save_adapter(self._candidate, folder, base_name=self.name)
        else:
            weights_io.save_full(self._candidate, self.tokenizer, folder)

    def interpolate(self, towards_current: float) -> None:
        """Sets candidate := (1 - a) · candidate + a · current, tensor by tensor, with a in [0, 1].

        For an adapter A and B are interpolated each, so the way between the two ends is not a straight
        line in B·A; the ends themselves are exact.
        """
        if not 0.0 <= towards_current <= 1.0:
            raise ModelError(f"interpolate: the share {towards_current} is not between 0 and 1.")
        frozen = self._frozen()
        with torch.no_grad():
            for name, parameter in self.trainable():
                parameter.lerp_(frozen[name].to(parameter.dtype), towards_current)

    def reset_candidate(self) -> None:
        """Makes the candidate a copy of `current` again."""
        self.load_candidate_state(self._frozen())

    def _frozen(self) -> dict[str, Tensor]:
        """Returns `current`'s tensors under the names of the candidate's."""
        if self._current is not None:
            return {name: p.detach() for name, p in self._current.named_parameters()}
        return adapters.frozen_tensors(self._candidate)

    def _model(self, which: Which) -> PreTrainedModel:
        """Returns the module that computes `which`, with the right adapter switched on."""
        if self.adapter is not None:
            adapters.switch(self._layers, which)
            return self._candidate
        if which == "candidate":
            return self._candidate
        if which == "current":
            return cast("PreTrainedModel", self._current)
        return self._bare_base()

    def _bare_base(self) -> PreTrainedModel:
        """Returns the base of a full fine-tuning run: `current` itself in the first stage, else loaded again."""
        if not self._started_from_weights:
            return cast("PreTrainedModel", self._current)
        if self._base is None:
            dtype = "bfloat16" if cast("PreTrainedModel", self._current).dtype == torch.bfloat16 else "float32"
            device = "cuda" if self.device.type == "cuda" else "cpu"
            self._base = load(self.name, dtype=dtype, device=device).model
            can_pack(self._base)
        return self._base

    def _precision(self, which: Which) -> AbstractContextManager[object]:
        """float32 weights of a bfloat16 model still compute in bfloat16."""
        if self._autocast and which == "candidate":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    @contextmanager
    def _training_mode(self) -> Iterator[None]:
        """Adapter dropout and activation checkpointing are on inside, and off outside."""
        if not (self._dropouts or self.gradient_checkpointing):
            yield
            return
        self._candidate.train()
        try:
            yield
        finally:
            self._candidate.eval()

    def _checkpoint_activations(self) -> None:
        def contexts() -> tuple[object, object]:
            # The backward pass runs a layer again; by then `current` may have been switched on.
            return nullcontext(), self._as_candidate()

        kwargs = {"use_reentrant": False, "context_fn": contexts}
        self._candidate.gradient_checkpointing_enable(gradient_checkpointing_kwargs=kwargs)
        self.gradient_checkpointing = True

    @contextmanager
    def _as_candidate(self) -> Iterator[None]:
        before = adapters.active(self._layers)
        adapters.switch(self._layers, "candidate")
        try:
            yield
        finally:
            adapters.switch(self._layers, before)


def _head_layer(model: PreTrainedModel) -> torch.nn.Linear:
    return cast("torch.nn.Linear", model.get_output_embeddings())
