"""Train LSTMs until they are exactly right; plain Keras pieces to do it with.

The names load on first use, so that importing this package costs nothing:
TensorFlow alone takes seconds. They are listed in `__init__.pyi`; more are in
`callbacks`, `checkpoint`, `distribute`, `errors`, `losses`, `metrics`,
`models`, `monitoring`, `proof` and `tasks`.
"""

import lazy_loader

from keras_lstm.core.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
