import keras

from keras_lstm.callbacks.stop_at_proof import StopAtProof
from keras_lstm.config import ModelConfig
from keras_lstm.models.build import build_model
from keras_lstm.proof.certificate import check_proof
from keras_lstm.tasks.increment import Increment


def driven(model, task, epochs=4, **options):
    searches = []
    callback = StopAtProof(
        task, on_search=lambda *each: searches.append(each), **options
    )
    callback.set_model(model)
    callback.on_train_begin()
    for epoch in range(epochs):
        callback.on_epoch_end(epoch)
        if model.stop_training:
            break
    return callback, searches


def test_it_stops_at_the_first_proof(copier):
    model, task = copier
    model.stop_training = False
    callback, searches = driven(model, task, start_from_epoch=2)
    assert model.stop_training
    assert callback.stopped_epoch == 2
    assert [epoch for epoch, _ in searches] == [2]
    assert check_proof(model, task, callback.search.proof) > 1


def test_it_goes_on_without():
    model = build_model(Increment(), ModelConfig(units=2))
    model.stop_training = False
    callback, searches = driven(model, Increment())
    assert not model.stop_training
    assert callback.stopped_epoch is None
    assert [epoch for epoch, _ in searches] == [0, 1, 2, 3]
    assert all(search.proof is None for _, search in searches)


def test_training_again_forgets(copier):
    callback, _ = driven(*copier)
    callback.on_train_begin()
    assert (callback.search, callback.stopped_epoch) == (None, None)
    assert isinstance(callback, keras.callbacks.Callback)
