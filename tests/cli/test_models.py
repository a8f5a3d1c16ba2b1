"""`telltale models` lists networks and recipes, for people and for programs."""

import json
import re


def test_recipes_in_words(cli):
    answer = cli("models", "--recipes")
    assert answer.code == 0, answer
    assert "cats-dogs-cnn: Cats and dogs: three convolutions, from nothing\n" in answer.stdout
    blocks = answer.stdout.strip().split("\n\n")
    assert all(re.search(r"^  data    .+\n  expect  .*accuracy.+\n  source  .+", one, re.MULTILINE) for one in blocks)
    assert f"{len(blocks)} recipes match '*'. next: telltale train DATA --recipe NAME" in answer.stderr


def test_recipes_as_json(cli):
    answer = cli("models", "dog-", "--recipes", "--json")
    (recipe,) = json.loads(answer.stdout)
    assert recipe["name"] == "dog-breeds"
    assert recipe["recipe"]["fit"] == "probe"
    assert recipe["expect"]["low"] < recipe["expect"]["high"]
    assert answer.stderr == ""


def test_a_pattern_without_recipes(cli):
    answer = cli("models", "nothing-like-it", "--recipes")
    assert (answer.code, answer.stdout.strip()) == (0, "")
    assert "0 recipes match 'nothing-like-it'." in answer.stderr


def test_pretrained_is_for_networks(cli):
    answer = cli("models", "--recipes", "--pretrained")
    assert answer.code == 0
    assert "warning: --pretrained has no effect on recipes: it is for networks." in answer.stderr
