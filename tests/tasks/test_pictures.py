"""Rows with a picture, a sound or a film: refused, since the policy would never see it."""

import pytest

from tests.helpers import in_one_test
from workbench.tasks import TaskError, load_task

PLAIN = {"question": "How many?", "answer": "3"}


@in_one_test(
    {"row": PLAIN | more}
    for more in (
        {"question": "<image>How many?"},
        {"question": "How many in <image_1>?"},
        {"question": "<|image_pad|> How many?"},
        {"question": "How many? ![cubes](cubes.png)"},
        {"question": "How many? \\includegraphics[width=3cm]{cubes}"},
        {"question": 'How many? <img width="3" src="cubes.png">'},
        {"question": "<video>How many?"},
        {"image": {"bytes": "x", "path": None}},
        {"images": ["cubes.png"]},
        {"image_path": "cubes.png"},
        {"decoded_image": "…"},
        {"image_2": "cubes.png"},
        {"audio": {"array": [0.1]}},
        {"question": [{"role": "user", "content": [{"type": "image"}]}]},
        {"question": [{"role": "user", "content": "<image>How many?"}]},
    )
)  # fmt: skip
def test_a_row_with_a_picture_is_refused_with_its_place(row):
    with pytest.raises(TaskError, match="row 1: .*reads text alone"):
        load_task([PLAIN | {"question": "What?"}, row])


@in_one_test(
    {"row": PLAIN | more}
    for more in (
        {"image": None},
        {"images": []},
        {"image": ""},
        {"imagery": "vivid"},
        {"question": "What does the tag <img> do in HTML?"},
        {"question": "Is 3! > 5? [see](page)"},
    )
)
def test_a_row_without_one_is_not(row):
    assert load_task([PLAIN | {"question": "What?"}, row], held_out=1)


def test_a_data_set_with_a_column_of_pictures_is_refused_before_any_is_decoded():
    import datasets

    features = datasets.Features(
        {"question": datasets.Value("string"), "answer": datasets.Value("string"),
         "image": datasets.Image()}
    )  # fmt: skip
    rows = {"question": ["a", "b"], "answer": ["1", "2"], "image": [None, None]}
    data = datasets.Dataset.from_dict(rows, features=features)
    with pytest.raises(TaskError, match="column 'image'.*remove_columns"):
        load_task(data)
