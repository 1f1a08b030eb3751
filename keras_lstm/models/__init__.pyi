from .build import build_model as build_model
from .early_prediction import EarlyPrediction as EarlyPrediction
from .early_prediction import build_stepwise_model as build_stepwise_model
from .gradient_clipping import (
    clip_aggregated_gradients as clip_aggregated_gradients,
)
from .large_products import enable_large_products as enable_large_products
from .text_input import without_symbol_names as without_symbol_names
