"""Train LSTMs until they are exactly right, with plain Keras pieces.

Names are loaded on first use, so that importing this package is fast:
TensorFlow alone takes seconds. They are listed in `__init__.pyi`; the
namespaces `callbacks`, `checkpoint`, `distribute`, `errors`, `losses`,
`metrics`, `models`, `monitoring`, `proof`, `tasks` and `testing` have more.
"""

import lazy_loader

from keras_lstm.core.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
