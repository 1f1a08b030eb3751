"""Train LSTMs until they are exactly right; plain Keras pieces to do it with.

The names load on first use, so that importing this package costs nothing:
TensorFlow alone takes seconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from keras_lstm.callbacks.counterexamples import Counterexamples
    from keras_lstm.callbacks.exact_resume import ExactResume
    from keras_lstm.callbacks.stop_at_full_accuracy import StopAtFullAccuracy
    from keras_lstm.callbacks.stop_at_non_finite import (
        NonFiniteError,
        StopAtNonFinite,
    )
    from keras_lstm.callbacks.stop_at_proof import StopAtProof
    from keras_lstm.callbacks.tensorboard import TensorBoard
    from keras_lstm.config import Config, ModelConfig, TrainingConfig
    from keras_lstm.datasets import make_dataset
    from keras_lstm.early_answers import EarlyAnswers, answering_every_step
    from keras_lstm.evaluation import evaluate
    from keras_lstm.export import export_model
    from keras_lstm.gradient_clipping import clip_after_aggregation
    from keras_lstm.interruption import Interrupted, Interruption
    from keras_lstm.losses import SmoothedCrossentropy
    from keras_lstm.metrics import SequenceAccuracy, TokenAccuracy
    from keras_lstm.models import build_model
    from keras_lstm.multi_worker import enable_multi_worker
    from keras_lstm.options import InputError, RunError
    from keras_lstm.presets import get_preset
    from keras_lstm.probes import ImageProbe, Probe, SequenceProbe, make_probe
    from keras_lstm.proof import Proof, ProofError, check_proof, find_proof
    from keras_lstm.proof_regularization import ProofRegularization
    from keras_lstm.run_results import TrainResult
    from keras_lstm.sharded_training import train_in_shards
    from keras_lstm.strategies import check_compiled, get_strategy
    from keras_lstm.streaming import Stream
    from keras_lstm.tasks import get_task
    from keras_lstm.tasks.image_rows import ImageRows
    from keras_lstm.tasks.increment import Add, Decrement, Increment, Parity
    from keras_lstm.tasks.task import Split, Splits, Task
    from keras_lstm.tasks.transducer import TransducerTask
    from keras_lstm.training import train
    from keras_lstm.tuning import LSTMHyperModel
    from keras_lstm.verification import verify

_MODULES = {
    "Add": "tasks.increment",
    "Config": "config",
    "Counterexamples": "callbacks.counterexamples",
    "Decrement": "tasks.increment",
    "EarlyAnswers": "early_answers",
    "ExactResume": "callbacks.exact_resume",
    "ImageRows": "tasks.image_rows",
    "Increment": "tasks.increment",
    "ImageProbe": "probes",
    "InputError": "options",
    "Interrupted": "interruption",
    "Interruption": "interruption",
    "LSTMHyperModel": "tuning",
    "ModelConfig": "config",
    "NonFiniteError": "callbacks.stop_at_non_finite",
    "Parity": "tasks.increment",
    "Probe": "probes",
    "Proof": "proof",
    "ProofError": "proof",
    "ProofRegularization": "proof_regularization",
    "RunError": "options",
    "SequenceAccuracy": "metrics",
    "SequenceProbe": "probes",
    "SmoothedCrossentropy": "losses",
    "Split": "tasks.task",
    "Splits": "tasks.task",
    "StopAtFullAccuracy": "callbacks.stop_at_full_accuracy",
    "StopAtNonFinite": "callbacks.stop_at_non_finite",
    "StopAtProof": "callbacks.stop_at_proof",
    "Stream": "streaming",
    "Task": "tasks.task",
    "TensorBoard": "callbacks.tensorboard",
    "TokenAccuracy": "metrics",
    "TrainResult": "run_results",
    "TrainingConfig": "config",
    "TransducerTask": "tasks.transducer",
    "answering_every_step": "early_answers",
    "build_model": "models",
    "check_compiled": "strategies",
    "check_proof": "proof",
    "clip_after_aggregation": "gradient_clipping",
    "enable_multi_worker": "multi_worker",
    "evaluate": "evaluation",
    "export_model": "export",
    "find_proof": "proof",
    "get_preset": "presets",
    "get_strategy": "strategies",
    "get_task": "tasks",
    "make_dataset": "datasets",
    "make_probe": "probes",
    "train": "training",
    "train_in_shards": "sharded_training",
    "verify": "verification",
}

__all__ = [
    "Add",
    "Config",
    "Counterexamples",
    "Decrement",
    "EarlyAnswers",
    "ExactResume",
    "ImageProbe",
    "ImageRows",
    "Increment",
    "InputError",
    "Interrupted",
    "Interruption",
    "LSTMHyperModel",
    "ModelConfig",
    "NonFiniteError",
    "Parity",
    "Probe",
    "Proof",
    "ProofError",
    "ProofRegularization",
    "RunError",
    "SequenceAccuracy",
    "SequenceProbe",
    "SmoothedCrossentropy",
    "Split",
    "Splits",
    "StopAtFullAccuracy",
    "StopAtNonFinite",
    "StopAtProof",
    "Stream",
    "Task",
    "TensorBoard",
    "TokenAccuracy",
    "TrainResult",
    "TrainingConfig",
    "TransducerTask",
    "answering_every_step",
    "build_model",
    "check_compiled",
    "check_proof",
    "clip_after_aggregation",
    "enable_multi_worker",
    "evaluate",
    "export_model",
    "find_proof",
    "get_preset",
    "get_strategy",
    "get_task",
    "make_dataset",
    "make_probe",
    "train",
    "train_in_shards",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return __all__
