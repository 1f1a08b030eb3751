"""A run packed for publishing: card, model, proof, configuration, report.

This module needs no TensorFlow: a bad target is refused before that is loaded.
"""

import pathlib
import shutil

from keras_lstm.core.errors import InputError
from keras_lstm.core.files import replacing_folder, sha256_of, write_text
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.saved_run import read_run

FOLDER_FORMAT = "folder"
DEFAULT_NAME = "published"


def check_folder_export(output: pathlib.Path, overwrite: bool = False) -> None:
    """Refuse a bad target before any work.

    Args:
        output: the folder to write.
        overwrite: whether to replace a folder that `export_folder` wrote.

    Raises:
        InputError: if the path must not be written.
    """
    target = output.resolve()
    if not target.exists():
        return
    if not overwrite:
        raise InputError(
            "`output` must not exist unless `overwrite` is set. Received: "
            f"output={output}"
        )
    folder, names = RunFolder(target), set()
    if target.is_dir():
        names = {each.name for each in target.iterdir()}
    packed = {path.name for path in _files(folder)}
    # Guards against removing a run, or anything else.
    if not {folder.card.name, folder.model.name} <= names <= packed:
        raise InputError(
            "`output` must be a folder of this format to be overwritten. "
            f"Received: output={output}"
        )


def export_folder(
    run_dir: pathlib.Path,
    card: str,
    output: pathlib.Path,
    with_proof: bool = False,
) -> list[str]:
    """Pack what others need of a run into a folder of its own.

    The folder holds the model card, `model.keras`, the configuration, the
    report and the proof. It can be read like a run folder.

    Args:
        run_dir: the run folder.
        card: the model card, as Markdown.
        output: the folder to write; see `check_folder_export`.
        with_proof: whether `proof.json` holds for the model.

    Returns:
        The names of the files.

    Raises:
        InputError: if `run_dir` holds no finished run, or another model than
            its report is about.
        OSError: if the folder cannot be written.
    """
    run = read_run(run_dir)
    target = output.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(target) as temporary:
        temporary.mkdir()
        packed = RunFolder(temporary)
        write_text(packed.card, card)
        for source, path in zip(
            _files(run.folder)[1:], _files(packed)[1:], strict=True
        ):
            if path != packed.proof or with_proof:
                shutil.copyfile(source, path)
        digest = sha256_of(packed.model)
        if digest != (run.report.model_sha256 or digest):
            raise InputError(
                "`run_dir` must hold the model.keras that its report is "
                f"about. Received: run_dir={run_dir}, with another one"
            )
    return sorted(path.name for path in target.iterdir())


def _files(folder: RunFolder) -> list[pathlib.Path]:
    return [
        *(folder.card, folder.model, folder.config, folder.report),
        folder.proof,
    ]
