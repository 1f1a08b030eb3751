import dataclasses

import numpy as np

from keras_lstm.tasks.increment import Add, Increment
from keras_lstm.verification.reporting import (
    check_report,
    check_text,
    failures_csv,
    failures_markdown,
)
from keras_lstm.verification.verify import (
    Coverage,
    Failure,
    HoldCount,
    Method,
    Verification,
)

TASK = Increment(num_bits=4)


def failure_of(number, prediction, margin=-1.5):
    symbols = TASK.symbols_of(number)
    return Failure(
        symbols,
        TASK.targets(symbols),
        TASK.symbols_of(prediction),
        int(TASK.hold_length(symbols)),
        margin,
    )


def check_of(failures, num_wrong, **values):
    return Verification(
        coverage=Coverage.ALL,
        kinds="",
        method=values.get("method", Method.PREFIX_TREE),
        num_predicted=values.get("num_predicted", 0),
        num_examples=15,
        num_wrong=num_wrong,
        num_tokens=60,
        num_wrong_tokens=num_wrong,
        min_margin=-1.5,
        min_margin_input=TASK.symbols_of(7),
        by_hold_length=[HoldCount(0, 0, 8), HoldCount(3, num_wrong, 2)],
        failures=failures,
        test_num_examples=values.get("test_num_examples"),
        test_num_wrong=values.get("test_num_wrong"),
        seconds=1.0,
    )


def test_wrong_answers_come_first_and_are_marked():
    failures = [failure_of(7, 0b1010), failure_of(0, 0b0000, -0.5)]
    text = check_text(TASK, check_of(failures, 2), "failures.csv")
    assert text.splitlines() == [
        "carry length      wrong         of",
        "           0          0          8",
        "           3          2          2",
        "",
        "input     target    prediction  wrong bits",
        "0111 (7)  1000 (8)  1010 (10)   ..^.",
        "0000 (0)  0001 (1)  0000 (0)    ...^",
        "",
        "2 of 15 answers are wrong (all inputs).",
        "Smallest margin: -1.5, at input 0111.",
    ]


def test_an_answer_that_is_none_is_shown():
    failure = dataclasses.replace(
        failure_of(7, 0b1010), prediction=np.array([-1, 0, -1, 1])
    )
    lines = check_text(TASK, check_of([failure], 1), "").splitlines()
    assert lines[5] == "0111 (7)  1000 (8)  1?0?        .^.^"
    assert "0111,1000,1?0?,.^.^," in failures_csv(TASK, [failure])
    assert "| 1**?**0**?** |" in failures_markdown(TASK, [failure])


def test_pairs_of_bits_are_no_number():
    task = Add(num_bits=4)
    symbols = np.array([1, 0, 1, 0])
    target = task.targets(symbols)
    failure = Failure(symbols, target, 1 - target, 0, -1.0)
    lines = check_text(task, check_of([failure], 1), "").splitlines()
    assert "0101   0101    1010        ^^^^" in lines


def test_twenty_rows_are_shown_and_the_rest_is_counted():
    failures = [failure_of(n % 15, 0) for n in range(25)]
    text = check_text(TASK, check_of(failures, 30), "failures.csv")
    assert sum(".^" in line or "^" in line for line in text.splitlines()) == 20
    assert "... and 10 more; failures.csv lists the worst" in text


def test_many_lengths_are_cut_to_the_worst():
    check = check_of([failure_of(7, 0)], 60)
    groups = [HoldCount(k, int(k >= 40), 10) for k in range(100)]
    check = dataclasses.replace(check, by_hold_length=groups)
    lines = check_text(TASK, check, "failures-99.csv").splitlines()
    assert lines[1].split() == ["40", "1", "10"]
    assert lines[21] == "... and 40 wrong of 80 other lengths"
    assert "... and 59 more; failures-99.csv lists the worst" in lines


def test_nothing_wrong_is_one_plain_sentence():
    text = check_text(
        TASK,
        check_of([], 0, test_num_examples=5, test_num_wrong=0),
        "failures.csv",
    )
    assert text.splitlines()[:2] == [
        "Nothing is wrong: 15 of 15 answers are right (all inputs).",
        "Held out from training: 0 of 5 wrong.",
    ]


def test_it_says_when_the_walk_was_not_possible():
    text = check_text(TASK, check_of([], 0, method=Method.PREDICT), "")
    assert "Asked with `predict`" in text
    assert "predict" not in check_text(TASK, check_of([], 0), "")


def test_long_numbers_are_shortened():
    task = Increment(num_bits=200)
    symbols = np.zeros(200, np.int32)
    failure = Failure(symbols, task.targets(symbols), symbols, 0, -1.0)
    check = check_of([failure], 1)
    text = check_text(task, check, "")
    assert f"{'0' * 24}...{'0' * 24} (200 symbols)" in text


def test_csv_lists_each_failure():
    text = failures_csv(TASK, [failure_of(7, 0b1010)])
    assert text == (
        "input,target,prediction,wrong,carry_length,margin\n"
        "0111,1000,1010,..^.,3,-1.5\n"
    )


def test_one_wrong_answer_of_very_many_is_no_accuracy_of_1():
    check = dataclasses.replace(
        check_of([], 1), num_examples=2**60, num_tokens=60 * 2**60
    )
    report = check_report(TASK, check)
    assert report["num_wrong"] == 1
    assert report["sequence_accuracy"] < 1.0
    assert report["token_accuracy"] < 1.0
