"""`python -m keras_lstm` is the `keras-lstm` command."""

from keras_lstm.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
