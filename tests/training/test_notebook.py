"""A run in a notebook: what is there is shown, what is not yet there is said."""

from telltale.training.recipe import Recipe
from telltale.training.run import Run, open_run


def test_a_finished_run_shows_its_settings_results_and_history(trained):
    page = open_run(trained)._repr_html_()
    for words in ("Run pets", "test_efficientnet, probe, seed 0", "accuracy", "test, ", "validation, ", "val_loss"):
        assert words in page
    assert "<script" not in page and "http" not in page


def test_a_run_that_has_just_begun_says_so(tmp_path):
    page = Run(tmp_path / "<b>new")._repr_html_()
    assert "It has no settings yet." in page and "It is not evaluated yet." in page
    assert "<b>" not in page


def test_long_histories_are_cut_and_counted(tmp_path):
    Recipe().save(tmp_path / "recipe.toml")
    run = Run(tmp_path)
    run.rewrite(
        [{"epoch": n, "train_loss": 1 / n, "val_loss": 2 / n, "val_accuracy": 0.5, "lr": 0.001} for n in range(1, 31)]
    )
    page = run._repr_html_()
    assert "18 epochs before." in page and ">30<" in page and ">18<" not in page
