"""`telltale compare DATA`: what a search says in a terminal, and which command comes next."""

import pytest


@pytest.mark.usefixtures("pictures")
def test_candidates_are_ranked_in_80_columns(cli, tmp_path):
    flags = ("--epochs", 1, "--set", "img_size=32", "--set", "model=cnn", "--vary", "lr=0.003,1e-9")
    answer = cli("compare", "pictures", *flags)
    assert answer.code == 0, answer
    assert "2 candidates: lr=0.003, lr=1e-9." in answer.stderr
    assert "The test part is scored once, for the winner: " in answer.stderr
    assert "accuracy, 95 % interval log loss    ECE  images/s     MB" in answer.stdout
    assert max(map(len, answer.stdout.splitlines())) <= 80
    winner = next(line.split()[1] for line in answer.stdout.splitlines() if line.startswith(" 1 "))
    assert f"next: telltale predict comparisons/pictures/{winner} PHOTO.jpg" in answer.stderr
    assert (tmp_path / "comparisons" / "pictures" / winner / "report.html").is_file()
    again = cli("compare", "pictures", *flags, "--output", "comparisons/pictures", "--by", "speed")
    assert again.code == 2
    assert "Candidates are to be ranked by 'speed'" in again.stderr
