"""Small programs in the manner of public examples, each in one file.

Each defines `build()`, which returns a compiled model, and `arguments()`, which
returns the arguments of `fit`. `EXAMPLES()`, if there is one, returns inputs to
compare an exported model on; `SCALAR_LOSSES` says what scalar losses are;
`TOLERANCE` is larger where numbers have fewer digits.
scripts/benchmarks/programs.py runs them.
"""
