"""The whole way in Python, a value per step: python examples/pipeline.py [FOLDER_OF_CLASS_FOLDERS]"""

import sys
import tempfile
from pathlib import Path

import telltale as tt


def main(photos: str = "") -> None:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        index = tt.scan(photos or tt.draw_samples(folder / "shapes", count=200).folder)
        print(index)

        splits = tt.split(index, seed=0)
        print(splits)

        recipe = tt.Recipe(model="cnn", img_size=32, epochs=3)
        classifier, run = tt.fit(splits, recipe, run=tt.Run(folder))
        print(f"settings, split and classifier are in {run}")
        print(tt.evaluate(classifier, splits.test))

        bundle = tt.save(classifier, folder / "shapes.telltale")
        for row in list(tt.predict(bundle, [index.location]))[:3]:
            print(row.filename, row.label, row.prob, row.status)


if __name__ == "__main__":
    main(*sys.argv[1:])
