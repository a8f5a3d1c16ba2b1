"""Epochs of training in Keras, the peer of `benchmarks/epoch_speed.py`: prints the seconds of each epoch as JSON.

Runs in a virtual environment of its own (`pip install tensorflow keras`), on a folder `train/{cats,dogs}/*.jpg`:

    python keras_epochs.py FOLDER {mobilenetv2,fixed,third,cnn} EPOCHS

The pictures are read as the seeds read them: `image_dataset_from_directory`, then `prefetch`. `mobilenetv2` trains all
layers of MobileNetV2 1.0 at 160 pixels, `fixed` those but not the statistics of its norms, `third` the last third of
them, `cnn` the seeds' first network.
"""

import json
import sys
import time

import keras
from keras import layers

SIZE = 160


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


def build(kind):
    inputs = keras.Input((SIZE, SIZE, 3))
    if kind == "cnn":
        x = inputs
        for _ in range(3):
            x = layers.MaxPooling2D(2)(layers.Conv2D(32, 3, activation="relu")(x))
        x = layers.Dropout(0.2)(layers.Dense(128, activation="relu")(layers.Flatten()(x)))
        return keras.Model(inputs, layers.Dense(1)(x))
    backbone = keras.applications.MobileNetV2((SIZE, SIZE, 3), include_top=False, weights=None, pooling="avg")
    if kind == "third":
        owners = [layer for layer in backbone.layers if layer.weights]
        for layer in owners[: round(len(owners) * 2 / 3)]:
            layer.trainable = False
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    # As Keras' guide to fine-tuning has it: norms keep their statistics where the backbone came with some.
    x = backbone(x) if kind == "mobilenetv2" else backbone(x, training=False)
    return keras.Model(inputs, layers.Dense(1)(layers.Dropout(0.2)(x)))


def main(folder, kind, epochs):
    keras.utils.set_random_seed(0)
    train = keras.utils.image_dataset_from_directory(
        f"{folder}/train", seed=0, image_size=(SIZE, SIZE), batch_size=32, label_mode="binary", verbose=False
    ).prefetch(-1)
    model = build(kind)
    model.compile(optimizer="adam", loss=keras.losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy"])
    clock = Clock()
    model.fit(train, epochs=epochs, verbose=0, callbacks=[clock])
    print(json.dumps({"seconds": clock.seconds, "parameters": model.count_params(), "keras": keras.__version__}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
