from .counterexamples import Counterexamples as Counterexamples
from .exact_resume import ExactResume as ExactResume
from .history_writer import HistoryWriter as HistoryWriter
from .progress_logger import ProgressLogger as ProgressLogger
from .raise_on_non_finite import RaiseOnNonFinite as RaiseOnNonFinite
from .stop_at_full_accuracy import StopAtFullAccuracy as StopAtFullAccuracy
from .stop_at_proof import StopAtProof as StopAtProof
from .tensorboard import TensorBoard as TensorBoard
