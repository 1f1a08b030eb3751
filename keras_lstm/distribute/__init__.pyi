from .microbatches import train_in_shards as train_in_shards
from .multi_worker import enable_multi_worker as enable_multi_worker
from .strategies import check_compiled as check_compiled
from .strategies import get_strategy as get_strategy
