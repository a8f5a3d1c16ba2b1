"""An error for a user has three parts, keeps them through a process, and says how the program ends."""

import copy
import pickle

import pytest

import telltale.errors
from telltale.errors import DownloadError, ImageError, OutputError, TelltaleError, UserError

KINDS = sorted(
    (kind for kind in vars(telltale.errors).values() if isinstance(kind, type) and issubclass(kind, UserError)),
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_user_error_has_three_parts_and_survives_a_pickle(kind):
    error = kind("No pictures.", expected="One folder per class.", do="Check the path.")
    assert str(error) == "No pictures. One folder per class. Check the path."
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is kind
        assert (other.given, other.expected, other.do) == ("No pictures.", "One folder per class.", "Check the path.")
        assert str(other) == str(error)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_exit_code_says_whether_the_input_was_wrong(kind):
    assert kind.exit_code == (1 if kind in (OutputError, DownloadError) else 2)
    assert issubclass(kind, TelltaleError)


def test_the_parts_cannot_be_forgotten():
    with pytest.raises(TypeError, match="expected"):
        UserError("No pictures.")


def test_an_image_error_has_a_reason_and_survives_a_pickle():
    error = pickle.loads(pickle.dumps(ImageError("truncated", "The file ends too early.")))
    assert (error.reason, error.detail, str(error)) == (
        "truncated",
        "The file ends too early.",
        "The file ends too early.",
    )
    assert not isinstance(error, UserError)
