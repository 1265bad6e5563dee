"""The confusion matrix and the shares by class, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from spikedrive.errors import DataError
from spikedrive.reports.figures_accuracy import MOST_CLASSES, accuracy_by_class, confusion_matrix


def write(path, labels, answers, names, **more):
    arrays = {
        "labels": labels,
        "predictions": answers,
        "predictions_fp32": labels,
        "class_names": names,
    } | more
    np.savez(path, **{key: np.array(value) for key, value in arrays.items()})
    return path


def test_cells_count_answers_by_label(tmp_path):
    path = write(tmp_path / "predictions.npz", [0, 0, 0, 1, 2, 2], [0, 1, 1, 1, 2, 0], ["a", "b", "<c>"])
    figure = confusion_matrix(path)
    right, wrong, text = figure.plot.data
    assert np.diag(right.z).tolist() == [1, 1, 1]
    assert np.nan_to_num(wrong.z).tolist() == [[0, 2, 0], [0, 0, 0], [1, 0, 0]]
    assert sorted(text.text) == ["1", "1", "1", "1", "2"]
    assert list(right.x) == ["a", "b", "&lt;c&gt;"]
    assert "50.00 % of 6 test images" in figure.says
    assert "“a” taken for “b”, 2 times in 3" in figure.says


def test_shares_by_class_are_of_the_class(tmp_path):
    path = write(tmp_path / "predictions.npz", [0, 0, 0, 1, 2, 2], [0, 1, 1, 1, 2, 0], ["a", "b", "c"])
    figure = accuracy_by_class(path)
    fp32, program = figure.plot.data
    assert list(fp32.x) == [100, 100, 100]
    assert list(program.x) == pytest.approx([100 / 3, 100, 50])
    assert "“a” is recognised worst (33.3 %), “b” best (100.0 %)" in figure.says


def test_many_classes_show_the_worst(tmp_path):
    count = MOST_CLASSES + 10
    labels = np.repeat(np.arange(count), 2)
    answers = labels.copy()
    answers[-2] = 0
    path = write(tmp_path / "predictions.npz", labels, answers, [f"class{i}" for i in range(count)])
    figure = confusion_matrix(path)
    assert f"class{count - 1}" in figure.plot.data[0].y and len(figure.plot.data[0].y) == MOST_CLASSES
    assert figure.notes[-1] == f"Of {count} classes, the {MOST_CLASSES} recognised worst are shown."
    assert len(accuracy_by_class(path).plot.data[0].y) == MOST_CLASSES


def test_a_class_without_images_has_no_share(tmp_path):
    path = write(tmp_path / "predictions.npz", [0, 0], [0, 0], ["a", "b"])
    assert "No class is taken for another" in confusion_matrix(path).says
    assert "“a” is recognised worst (100.0 %)" in accuracy_by_class(path).says


def test_answers_that_do_not_fit_are_refused(tmp_path):
    for labels, answers, names in (([0, 2], [0, 1], ["a", "b"]), ([0], [0, 1], ["a", "b"]), ([], [], ["a"])):
        labels, answers = np.array(labels, dtype=int), np.array(answers, dtype=int)
        path = write(tmp_path / "predictions.npz", labels, answers, names)
        with pytest.raises(DataError, match=r"do not fit its .* Write it again"):
            confusion_matrix(path)
    np.savez(tmp_path / "predictions.npz", labels=[0])
    with pytest.raises(DataError, match="has no 'predictions'"):
        confusion_matrix(tmp_path / "predictions.npz")
