import json

import pandas as pd
import pytest

from search.errors import StorageError
from search.report.table_files import all_frames, write_tables, write_trials_csv

READERS = {"csv": pd.read_csv, "parquet": pd.read_parquet, "json": pd.read_json}


@pytest.mark.parametrize("format", list(READERS))
def test_every_table_reads_back(realistic, tmp_path, format):
    frames = all_frames(realistic)
    paths = write_tables(realistic, tmp_path / "new", format)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(f"{name}.{format}" for name in frames)
    for path in paths:
        read, written = READERS[format](path), frames[path.stem]
        assert len(read) == len(written), path.stem
        assert list(read.columns) == list(written.columns), path.stem
    trials = READERS[format](tmp_path / "new" / f"trials.{format}")
    assert trials["value"].tolist() == pytest.approx(frames["trials"]["value"].tolist(), nan_ok=True)
    assert trials["params"].tolist() == frames["trials"]["params"].tolist()


@pytest.mark.parametrize("format", list(READERS))
def test_an_empty_study_has_its_tables_too(study, tmp_path, format):
    paths = write_tables(study(), tmp_path, format)
    assert all(path.is_file() for path in paths)
    assert READERS[format](tmp_path / f"trials.{format}").empty


def test_every_measured_epoch_is_a_row(study, trial, run):
    view = study(trials=(trial(0, num_epochs=3), trial(1, 0.2, "pruned", num_epochs=1)), runs=(run("0000", 1, 0.9),))
    frames = all_frames(view)
    assert frames["epochs"]["number"].tolist() == [0, 0, 0, 1]
    assert frames["epochs"]["epoch"].tolist() == [1, 2, 3, 1]
    assert frames["run_epochs"]["seed"].tolist() == [1] * 20


def test_a_folder_that_cannot_be_written_is_a_storage_error(study, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_tables(study(), tmp_path / "file", "csv")


def test_csv_writes_integers_beside_missing_choices_without_a_point(study, trial, tmp_path):
    view = study(trials=(trial(0, choices={"depth_1": 3, "depth_4": 5}), trial(1, choices={"depth_1": 2})))
    path = tmp_path / "trials.csv"
    write_trials_csv(view, path)
    read = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert read["depth_1"].tolist() == ["3", "2"]
    assert read["depth_4"].tolist() == ["5", ""]
    assert json.loads(read["architecture"].iloc[0])["num_classes"] == 10


def test_csv_that_cannot_be_written_is_a_storage_error(study, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_trials_csv(study(), tmp_path / "file" / "trials.csv")
