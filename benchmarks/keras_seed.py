"""The seeds' own recipe in Keras: frozen MobileNetV2, flips and rotations, Dense 128, 20 epochs.

The peer that `benchmarks/train_cats_and_dogs.py` measures Telltale against. Runs in a virtual environment of
its own (`pip install tensorflow keras safetensors`), on a folder `{train,validation}/{cats,dogs}/*.jpg`:

    python keras_seed.py FOLDER WEIGHTS.safetensors OUTPUT.keras

The weights are the ones that Telltale uses (MobileNetV2 0.35 in timm's names); here they are laid into Keras'
own network, so both run the same backbone. Prints one JSON line.
"""

import json
import sys
import time

START = time.perf_counter()

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

SIZE = 224


def timm_names():
    """timm's layer names in the order in which Keras builds MobileNetV2: (layer, batch norm)."""
    yield "conv_stem", "bn1"
    yield "blocks.0.0.conv_dw", "blocks.0.0.bn1"
    yield "blocks.0.0.conv_pw", "blocks.0.0.bn2"
    for stage, depth in enumerate((2, 3, 4, 3, 3, 1), start=1):
        for block in range(depth):
            name = f"blocks.{stage}.{block}"
            yield f"{name}.conv_pw", f"{name}.bn1"
            yield f"{name}.conv_dw", f"{name}.bn2"
            yield f"{name}.conv_pwl", f"{name}.bn3"
    yield "conv_head", "bn2"


def load_weights(network, path):
    """Lay timm's weights into `network`, layer by layer; shapes are checked by Keras."""
    weights = load_file(path)
    convolutions = [layer for layer in network.layers if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D))]
    norms = [layer for layer in network.layers if isinstance(layer, layers.BatchNormalization)]
    names = list(timm_names())
    if not len(convolutions) == len(norms) == len(names):
        raise SystemExit("Keras' MobileNetV2 has another number of layers than expected.")
    for convolution, norm, (conv_name, norm_name) in zip(convolutions, norms, names, strict=True):
        kernel = weights[f"{conv_name}.weight"]
        depthwise = isinstance(convolution, layers.DepthwiseConv2D)
        convolution.set_weights([kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(2, 3, 1, 0)])
        norm.set_weights([weights[f"{norm_name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")])


def main(folder, weights, output, epochs=20):
    keras.utils.set_random_seed(0)
    read = {"image_size": (SIZE, SIZE), "batch_size": 32, "label_mode": "binary"}
    train = keras.utils.image_dataset_from_directory(f"{folder}/train", seed=0, **read).prefetch(-1)
    validation = keras.utils.image_dataset_from_directory(f"{folder}/validation", shuffle=False, **read).prefetch(-1)

    backbone = keras.applications.MobileNetV2((SIZE, SIZE, 3), alpha=0.35, include_top=False, weights=None)
    load_weights(backbone, weights)
    backbone.trainable = False
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.RandomFlip("horizontal")(inputs)
    x = layers.RandomRotation(0.2)(x)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = backbone(x, training=False)
    x = layers.GlobalMaxPooling2D()(x)
    x = layers.Dropout(0.2)(x)
    x = layers.Dense(128, activation="relu")(x)
    x = layers.Dropout(0.2)(x)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    history = model.fit(train, epochs=epochs, validation_data=validation, verbose=0).history
    model.save(output)
    result = {
        "validation_accuracy": round(history["val_accuracy"][-1], 4),
        "best_validation_accuracy": round(float(np.max(history["val_accuracy"])), 4),
        "epochs": epochs,
        "seconds_inside": round(time.perf_counter() - START, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:4], *(int(value) for value in sys.argv[4:5]))
