"""Draw the states of a proved run inside their boxes, or its machine and code.

Command: python scripts/benchmarks/draw_proof.py RUN_DIR docs/proof.png
    [--machine]
"""

import argparse
import pathlib

from keras_lstm.core.files import replacing
from keras_lstm.monitoring.machine_picture import plot_machine
from keras_lstm.monitoring.plots import proof_plot
from keras_lstm.monitoring.state_boxes import StateBoxes
from keras_lstm.proof.certificate import Proof, check_proof
from keras_lstm.runs.run import load_run


def main() -> None:
    """Check the proof again, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=pathlib.Path)
    parser.add_argument("picture", type=pathlib.Path)
    parser.add_argument("--machine", action="store_true")
    arguments = parser.parse_args()
    run = load_run(arguments.run_dir)
    text = (run.run_dir / "proof.json").read_text("utf-8")
    proof = Proof.from_json(text)
    check_proof(run.model, run.machine, proof)
    if arguments.machine:
        boxes = StateBoxes.of(proof, run.config.model.units)
        figure = plot_machine(run.machine, boxes)
    else:
        figure = proof_plot(run.model, run.machine, proof)()
    with replacing(arguments.picture) as path:
        figure.savefig(path, format="png", dpi=110)


if __name__ == "__main__":
    main()
