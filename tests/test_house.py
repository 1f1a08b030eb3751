"""The package obeys the rules of the house.

That each check finds what it looks for: tests/test_house_imports.py and
tests/test_house_contents.py.
"""

import pathlib

import house

PACKAGE = pathlib.Path(__file__).parents[1] / "keras_lstm"


def assert_nothing_is_found(check):
    """Asserts that the package obeys, and shows all of what it breaks."""
    found = check(PACKAGE)
    assert found == [], "\n".join(found)


def test_a_room_imports_only_rooms_above_it():
    assert_nothing_is_found(house.find_imports_against_the_table)


def test_no_imports_run_in_a_circle():
    assert_nothing_is_found(house.find_circle)


def test_the_checker_of_proofs_imports_nothing_that_finds_them():
    assert_nothing_is_found(house.find_untrusted_imports)


def test_what_should_load_fast_imports_no_tensorflow():
    assert_nothing_is_found(house.find_heavy_imports)


def test_no_module_needs_unix():
    assert_nothing_is_found(house.find_unix_imports)


def test_only_tasks_ask_which_kind_of_task_one_is():
    assert_nothing_is_found(house.find_task_type_checks)


def test_long_functions_and_modules_give_a_reason():
    assert_nothing_is_found(house.find_unexplained_length)


def test_one_module_names_the_files_of_a_run_folder():
    assert_nothing_is_found(house.find_stray_file_names)


def test_public_names_are_listed_once_and_are_there():
    assert_nothing_is_found(house.find_misnamed)
