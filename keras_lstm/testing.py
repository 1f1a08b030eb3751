"""Help to test your own training."""

from keras_lstm.training.exactness import (
    assert_resumes_exactly as assert_resumes_exactly,
)
