from .diagnostics import Diagnostics as Diagnostics
from .diagnostics import ImageDiagnostics as ImageDiagnostics
from .diagnostics import SequenceDiagnostics as SequenceDiagnostics
from .diagnostics import make_diagnostics as make_diagnostics
