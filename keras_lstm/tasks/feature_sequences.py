"""Sequences of numbers with a class each: arrays, images, time series."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError, shown
from keras_lstm.core.options import option
from keras_lstm.tasks.feature_notation import FeatureNotation
from keras_lstm.tasks.feature_options import (
    numbers_to_text,
    parse_numbers,
    parse_size,
)
from keras_lstm.tasks.feature_series import SeriesColumns
from keras_lstm.tasks.feature_summary import (
    describe_ignored,
    suggest,
    summarize_features,
)
from keras_lstm.tasks.feature_survey import (
    ARRAYS,
    IMAGES,
    SERIES,
    SOURCES,
    FeatureSource,
    FeatureSurvey,
    survey_features,
)
from keras_lstm.tasks.feature_table import PADDING_VALUE, make_split
from keras_lstm.tasks.image_files import sketch_image
from keras_lstm.tasks.labels import names_to_text, parse_names
from keras_lstm.tasks.notation import Notation
from keras_lstm.tasks.own_data import (
    NO_SEQUENCES,
    OwnData,
    describe_defects,
    describe_parts,
)
from keras_lstm.tasks.partition import PARTS, VALIDATION
from keras_lstm.tasks.task import Split, Splits

_EACH, _ALL = "each", "all"
# Fraction of random sequences that end early, if lengths differ.
_PADDED = 0.5


@dataclasses.dataclass(frozen=True)
class FeatureSequences(OwnData):
    """Classify sequences of numbers from a file, or images from folders.

    Inputs are `(timesteps, features)`, float32, as they are in the data;
    images are scaled to [0, 1]. The model's first layer standardizes them by
    the mean and variance of the training part. Where lengths differ, the steps
    after the end of a sequence hold `mask_value`. Targets are class numbers,
    `()`.

    What is not given is found in the data when the task is made: the shape,
    and from the training part alone the classes, means and variances. They are
    then options like any other, so that a run can be used without the data.

    Example:

    ```python
    task = FeatureSequences(data="mnist.npz")
    splits = task.splits(seed=0)
    ```
    """

    name = "rows"
    default_preset: ClassVar[str] = "rows"
    step_label = "step"

    data: str | None = option(
        None,
        "NumPy archive (.npz) with x_train, y_train, x_test and y_test, or x "
        "and y; folder with a folder of images for each class; or CSV, TSV or "
        "JSON Lines file with a row for each time step",
    )
    source: str | None = option(
        None, "what the data is (none: find out)", choices=SOURCES
    )
    group: str | None = option(
        None,
        "series: column that tells the sequences apart (none: find it by name)",
    )
    time: str | None = option(
        None,
        "series: column to sort the rows of a sequence by, numbers or ISO 8601 "
        "(none: find it by name, or else the order in the file)",
    )
    target: str | None = option(
        None, "series: column of the class (none: find it by name)"
    )
    features: str | None = option(
        None,
        "series: columns of the features, a JSON list (none: all other columns "
        "of numbers)",
    )
    image_size: str | None = option(
        None,
        "images: ROWS,COLUMNS to resize them to (none: all must have the size "
        "of the first)",
    )
    standardize: str | None = option(
        None,
        "standardize each feature by its own mean and variance, or all by "
        "common ones (none: all for images, bytes and more than 1,024 "
        "features, otherwise each)",
        choices=(_EACH, _ALL),
    )
    num_steps: int | None = option(
        None,
        "time steps of each sequence; 0 if they differ (none: as in the data)",
        minimum=0,
    )
    num_features: int | None = option(
        None, "features of a time step (none: as in the data)", minimum=1
    )
    mean: str | None = option(
        None,
        "mean of each feature or of all, a JSON list (none: of the training "
        "part)",
    )
    variance: str | None = option(
        None,
        "variance of each feature or of all, a JSON list (none: of the "
        "training part)",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_size(self.image_size)
        if self.features is not None:
            parse_names(self.features, "features")
        if self.data is not None and None in (
            *(self.source, self.num_steps, self.num_features, self.classes),
            *(self.mean, self.variance, self.standardize, self.data_sha256),
        ):
            self._find()
        self._check_statistics()

    def _find(self) -> None:
        """Set the options that are not given to what the data holds."""
        found = self.survey()
        table, source = found.table, found.source
        values: dict[str, Any] = {
            "source": source.source,
            "group": source.group,
            "time": source.time,
            "target": source.target,
            "num_steps": table.num_steps,
            "num_features": table.num_features,
            "data_sha256": table.sha256,
            "standardize": _ALL if found.in_one else _EACH,
        }
        if source.features is not None:
            values["features"] = names_to_text(source.features)
        if self.classes is None:
            values["classes"] = names_to_text(found.training_classes())
        for name, value in values.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        if self.mean is None or self.variance is None:
            in_one = self.standardize == _ALL
            mean, variance = found.statistics(in_one)
            # A feature that is constant becomes 0.
            pair = {"mean": mean, "variance": np.where(variance, variance, 1.0)}
            for name, numbers in pair.items():
                object.__setattr__(self, name, numbers_to_text(numbers))
        self._check_fits(found)

    @property
    def has_validation(self) -> bool:
        """Whether sequences are for validation."""
        if super().has_validation or self.source != ARRAYS:
            return super().has_validation
        try:
            return bool((self.survey().parts == VALIDATION).any())
        # A run may be used without its data.
        except InputError:
            return False

    def survey(self) -> FeatureSurvey:
        """Read the data once, or return what was found before.

        Returns:
            What the data holds.

        Raises:
            InputError: if it cannot be read as the options say.
        """
        features = self.features
        return survey_features(
            FeatureSource(
                *(self.found("data"), self.source, self.group, self.time),
                *(self.target, self.part),
                None if features is None else parse_names(features, "features"),
                parse_size(self.image_size),
                self.bad_rows == "skip",
                self.validation_fraction,
                *(self.test_fraction, self.split_seed),
                *(self.validation_data, self.test_data),
            )
        )

    def _check_statistics(self) -> None:
        """Refuse means and variances that the model cannot use."""
        sizes = []
        for name in ("mean", "variance"):
            text = getattr(self, name)
            if text is None:
                continue
            numbers = parse_numbers(text, name)
            sizes.append(len(numbers))
            if name == "variance" and min(numbers) <= 0.0:
                raise InputError(
                    "`variance` must be above 0. Received: variance="
                    f"{shown(text)}"
                )
        allowed = {1, self.num_features or sizes[0]} if sizes else set()
        if len(set(sizes)) > 1 or not set(sizes) <= allowed:
            raise InputError(
                "`mean` and `variance` must have one number, or one for each "
                f"of {self.num_features} features. Received: {sizes} numbers"
            )

    def _check_fits(self, found: FeatureSurvey) -> None:
        """Refuse data that is not as the options say."""
        table = found.table
        if table.num_features != self.num_features:
            raise InputError(
                f"`data` must have {self.num_features} features. Received: "
                f"{table.num_features} in {self.data}"
            )
        if self.num_steps not in (0, table.num_steps):
            differs = int(np.argmax(table.lengths != self.num_steps))
            raise InputError(
                f"`data` must have sequences of {self.num_steps} steps. "
                f"Received: {table.place(differs)}, of "
                f"{table.lengths[differs]}"
            )
        if self.data_sha256 not in (None, table.sha256):
            raise InputError(
                f"`data` must have the `data_sha256` {self.data_sha256} "
                f"(none: any). Received: {self.data}, with {table.sha256}"
            )
        found.check_classes(self.class_names)

    @property
    def inputs_are_images(self) -> bool:
        """True for a folder of pictures."""
        return self.source == IMAGES

    @property
    def num_symbols(self) -> None:
        """None: the inputs are features."""
        return None

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """`(timesteps, features)`; None for `timesteps` if they differ."""
        return (self.num_steps or None, self.num_features or 1)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """`()`: one label."""
        return ()

    @property
    def mask_value(self) -> float | None:
        """The lowest value of float32 if lengths differ, otherwise None."""
        return None if self.num_steps else PADDING_VALUE

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and variance of each feature, or of all."""
        if self.mean is None or self.variance is None:
            return None
        return parse_numbers(self.mean, "mean"), parse_numbers(
            self.variance, "variance"
        )

    def recommended(self) -> dict[str, Any]:
        """Return the head for one label."""
        return {"head": "last_state"}

    def notation(self, any_length: bool) -> Notation:
        """Return the notation of files."""
        columns = None
        if self.source == SERIES and self.features and self.group:
            names = parse_names(self.features, "features")
            columns = SeriesColumns(self.group, self.time, None, None, names)
        return FeatureNotation(
            (self.num_steps or None, self.num_features or 1),
            self.class_names,
            self.source == IMAGES,
            self.image_size is not None,
            columns,
        )

    def sketch(self, inputs: npt.NDArray[Any]) -> list[str]:
        """Return images as characters, and nothing for other sequences."""
        return sketch_image(inputs) if self.source == IMAGES else []

    def random_inputs(
        self, rng: np.random.Generator, shape: tuple[int, ...]
    ) -> npt.NDArray[Any]:
        """Return random inputs with the data's means and variances.

        Args:
            rng: the generator to draw from.
            shape: `(batch_size, timesteps, features)`.

        Returns:
            Inputs of this shape; if lengths differ, half of them end early.
        """
        mean, variance = self.statistics or ((0.0,), (1.0,))
        values = rng.standard_normal(shape, np.float32)
        values = (values * np.sqrt(variance) + mean).astype(np.float32)
        if self.mask_value is not None:
            lengths = rng.integers(1, shape[1] + 1, shape[0])
            lengths[rng.random(shape[0]) >= _PADDED] = shape[1]
            is_end = np.arange(shape[1]) >= lengths[:, np.newaxis]
            values[is_end] = self.mask_value
        return values

    def splits(self, seed: int) -> Splits:
        """Return the sequences, divided as the data or the options say.

        Args:
            seed: unused: the parts are the same for every seed.

        Returns:
            The three splits; a part without sequences is None.

        Raises:
            InputError: if the data has changed or cannot be read.
        """
        found = self.survey()
        self._check_fits(found)
        numbers = {name: i for i, name in enumerate(self.class_names)}
        labels = np.array([numbers.get(x, -1) for x in found.table.names])
        train, validation, test = (
            self._split(found, part, labels.astype(np.int32))
            for part in range(len(PARTS))
        )
        return Splits(train or NO_SEQUENCES, validation, test)

    def _split(
        self, found: FeatureSurvey, part: int, labels: npt.NDArray[np.int32]
    ) -> Split | None:
        indices = np.flatnonzero(found.parts == part)
        if not len(indices):
            return None
        labels = labels[found.table.labels[indices]]
        return make_split(found.table, indices, labels, self.input_shape)

    def remarks(self) -> list[str]:
        """Return what to know of the data before training."""
        found = self.survey()
        table = found.table
        steps = table.lengths
        lengths = f"{steps.min():,}"
        if table.num_steps == 0:
            lengths += f" to {steps.max():,}"
        names = f" ({shown(list(table.features))})" if table.features else ""
        return [
            f"{self.data}: {len(table):,} sequences "
            f"({describe_parts(found.parts)}) of {lengths} steps, "
            f"{table.num_features} features{names}, {self.num_classes} classes",
            *self.unused_options(),
            *self.defects(),
        ]

    def defects(self) -> list[str]:
        """Return what may be wrong with the data."""
        found = self.survey()
        return describe_defects(found.defects) + describe_ignored(found)

    def suggested(self) -> dict[str, str]:
        """Return the columns of a table."""
        return suggest(self.survey())

    def summary(self) -> list[str]:
        """Return what the data holds."""
        return summarize_features(self.survey())
