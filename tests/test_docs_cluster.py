"""docs/cluster.md: its commands run, on this host; what needs other machines parses."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import wheelvec as wv
from wheelvec.cli.program import main

PAGE = Path(__file__).parent.parent / "docs" / "cluster.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
WHEEL = '[schedule]\nsymbols = ["ALFA"]\nend_date = 2024-01-12\n'
GRID = "[put]\nexit_pct = [0.3, 0.5]\n"


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the lake and the files that the page names."""
    folder = tmp_path_factory.mktemp("cluster")
    wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29").write(folder / "lake")
    (folder / "wheel.toml").write_text(WHEEL)
    (folder / "grid.toml").write_text(GRID)
    return folder


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """The commands of this environment come first."""
    root = str(PAGE.parent.parent)
    path = [str(Path(sys.executable).parent), os.environ["PATH"]]
    return os.environ | {"PATH": os.pathsep.join(path), "PYTHONPATH": root}


def script(text: str, place: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", text],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def ended(place: Path, environment: dict[str, str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that are ended after the test."""
    begun: list[subprocess.Popen[bytes]] = []
    yield begun
    for process in reversed(begun):
        process.terminate()
        process.wait(20)


def test_the_commands_over_ssh_run_on_one_host(
    place: Path,
    environment: dict[str, str],
    ended: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("distributed")
    scheduler, worker, sweeps = blocks("sh")
    file = place / "ssh.json"
    # another port than the page's, which may be taken; the worker's count too, to be quick
    scheduler = scheduler.replace(
        "--port 8786", f"--port 0 --host 127.0.0.1 --scheduler-file {file}"
    )
    given = environment | {"DASK_DISTRIBUTED__WORKER__DAEMON": "True"}
    ended.append(subprocess.Popen(shlex.split(scheduler), env=given, cwd=place))
    address = address_of(file)
    assert "tcp://localhost:8786" in worker
    worker = worker.replace("tcp://localhost:8786", address).replace("--nworkers 2", "--nworkers 1")
    ended.append(subprocess.Popen(["bash", "-c", f"exec env {worker}"], env=given, cwd=place))
    monkeypatch.chdir(place)
    for line in sweeps.replace("tcp://localhost:8786", address).splitlines():
        program, *words = shlex.split(line)
        assert program == "wheelvec"
        assert main([*words, *([] if "--dry-run" in words else ["--no-page"])]) == 0
    said = capfd.readouterr()
    assert "Plan of a sweep: 2 configurations, 1 underlying" in said.out
    assert wv.Sweep.load(place / "sweep").frame.height == 2
    assert "threads each" not in said.err  # the worker's environment holds Polars to one


def address_of(file: Path) -> str:
    for _ in range(300):
        if file.exists() and file.stat().st_size:
            return str(json.loads(file.read_text())["address"])
        time.sleep(0.1)
    raise AssertionError(f"{file} was not written")


def test_the_script_for_slurm_runs_without_it(place: Path, environment: dict[str, str]) -> None:
    """With a `srun` that runs one worker here."""
    pytest.importorskip("distributed")
    (text,) = blocks("bash")
    assert script(f"bash -n <<'END'\n{text}END", place, environment).stderr == ""
    bin_ = place / "bin"
    bin_.mkdir()
    srun = bin_ / "srun"
    srun.write_text('#!/bin/bash\nexec "$@"\n')
    srun.chmod(0o755)
    given = environment | {"SLURM_JOB_ID": "1", "PATH": f"{bin_}{os.pathsep}{environment['PATH']}"}
    text = text.replace("--port 0", "--port 0 --host 127.0.0.1").replace(
        "sweep/", "slurm/ --no-page"
    )
    ending = "kill $(jobs -p); wait || true\n"  # as Slurm does at the end of a job
    done = script(text + ending, place, given)
    assert done.returncode == 0, done.stderr
    assert wv.Sweep.load(place / "slurm").frame.height == 2


def test_the_manifests_of_kubernetes_fit_its_schemas() -> None:
    yaml = pytest.importorskip("yaml")
    kubernetes = pytest.importorskip("kubernetes_validate")
    (text,) = blocks("yaml")
    scheduler, service, worker = yaml.safe_load_all(text)
    for each in (scheduler, service, worker):
        kubernetes.validate(each, kubernetes.latest_version(), strict=True)
    for each in (scheduler, worker):
        assert (each["apiVersion"], each["kind"]) == ("apps/v1", "Deployment")
        labels = each["spec"]["template"]["metadata"]["labels"]
        assert each["spec"]["selector"]["matchLabels"] == labels
        (container,) = each["spec"]["template"]["spec"]["containers"]
        assert all(isinstance(word, str) for word in container["args"])
        assert all(isinstance(entry["value"], str) for entry in container.get("env", []))
    assert service["spec"]["selector"] == scheduler["spec"]["template"]["metadata"]["labels"]
    (port,) = service["spec"]["ports"]
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    assert f"tcp://{service['metadata']['name']}:{port['port']}" in container["args"]


@pytest.mark.parametrize("number", [0, 1])
def test_the_programs_for_a_laptop_run(
    number: int, place: Path, environment: dict[str, str]
) -> None:
    if number:
        pytest.importorskip("distributed")
    text = blocks("python")[number].replace('n_workers": 2', 'n_workers": 1')
    program = place / f"laptop{number}.py"
    program.write_text(text.replace("range(50)", "range(2)").replace("sweep/", "laptop/"))
    done = script(f"{shlex.quote(sys.executable)} {program.name}", place, environment)
    assert done.returncode == 0, done.stderr
    assert ("Plan of a sweep" in done.stdout) == bool(number)
