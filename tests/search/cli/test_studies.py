"""Which study a command works on."""

from pathlib import Path

import pytest

from search.cli.studies import open_study
from search.errors import StudyError


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"../x", b"gone\n", b"a\nb", b"\0" * 9])
def test_a_damaged_name_of_the_last_study_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".last-study").write_bytes(content)
    with pytest.raises(StudyError, match=r"^study = ") as caught:
        open_study(tmp_path, None)
    assert "\n" not in str(caught.value)
