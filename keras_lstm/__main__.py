"""The `keras-lstm` command as `python -m keras_lstm`."""

from keras_lstm.cli import run_process

if __name__ == "__main__":
    raise SystemExit(run_process())
