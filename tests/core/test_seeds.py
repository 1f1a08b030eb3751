from keras_lstm.core.seeds import derive_seed


def test_seeds_differ_by_run_and_by_purpose():
    seeds = {
        derive_seed(seed, purpose)
        for seed in range(100)
        for purpose in ("lstm_1", "lstm_2", "train")
    }
    assert len(seeds) == 300
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_seed_is_the_same_on_every_machine():
    assert derive_seed(0, "train") == 775342745
