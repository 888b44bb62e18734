"""Messages in Korean: when they are, and that the catalogue is sound."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from foretext.cli.korean import CATALOGUE, language, translated, unknown
from tests.cli.conftest import Cli


def test_the_language_is_the_users() -> None:
    """FORETEXT_LANG before the locale, whose variables have their usual order."""
    assert language({}) == language({"LANG": "C"}) == language({"LANG": "en_US.UTF-8"}) == "en"
    assert language({"LANG": "ko_KR.UTF-8"}) == language({"LANG": "en_US", "LC_ALL": "ko"}) == "ko"
    assert language({"LANG": "ko_KR.UTF-8", "FORETEXT_LANG": "en"}) == "en"
    assert language({"FORETEXT_LANG": "ko"}) == "ko"


def test_errors_and_hints_are_korean(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, with the values and the exit code they have in English."""
    monkeypatch.setenv("FORETEXT_LANG", "ko")
    said = cli("export", tmp_path / "none", tmp_path / "out")
    wanted = f"오류: {tmp_path / 'none'}: 폴더가 아닙니다; 모델이 든 폴더를 주세요\n"
    assert (said.code, said.out, said.err) == (1, "", wanted)
    said = cli("pretrian")
    assert said.code == 2
    assert said.err == (
        "오류: 'pretrian' 명령이 없습니다; 'pretrain'을(를) 찾으셨나요? "
        "`foretext --help`에 명령 목록이 있습니다\n"
    )
    assert cli("tasks").err.startswith("다음: foretext finetune RUN TASK ")


def test_both_sides_have_the_same_places_and_the_right_one_is_korean() -> None:
    for english, korean in CATALOGUE.items():
        places = [set(re.findall(r"\{(\w+)\}", side)) for side in (english, korean)]
        assert places[0] == places[1], english
        assert re.search("[가-힣]", korean), english
        assert ";" not in english, "a line is one clause"
        assert translated(english) != english, "an earlier line hides it or it is no pattern"


def test_what_is_not_in_the_catalogue_stays_english() -> None:
    """Clause by clause, so that a remedy is Korean where the fault is not known yet."""
    message = "a fault of tomorrow; give a new folder"
    assert translated(message) == "a fault of tomorrow; 새 폴더를 주세요"
    assert unknown(message) == ["a fault of tomorrow"]
