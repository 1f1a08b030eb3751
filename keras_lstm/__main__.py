"""The `keras-lstm` command as `python -m keras_lstm`."""

from keras_lstm.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
