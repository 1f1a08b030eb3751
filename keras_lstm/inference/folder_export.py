"""A run packed for publishing: card, model, proof, configuration, report.

This module needs no TensorFlow: a bad target is refused before that is loaded.
"""

import json
import pathlib
import shutil
from typing import TYPE_CHECKING

from keras_lstm.core.errors import InputError, shown
from keras_lstm.core.files import (
    check_output,
    replacing_folder,
    sha256_of,
)
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.public_config import public_report, public_yaml
from keras_lstm.tasks.tokens import NUM_RESERVED

if TYPE_CHECKING:
    from keras_lstm.runs.run import Run

FOLDER_FORMAT = "folder"
DEFAULT_NAME = "published"
_VOCABULARY = "vocabulary.json"


def check_folder_export(output: pathlib.Path, overwrite: bool = False) -> None:
    """Refuse a bad target before any work.

    Args:
        output: the folder to write.
        overwrite: whether to replace a folder that `export_folder` wrote.

    Raises:
        InputError: if the path must not be written.
    """
    target = check_output(output, overwrite)
    if target is None:
        return
    folder, names = RunFolder(target), set()
    if target.is_dir():
        names = {each.name for each in target.iterdir()}
    packed = {path.name for path in _files(folder)}
    # What `report` and `verify` add.
    packed |= {path.name for path in (folder.page, *folder.checks())}
    # Guards against removing a run, or anything else.
    if not {folder.card.name, folder.model.name} <= names <= packed:
        raise InputError(
            "`output` must be a folder of this format, and hold nothing else, "
            f"to be overwritten. Received: output={output}, with "
            f"{shown(', '.join(sorted(names - packed)) or 'no run')}"
        )


def export_folder(run: "Run", output: pathlib.Path) -> list[str]:
    """Pack what others need of a run into a folder of its own.

    It is a run folder, which all commands on finished runs read, with the model
    card, `model.keras`, the proof if it holds, the configuration, the report,
    and the vocabulary if there is one. Of the files that were trained on, it
    has names without paths.

    Args:
        run: the run.
        output: the folder to write; see `check_folder_export`.

    Returns:
        The names of the files.

    Raises:
        InputError: if the report is about another model.
        OSError: if the folder cannot be written.
    """
    from keras_lstm.pages.model_card import make_card
    from keras_lstm.runs.checks import check_kept_proof

    if run.report.model_sha256 not in (None, run.model_sha256):
        raise InputError(
            "`run_dir` must hold the model.keras that its report is about. "
            f"Received: run_dir={run.run_dir}, with another one"
        )
    search, task = check_kept_proof(run), run.config.task
    target = output.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(target) as temporary:
        temporary.mkdir()
        packed = RunFolder(temporary)
        shutil.copyfile(run.folder.model, packed.model)
        if sha256_of(packed.model) != run.model_sha256:
            raise InputError(
                "`run_dir` must not be trained while it is read. Received: "
                f"run_dir={run.run_dir}"
            )
        texts = {
            packed.card: make_card(run, search),
            packed.config: public_yaml(run.config),
            packed.report: public_report(run.report).to_json(),
        }
        if search is not None and search.proof is not None:
            texts[packed.proof] = search.proof.to_json()
        if tokens := task.known_tokens.tokens:
            vocabulary = {
                "first_number": NUM_RESERVED,
                "tokens": tokens,
                "classes": task.class_names,
            }
            text = json.dumps(vocabulary, ensure_ascii=False, indent=2)
            texts[temporary / _VOCABULARY] = text
        for path, text in texts.items():
            # The name of a folder may hold what is no UTF-8.
            path.write_bytes(text.encode("utf-8", "backslashreplace"))
    return sorted(path.name for path in target.iterdir())


def _files(folder: RunFolder) -> list[pathlib.Path]:
    return [
        *(folder.card, folder.model, folder.config, folder.report),
        *(folder.proof, folder.path / _VOCABULARY),
    ]
