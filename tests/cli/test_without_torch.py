"""Help and the errors of users come at once: without importing PyTorch and the libraries beside it."""

import subprocess
import sys
from pathlib import Path

import pytest

SLOW = (
    "torch",
    "torchvision",
    "scipy",
    "sklearn",
    "matplotlib",
    "lightning_fabric",
)

TRAIN = ("train", "data.csv", "--label", "label", "--output", "run")
CASES: dict[str, tuple[tuple[str, ...], str]] = {
    "version": (("--version",), ""),
    "help": (("--help",), ""),
    "help of train": (("train", "--help"), ""),
    "help of audit": (("audit", "--help"), ""),
    "unknown command": (("trian",), "Did you mean 'train'?"),
    "no output": (("train", "data.csv", "--label", "label"), "gdw train needs --output FOLDER"),
    "unknown option": ((*TRAIN, "--epoch", "3"), "Did you mean '--epochs'?"),
    "unknown value": ((*TRAIN, "--optimizer", "sdg"), "Did you mean 'sgd'?"),
    "no number": ((*TRAIN, "--epochs", "many"), "epochs: "),
    "unknown method": ((*TRAIN, "--method", "robst"), "Did you mean 'robust'?"),
    "unknown noise": ((*TRAIN, "--noise", "foo:1"), "unknown noise 'foo:1'"),
    "no data": (("train", "dta.csv", "--label", "label", "--output", "run"), "Did you mean 'data.csv'?"),
    "unknown backbone": ((*TRAIN, "--backbone", "package:minlm"), "Did you mean 'package:minilm'?"),
    "backbone of a table": (
        (*TRAIN, "--finetune", "all"), "is for images or texts, and the data are a table"
    ),
    "no weights": ((*TRAIN, "--weights", "w.pt"), "no weights file at w.pt"),
    "no label column": (("train", "data.csv", "--label", "lable", "--output", "run"), "no column 'lable'"),
    "no trusted column": ((*TRAIN, "--trusted", "okk"), "Did you mean 'ok'?"),
    "help of suggest": (("suggest", "--help"), ""),
    "suggest without data": (("suggest", "--output", "v.jsonl"), "name the data: gdw suggest DATA"),
    "suggest from no data": (("suggest", "dta.csv", "--output", "v.jsonl"), "Did you mean 'data.csv'?"),
    "unknown strategy": (
        ("suggest", "data.csv", "--output", "v.jsonl", "--strategy", "mixd"), "Did you mean 'mixed'?"
    ),
    "unknown purpose": (
        ("suggest", "data.csv", "--output", "v.jsonl", "--for", "certificat"), "Did you mean 'certificate'?"
    ),
    "a certificate by doubtful rows": (
        ("suggest", "data.csv", "--output", "v.jsonl", "--for", "certificate", "--strategy", "doubtful"),
        "leave --strategy out",
    ),
    "help of verify": (("verify", "--help"), ""),
    "no verification file": (("verify", "data.csv"), "data.csv is not a verification file"),
    "no meta file": ((*TRAIN, "--meta", "clean.csv"), "no file or folder 'clean.csv'"),
    "no test file": ((*TRAIN, "--trusted", "ok", "--test", "t.csv"), "no file or folder 't.csv'"),
    "output exists": (("train", "data.csv", "--label", "label", "--output", "old"), "already holds a run"),
    "no run to resume": (("train", "--resume", "--output", "none"), "no run folder at none"),
    "no configuration": (("train", "--config", "c.yaml", "--output", "run"), "no file c.yaml"),
    "audit of no run": (("audit", "none"), "no run folder at none"),
    "audit of another folder": (("audit", "empty"), "empty holds no run"),
    "audit without output": (("audit", "old", "--apply", "KEEP"), "--apply and --output"),
    "evaluate no run": (("evaluate", "none", "data.csv"), "no run folder at none"),
    "predict no run": (("predict", "none", "data.csv", "--output", "p.csv"), "no run folder at none"),
    "predict into an existing file": (("predict", "old", "data.csv", "--output", "data.csv"), "data.csv"),
    "report of no run": (("report", "empty"), "empty holds no run"),
    "unknown protocol": (("experiment", "smok", "--output", "g"), "no protocol file 'smok'"),
    "protocols": (("experiment", "--list"), ""),
    "unknown suite": (("bench", "--suite", "quik"), "Did you mean 'quick'?"),
    "no figures": (("bench", "--from", "none.json"), "none.json does not exist"),
    "demo folder exists": (("demo", "--output", "empty"), "empty exists already"),
    "cache": (("cache",), "no features to show or remove in"),
    "clear an unknown backbone": (("cache", "clear", "--backbone", "x"), "it is empty"),
    "methods": (("methods",), ""),
    "describe an unknown method": (("methods", "focl"), "Did you mean 'focal'?"),
}  # fmt: skip

# All cases in one process: when the first imports a slow library, the test says which one it was.
SCRIPT = """
import contextlib, io, sys
from gdw.cli.app import main
slow = sys.argv[1].split(",")
for line in sys.stdin:
    sys.argv = ["gdw", *line.rstrip("\\n").split("\\t")]
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            main()
        except SystemExit:
            pass
    imported = ",".join(name for name in slow if name in sys.modules)
    print(imported, " ".join(output.getvalue().split()), sep="\\t")
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """For each case, the slow libraries imported by then, and the output."""
    folder: Path = tmp_path_factory.mktemp("errors")
    rows = "".join(f"{i},{i % 7},{'xy'[i % 2]},{int(i < 20)}\n" for i in range(60))
    (folder / "data.csv").write_text(f"a,b,label,ok\n{rows}")
    (folder / "empty").mkdir()
    (folder / "old").mkdir()
    (folder / "old" / "config.yaml").write_text("format: 1\ndata: {path: data.csv, label: label}\n")
    words = "".join("\t".join(arguments) + "\n" for arguments, _ in CASES.values())
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, ",".join(SLOW)],
        input=words,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.partition("\t") for line in done.stdout.splitlines()]
    assert not done.stderr
    return {name: (line[0], line[2]) for name, line in zip(CASES, lines, strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_no_slow_library_is_imported(name: str, outputs: dict[str, tuple[str, str]]) -> None:
    imported, output = outputs[name]
    assert not imported
    assert CASES[name][1] in output
