from .microbatches import enable_microbatches as enable_microbatches
from .multi_worker import enable_multi_worker as enable_multi_worker
from .strategies import check_compiled as check_compiled
from .strategies import get_strategy as get_strategy
