"""The options that say how checkpoints and data are read and where results lie, for every command that measures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from landscape.checkpoints import Checkpoint
    from landscape.cli.sources import Source
    from landscape.datasets.registry import DatasetInfo


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a command's own options begin with; the fields have the names of the options."""

    dataset: str | None
    data_dir: str | None
    model: str | None
    num_classes: int | None
    normalization: str | None
    cache_dir: str | None

    @property
    def cache(self) -> Path:
        """The folder of the results."""
        from landscape import files

        return Path(self.cache_dir) if self.cache_dir else files.cache_folder()

    def load(self, source: Source) -> tuple[Checkpoint, DatasetInfo]:
        """The checkpoint of a source with the facts of its data set; errors as `load_source`."""
        from landscape.cli.sources import load_source

        return load_source(
            source,
            model=self.model,
            num_classes=self.num_classes,
            normalization=self.normalization,
            dataset=self.dataset,
            data_dir=self.data_dir,
        )
