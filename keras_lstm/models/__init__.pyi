from .build import build_model as build_model
from .early_prediction import EarlyAnswers as EarlyAnswers
from .early_prediction import answering_every_step as answering_every_step
from .gradient_clipping import clip_after_aggregation as clip_after_aggregation
