"""The engine's methods `open` and `release`: a run's model is loaded, and closed for a rename or deletion."""

from dataclasses import dataclass
from pathlib import Path

from lab.core.safetensors_file import read_metadata
from lab.engine.method_registry import OpenParams, ReleaseParams
from lab.inspect.model_cache import ModelCache
from lab.inspect.open_model import OpenModel
from lab.runs.evaluation_coverage import during_training
from lab.runs.run_summary import origin_in_short
from lab.views.blocks import ModelFacts
from models.parameter_count import parameter_count


@dataclass(frozen=True)
class ModelMethods:
    models: ModelCache

    def open(self, params: OpenParams) -> ModelFacts:
        """Load the checkpoint if it is not held or its file has changed. Raises: UserError."""
        opened = self.models.model(params.run, params.checkpoint, fresh=True)
        config, run = opened.model.config, opened.run
        share = during_training(run.config.data, run.status())
        return ModelFacts(
            run=run.name,
            checkpoint=opened.checkpoint,
            step=opened.step,
            layers=config.layers,
            heads=config.heads,
            width=config.width,
            context=config.context,
            vocab_size=config.vocab_size,
            parameters=parameter_count(config),
            tokenizer=opened.tokenizer.kind,
            origin=origin_in_short(run.config),
            val_loss=_val_loss(opened),
            val_on=share.loss_suffix if share else "",
        )

    def release(self, params: ReleaseParams) -> bool:
        """Forget all of a run."""
        self.models.release(Path(params.path))
        return True


def _val_loss(opened: OpenModel) -> float | None:
    """Validation loss of the step whose weights these are, None where it was not evaluated."""
    metadata = read_metadata(Path(opened.identity[0])) or {}
    if "val_loss" in metadata:
        return float(metadata["val_loss"])
    losses = {metric.step: metric.val_loss for metric in opened.run.metrics().read() if metric.val_loss is not None}
    return losses.get(opened.step)
