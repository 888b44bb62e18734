"""Messages in Korean: one catalogue, from the English as the code says it to the Korean.

Nothing else in the code knows of it: where a message is printed, its English is looked up here. A
line of the catalogue is a clause, that is a message or a part of one between semicolons; `{name}`
stands for whatever was put in and comes again on the right. What is not here is shown in English.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache

# Clauses; the first that fits wins, so special ones stand before general ones.
CATALOGUE: dict[str, str] = {
    # settings
    "there is no setting {name}: {inner} is a value": (
        "{name} 설정이 없습니다. {inner}에는 값이 들어갑니다"
    ),
    "there is no setting {name}": "{name} 설정이 없습니다",
    "--set {given} must be path=value, e.g. {example}": (
        "--set {given}: path=value 꼴이어야 합니다. 예: {example}"
    ),
    "{name} must be path=value": "{name}: path=value 꼴이어야 합니다",
    "{name} must be above {least} and finite": "{name}: {least}보다 큰 유한한 값이어야 합니다",
    "{name} must be from {least} to below {most}": "{name}: {least} 이상 {most} 미만이어야 합니다",
    "{name} must lie between {least} and {most}": "{name}: {least}에서 {most} 사이여야 합니다",
    "{name} must be at least {least}": "{name}: {least} 이상이어야 합니다",
    "{name} must be above {least}": "{name}: {least}보다 커야 합니다",
    "{name} must not be negative": "{name}: 음수일 수 없습니다",
    "{name} must be of type {kind}": "{name}: {kind} 형이어야 합니다",
    "{name} must be one of {known}": "{name}: 다음 중 하나여야 합니다: {known}",
    "{name} exceeds the model's {count} positions": "{name}: 모델의 위치 수 {count}보다 큽니다",
    "{name} cannot be saved as {layout}": "{name}: {layout} 형식으로 저장할 수 없습니다",
    "that layout has {value} alone": "그 형식에는 {value}만 있습니다",
    "{name} is too few: {what} has samples of {count} segments": (
        "{name}: 너무 적습니다. {what}의 표본은 구간이 {count}개입니다"
    ),
    "objective.name={name} does not train a {family} model": (
        "objective.name={name}: {family} 모델을 학습하지 않습니다"
    ),
    "on_error={name} is not a policy": "on_error={name}: 그런 처리 방식이 없습니다",
    "vocab_size={size} must exceed {special} special tokens + {symbols} symbols of the alphabet": (
        "vocab_size={size}: 특수 토큰 {special}개와 문자 {symbols}개보다 커야 합니다"
    ),
    "ask for at least {size}, or use kind byte-bpe, whose alphabet is {bytes}": (
        "{size} 이상을 주거나, 문자가 {bytes}개인 byte-bpe를 쓰세요"
    ),
    # names
    "there is no preset {name}": "{name} 프리셋이 없습니다",
    "there is no objective {name}": "{name} 목적이 없습니다",
    "there is no task {name}": "{name} 과제가 없습니다",
    "there is no model family {name}": "{name} 모델 계열이 없습니다",
    "there is no verb {name}": "{name} 명령이 없습니다",
    "there is no option {name}": "{name} 옵션이 없습니다",
    "did you mean {name}? there are {known}": "{name}을(를) 찾으셨나요? 있는 것: {known}",
    "did you mean {name}? `foretext {verb}` lists them": (
        "{name}을(를) 찾으셨나요? `foretext {verb}`에 목록이 있습니다"
    ),
    "did you mean {name}? `foretext --help` lists the verbs": (
        "{name}을(를) 찾으셨나요? `foretext --help`에 명령 목록이 있습니다"
    ),
    "did you mean {name}?": "{name}을(를) 찾으셨나요?",
    "did you mean {name}": "{name}을(를) 찾으셨나요?",
    "`foretext --help` lists the verbs": "`foretext --help`에 명령 목록이 있습니다",
    "`foretext {verb} --help` shows the usage": "사용법은 `foretext {verb} --help`에 있습니다",
    # usage
    "{one} and {other} exclude each other": "{one}, {other}: 함께 쓸 수 없습니다",
    "Got unexpected extra argument(s) ({given})": "남는 인자가 있습니다: {given}",
    "Got unexpected extra argument ({given})": "남는 인자가 있습니다: {given}",
    "Invalid value for {name}: {why}": "{name}: 값이 잘못되었습니다 ({why})",
    "Missing argument {name}": "{name} 인자가 빠졌습니다",
    "Missing option {name}": "{name} 옵션이 빠졌습니다",
    "give either a file or --text": "파일과 --text 중 하나만 주세요",
    # files and folders
    "{path} is not a run: it has no {file}": "{path}: 실행 폴더가 아닙니다({file} 없음)",
    "{path} is neither a preset nor the folder of a run": "{path}: 프리셋도 실행 폴더도 아닙니다",
    "{path} holds no config.json": "{path}: config.json이 없습니다",
    "it is not a model folder": "모델 폴더가 아닙니다",
    "{path} holds no tokenizer ({files})": "{path}: 토크나이저가 없습니다({files})",
    "name a folder that does, or train one: {command}": (
        "토크나이저가 있는 폴더를 주거나 새로 학습하세요: {command}"
    ),
    "{path} holds a run of pre-training": "{path}: 사전 학습 실행이 들어 있습니다",
    "{path} holds a run": "{path}: 이미 실행이 들어 있습니다",
    "{path} holds several runs": "{path}: 실행이 여럿 들어 있습니다",
    "the best is {path}": "가장 좋은 것은 {path}입니다",
    "{path} holds other files, such as {name}": "{path}: 다른 파일이 있습니다(예: {name})",
    "{path} is a file or not empty": "{path}: 파일이거나 비어 있지 않습니다",
    "{path} is not a folder": "{path}: 폴더가 아닙니다",
    "{path} is a folder": "{path}: 폴더입니다",
    "{path} is a file": "{path}: 파일입니다",
    "{path} is the input itself": "{path}: 입력 파일 자신입니다",
    "{path} is a run of foretext already": "{path}: 이미 foretext의 실행 폴더입니다",
    "{path} is a run in this folder and a preset too": (
        "{path}: 이 폴더의 실행이자 프리셋 이름입니다"
    ),
    "{path} is a run, which stays where it is": "{path}: 실행은 있던 자리에서 이어집니다",
    "{path} is a {name}, which cannot continue a text": (
        "{path}: {name} 모델은 글을 이어 쓸 수 없습니다"
    ),
    "{path} is a {name}, which cannot fill masks": "{path}: {name} 모델은 빈칸을 채울 수 없습니다",
    "{path} was made by `foretext finetune`, and only that command goes on with it": (
        "{path}: `foretext finetune`으로 만들었으므로 그 명령으로만 이어집니다"
    ),
    "{path} was not fine-tuned: its {file} names no task": (
        "{path}: 미세 조정되지 않았습니다({file}에 과제가 없음)"
    ),
    "{path} was begun with {old}, not with {new}": (
        "{path}: {new}이(가) 아니라 {old}(으)로 시작한 실행입니다"
    ),
    "{path} was begun with another recipe: {changes}": (
        "{path}: 다른 설정으로 시작한 실행입니다({changes})"
    ),
    "another process works in {path}": "{path}: 다른 프로세스가 쓰고 있습니다",
    "{path} does not exist": "{path}: 없습니다",
    "{path} exists": "{path}: 이미 있습니다",
    "{path} cannot be read: {why}": "{path}: 읽을 수 없습니다({why})",
    "{path}: Permission denied": "{path}: 권한이 없습니다(Permission denied)",
    "{path}: there is no such file or folder": "{path}: 그런 파일이나 폴더가 없습니다",
    "{path}: the corpus is empty": "{path}: 말뭉치가 비어 있습니다",
    "{path}: the file is empty": "{path}: 파일이 비어 있습니다",
    "{path}: invalid UTF-8 at byte {number} ({value})": (
        "{path}: {number}번째 바이트가 UTF-8이 아닙니다({value})"
    ),
    "{path}: there is no row (the file holds none)": "{path}: 행이 하나도 없습니다",
    "{path}: there is no column {name}": "{path}: {name} 열이 없습니다",
    "the file has {names}": "파일에 있는 열: {names}",
    "{path}: the label {name} is not among {known}": (
        "{path}: {name} 레이블은 {known} 가운데 없습니다"
    ),
    "a file could not be written ({why})": "파일을 쓸 수 없습니다({why})",
    # models and texts
    "{what} needs special tokens {names}, and this tokenizer lacks {lacking}": (
        "{what}: 특수 토큰 {names}이(가) 필요한데 이 토크나이저에는 {lacking}이(가) 없습니다"
    ),
    "target {name} is not one token of this tokenizer, but {tokens}": (
        "{name}: 이 토크나이저의 토큰 하나가 아니라 {tokens}입니다"
    ),
    "text {number} has no {mask}": "{number}번째 텍스트에 {mask}이(가) 없습니다",
    "there is no text: give --text, or --shards made by {command}": (
        "텍스트가 없습니다. --text나 {command}(으)로 만든 --shards를 주세요"
    ),
    "--fresh needs text: give --text or --shards": (
        "--fresh에는 텍스트가 필요합니다. --text나 --shards를 주세요"
    ),
    "there is not enough memory": "메모리가 모자랍니다",
    "interrupted": "중단되었습니다",
    # what to do
    "lower training.micro_batch_size or data.max_length, or choose a smaller model": (
        "training.micro_batch_size나 data.max_length를 줄이거나 더 작은 모델을 고르세요"
    ),
    "lower it or set {setting}": "줄이거나 {setting}(으)로 설정하세요",
    "set it to {value}": "{value}(으)로 설정하세요",
    "raise it": "값을 높이세요",
    "shorten it": "앞부분만 쓰세요",
    "give such a value": "그런 값을 주세요",
    "give another --out, the old settings, or --fresh --force to throw that run away": (
        "다른 --out이나 예전 설정을 주거나, 그 실행을 버리려면 --fresh --force를 주세요"
    ),
    "leave --minutes out, give another --out, or --fresh --force to throw that run away": (
        "--minutes를 빼거나 다른 --out을 주거나, 그 실행을 버리려면 --fresh --force를 주세요"
    ),
    "--fresh would throw it away, so add --force or give another --out": (
        "--fresh는 그것을 버립니다. --force를 더하거나 다른 --out을 주세요"
    ),
    "wait for it or stop it, or give another --out": (
        "끝나기를 기다리거나 멈추거나, 다른 --out을 주세요"
    ),
    "give an empty or new --out": "비어 있거나 새로운 --out을 주세요",
    "give a new folder for --out": "--out에 새 폴더를 주세요",
    "give a folder for --out": "--out에 폴더를 주세요",
    "give another --out": "다른 --out을 주세요",
    "leave out --out {path}": "--out {path}을(를) 빼세요",
    "give a new folder": "새 폴더를 주세요",
    "give another file": "다른 파일을 주세요",
    "give a file in it, such as {path}": "그 안의 파일을 주세요(예: {path})",
    "give files with text": "텍스트가 든 파일을 주세요",
    "give one that holds a model": "모델이 든 폴더를 주세요",
    "give a folder that {command} made, or whose config.json names a task's class": (
        "{command}(으)로 만들었거나 config.json에 과제 클래스가 적힌 폴더를 주세요"
    ),
    "give a folder that {command} made": "{command}(으)로 만든 폴더를 주세요",
    "give a model pre-trained by {objective}": "{objective}(으)로 사전 학습한 모델을 주세요",
    "use it, or `foretext export` it": "그대로 쓰거나 `foretext export`로 내보내세요",
    "make one: {command}": "만드는 명령: {command}",
    "train one with {options}": "이 옵션으로 학습하세요: {options}",
    "choose another objective or preset": "다른 목적이나 프리셋을 고르세요",
    "choose stop, replace or skip": "stop, replace, skip 가운데 고르세요",
    "choose a word of its vocabulary": "어휘에 있는 낱말을 고르세요",
    "write it where one is missing": "빈칸 자리에 쓰세요",
    "name one of them": "그중 하나를 주세요",
    "mend it, or add it with task.labels, or --on-error skip": (
        "고치거나, task.labels에 더하거나, --on-error skip을 주세요"
    ),
    "mend the file, or pass --on-error replace or --on-error skip": (
        "파일을 고치거나, --on-error replace 또는 --on-error skip을 주세요"
    ),
    "check the file and its header": "파일과 머리글 행을 확인하세요",
    "check the path and its rights": "경로와 권한을 확인하세요",
    "check the path": "경로를 확인하세요",
    "check path": "경로를 확인하세요",
    "see that the disk has free space": "디스크에 빈 공간이 있는지 확인하세요",
    # notes beside results
    "next: {command}": "다음: {command}",
    "saved": "저장했습니다",
    "go on with: {command}": "이어 하기: {command}",
    "the same command goes on": "같은 명령으로 이어집니다",
    "{count} texts were cut to {limit} tokens": "텍스트 {count}개를 토큰 {limit}개로 잘랐습니다",
    "Nothing was written. The same command without --dry-run starts the run.": (
        "아무것도 쓰지 않았습니다. --dry-run을 빼고 실행하면 시작합니다."
    ),
    "Nothing was sent. The same command without --dry-run sends it.": (
        "아무것도 보내지 않았습니다. --dry-run을 빼고 실행하면 보냅니다."
    ),
}
_PLACE = re.compile(r"\\\{(\w+)\\\}")


def language(environment: Mapping[str, str] = os.environ) -> str:
    """ "ko" or "en": what FORETEXT_LANG says, else the locale's language of messages."""
    names = ("FORETEXT_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    asked = next((value for name in names if (value := environment.get(name))), "")
    return "ko" if asked.lower().startswith("ko") else "en"


def said(message: str) -> str:
    """The message in the user's language, or as it is."""
    return message if language() == "en" else translated(message)


def translated(message: str) -> str:
    """The message in Korean, clause by clause; what the catalogue lacks stays English."""
    return "; ".join(_clause(part) or part for part in message.split("; "))


def unknown(message: str) -> list[str]:
    """The clauses of a message that the catalogue lacks."""
    return [part for part in message.split("; ") if _clause(part) is None]


def _clause(text: str) -> str | None:
    for pattern, korean in _patterns():
        if found := pattern.fullmatch(text):
            return korean.format_map(found.groupdict())
    return None


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    return [
        (re.compile(_PLACE.sub(r"(?P<\1>.+?)", re.escape(english))), korean)
        for english, korean in CATALOGUE.items()
    ]
