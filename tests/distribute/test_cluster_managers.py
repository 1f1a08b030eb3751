"""Slurm, Kubernetes, and a cluster that is started again."""

import json
import pathlib
import re
import subprocess
import sys

import kubernetes_validate
import pytest
import yaml

from keras_lstm.core.errors import InputError
from keras_lstm.distribute.cluster import read_cluster
from keras_lstm.distribute.slurm import tf_config_from_slurm

ROOT = pathlib.Path(__file__).parents[2]
MANIFEST = ROOT / "docs" / "kubernetes" / "train.yaml"
KUBERNETES = "1.33"


def slurm(monkeypatch, **changes):
    """Set the variables of a task of `srun --nodes 2 --ntasks-per-node 2`."""
    variables = {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NODELIST": "node[9-10]",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
        "SLURM_PROCID": "1",
        "SLURM_LOCALID": "1",
        "SLURMD_NODENAME": "node9",
    }
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for name, value in (variables | changes).items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


def found():
    cluster = read_cluster("multi_worker")
    return cluster.num_workers, cluster.is_chief


def test_a_step_of_slurm_is_a_cluster(monkeypatch):
    slurm(monkeypatch)
    assert found() == (4, False)
    # Tasks that happen to run under Slurm still train alone.
    assert read_cluster("auto") is None
    hosts = ["node9:10007", "node9:10008", "node10:10007", "node10:10008"]
    assert json.loads(tf_config_from_slurm()) == {
        "cluster": {"worker": hosts},
        "task": {"type": "worker", "index": 1},
    }
    slurm(monkeypatch, SLURM_PROCID="0", SLURM_LOCALID="0")
    assert read_cluster("multi_worker").is_chief


@pytest.mark.parametrize(
    ("hosts", "first", "last"),
    [
        ("gpu[1-2],cpu[1-2]", "gpu1", "cpu2"),
        ("node-b,node-a", "node-b", "node-a"),
        ("gc1,c[1-3]", "gc1", "c3"),
        ("node-a1,node[1-3]", "node-a1", "node3"),
    ],
)
def test_hosts_stay_in_the_order_of_slurms_list(
    monkeypatch, hosts, first, last
):
    count = 2 if first == "node-b" else 4
    slurm(
        monkeypatch,
        SLURM_STEP_NODELIST=hosts,
        SLURM_STEP_TASKS_PER_NODE=f"1(x{count})",
        SLURM_STEP_NUM_TASKS=str(count),
        SLURM_PROCID="0",
        SLURM_LOCALID="0",
        SLURMD_NODENAME=first,
    )
    workers = json.loads(tf_config_from_slurm())["cluster"]["worker"]
    assert workers[0] == f"{first}:10007"
    assert workers[-1] == f"{last}:10007"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"SLURM_PROCID": "2", "SLURM_LOCALID": "1"},
            r"--distribution=block.*task 2 on node9, where the list has node10",
        ),
        ({"SLURM_STEP_NODELIST": None}, "the variables of a Slurm step"),
        ({"SLURM_STEP_TASKS_PER_NODE": "x"}, "the variables of a Slurm step"),
        ({"SLURM_STEP_NUM_TASKS": "5"}, "Requested 5 tasks but only 4"),
        ({"SLURM_LOCALID": "x"}, "the variables of a Slurm step.*'x'"),
    ],
)
def test_contradictory_variables_of_slurm_are_refused(
    monkeypatch, changes, message
):
    slurm(monkeypatch, **changes)
    with pytest.raises(InputError, match=message):
        tf_config_from_slurm()


def test_outside_a_step_slurm_is_no_cluster(monkeypatch):
    slurm(monkeypatch, SLURM_STEP_NUM_TASKS=None)
    with pytest.raises(InputError, match=r"TF_CONFIG.*or a step of Slurm"):
        read_cluster("multi_worker")
    slurm(monkeypatch, SLURM_PROCID="4")
    with pytest.raises(InputError, match="SLURM_PROCID=4"):
        read_cluster("multi_worker")


def test_the_manifest_is_valid_and_its_workers_find_one_another(monkeypatch):
    service, job = yaml.safe_load_all(MANIFEST.read_text())
    for resource in (service, job):
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)
    spec = job["spec"]
    pod = spec["template"]["spec"]
    name = job["metadata"]["name"]
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert spec["completions"] == spec["parallelism"] == 2
    (script,) = pod["containers"][0]["args"]
    (port,) = pod["containers"][0]["ports"]
    export, command = script.split("exec ")
    assert command.split()[:2] == ["keras-lstm", "train"]
    assert {"--resume", "multi_worker"} <= set(command.split())
    for index in range(2):
        done = subprocess.run(
            ["/bin/sh", "-c", f'{export}printf %s "$TF_CONFIG"'],
            env={"JOB_COMPLETION_INDEX": str(index)},
            capture_output=True,
            text=True,
            check=True,
        )
        monkeypatch.setenv("TF_CONFIG", done.stdout)
        assert found() == (2, index == 0)
        # Kubernetes calls the pods of an indexed Job so.
        assert json.loads(done.stdout)["cluster"]["worker"] == [
            f"{name}-{i}.{pod['subdomain']}:{port['containerPort']}"
            for i in range(2)
        ]


def local_cluster(*arguments):
    script = ROOT / "scripts" / "local_cluster.py"
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_lines_that_cannot_be_shown_hold_up_no_worker():
    code = "printf '\\xff\\n'; seq 100000; echo done"
    done = local_cluster("--workers", 1, "bash", "-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("[0] \\xff\n[0] 1\n")
    assert done.stdout.endswith("[0] 100000\n[0] done\n")
    script = ROOT / "scripts" / "local_cluster.py"
    command = [sys.executable, str(script), "--workers", "2", "seq", "100000"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        # Nobody reads more than a line.
        assert process.stdout.readline().startswith(b"[")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=120) == 0


def test_a_worker_that_cannot_be_started_is_one_line():
    done = local_cluster("--workers", 2, "/nowhere/command")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "local_cluster.py: error: a worker cannot be started ("
    )
    assert done.stderr.endswith("Received: '/nowhere/command'\n")


@pytest.mark.slow
def test_a_failed_worker_restarts_the_cluster(tmp_path):
    # The second worker fails in the first two rounds.
    code = (
        "import json, os, pathlib, sys, time\n"
        "index = json.loads(os.environ['TF_CONFIG'])['task']['index']\n"
        "rounds = pathlib.Path(sys.argv[1])\n"
        "if index:\n"
        "    rounds.write_text(rounds.read_text() + 'x')\n"
        "    sys.exit(3 if len(rounds.read_text()) < 3 else 0)\n"
        "while len(rounds.read_text()) < 3:\n"
        "    time.sleep(0.05)\n"
    )
    rounds = tmp_path / "rounds"
    rounds.write_text("")
    command = (sys.executable, "-c", code, rounds)
    done = local_cluster("--restart", 1, *command)
    assert (done.returncode, rounds.read_text()) == (3, "xx")
    rounds.write_text("")
    done = local_cluster("--restart", 5, *command)
    assert (done.returncode, rounds.read_text()) == (0, "xxx")
    again = "a worker ended with 3: starting all again"
    assert re.findall("a worker.*", done.stdout) == [again] * 2
    assert local_cluster("--restart", -1, "true").returncode == 2
