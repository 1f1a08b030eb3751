from .diagnostics import ImageProbe as ImageProbe
from .diagnostics import Probe as Probe
from .diagnostics import SequenceProbe as SequenceProbe
from .diagnostics import make_probe as make_probe
