#!/usr/bin/env python3
"""What process pools do when workers die: docs/FAULTS.md's table.

    faults.py run --out FOLDER [--systems a,b] [--scenes S1,S2] [--repeats N] [--python P] [--vecmill PROGRAM] [--model M]
    faults.py table --out FOLDER

`run` adds a line to FOLDER/runs.jsonl for each run: a session of its own, in which this program kills workers at
the scene's moment, and removes all that it made. A run that has not ended after --limit seconds counts as hung.
`--python` has the pools, `--model` is a folder, with hidden.onnx in it for FastEmbed (bench/compare/make_onnx.py).
S8 wants root and cgroup v1. `table` prints Markdown: the middle one of each cell's runs, or all where they ended
in different ways."""

import argparse
import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
GROUPS = "/sys/fs/cgroup/memory"
GENERAL = ["mp_map", "mp_imap", "futures", "loky", "joblib", "billiard", "pebble", "mpire", "dask"]
EMBEDDERS = ["fastembed", "vecmill", "vecmill_py"]
NAMES = {"mp_map": "mp.Pool.map", "mp_imap": "mp.Pool.imap", "futures": "ProcessPoolExecutor", "dask": "dask.distributed",
         "fastembed": "FastEmbed", "vecmill": "vecmill, program", "vecmill_py": "vecmill, Python"}
SCENES = ["S0", "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9", "S10"]
POISONED = 77
WORDS = ("the of and a to in is it that for was on are as with his they at be this from have or by one had not but "
         "what all were when we there can an your which their said if do will each about how up out them then").split()


# ---- processes ----

def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def stat(pid):
    """(state, parent, session, processor ticks), or None."""
    text = read(f"/proc/{pid}/stat")
    if not text:
        return None
    f = text[text.rindex(")") + 2:].split()
    return f[0], int(f[1]), int(f[3]), int(f[11]) + int(f[12])


def everybody():
    return {int(p): s for p in os.listdir("/proc") if p.isdigit() and (s := stat(p)) and s[0] not in "ZX"}


def is_alive(pid):
    s = stat(pid)
    return bool(s) and s[0] not in "ZX"


def is_in_call(pid, *numbers):
    """Whether a thread of it sleeps in one of these system calls (x86-64)."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return False
    return any(read(f"/proc/{pid}/task/{t}/syscall").split(" ")[0] in map(str, numbers) for t in threads)


# ---- a run ----

class Run:
    def __init__(self, system, scene, repeat, options):
        self.system, self.scene, self.options = system, scene, options
        self.general = system in GENERAL
        self.dir = os.path.join(options.out, f"{system}-{scene}-{repeat}")
        self.found = {"system": system, "scene": scene, "repeat": repeat, "kills": 0, "note": "",
                      "documents": options.documents}
        self.group = None

    def start(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir + "/state")
        texts = write_texts(self.options, self.scene in ("S9", "S10") and self.system == "vecmill")
        env = dict(os.environ, FAULTS_OUT=self.dir, FAULTS_TEXTS=texts, FAULTS_MODEL=self.options.model,
                   FAULTS_ONNX=self.options.model, OPENBLAS_NUM_THREADS="1")
        if self.scene in ("S9", "S10") and self.system.startswith("vecmill"):
            env.update(LD_PRELOAD=preload(self.options.out), FAULTS_POISON={"S9": "kill", "S10": "exit0"}[self.scene])
        stdin = subprocess.DEVNULL
        if self.system == "vecmill":
            command = [self.options.vecmill, "embed", "-m", self.options.model, "-i", texts, "-o", self.dir + "/rows.npy",
                       "--workers", "2", "--progress", "json"]
            if self.scene == "S3":
                command[5:6] = ["-"]
                command += ["--input-format", "jsonl"]
                stdin = subprocess.PIPE
        else:
            command = [self.options.python, HERE + "/faults_target.py", self.system, self.scene]
        if self.scene == "S8":
            self.group = f"{GROUPS}/vecmill-faults-{os.getpid()}"
            os.makedirs(self.group, exist_ok=True)
            command = ["sh", "-c", f'echo $$ > {self.group}/cgroup.procs && exec "$@"', "sh", *command]
        self.began = time.monotonic()
        with open(self.dir + "/log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, env=env, cwd=self.dir, stdin=stdin, stdout=log,
                                            stderr=subprocess.STDOUT, start_new_session=True)
        self.pid = self.process.pid

    def members(self):
        """All that lives of this run, its first process included."""
        all_, found = everybody(), set()
        found = {p for p, s in all_.items() if s[2] == self.pid or p == self.pid}
        while more := {p for p, s in all_.items() if s[1] in found} - found:
            found |= more
        return found & set(all_)

    def workers(self):
        if self.general:
            return [int(p) for p in os.listdir(self.dir + "/state") if is_alive(int(p))]
        below = [p for p in self.members() if p != self.pid]
        if self.system == "fastembed":
            servers = {p for p in below if "forkserver" in read(f"/proc/{p}/cmdline")}
            return [p for p in below if p in servers and (stat(p) or (0, 0))[1] in servers or
                    "spawn_main" in read(f"/proc/{p}/cmdline")]
        return [p for p in below if read(f"/proc/{p}/comm").startswith("vecmill-work")]

    def busy(self):
        if self.general:
            return [p for p in self.workers() if read(f"{self.dir}/state/{p}").startswith("C")]
        before = {p: stat(p) for p in self.workers()}
        time.sleep(0.06)
        return [p for p, s in before.items() if s and (now := stat(p)) and now[3] > s[3]]

    def done(self):
        if self.system == "vecmill":
            lines = [line for line in read(self.dir + "/log").splitlines() if line.startswith('{"event":"progress"')]
            return json.loads(lines[-1])["documents"] if lines else 0
        result = json.loads(read(self.dir + "/result.json") or "{}")
        return result.get("ok", 0) + result.get("failed", 0)

    def until(self, condition, seconds=30):
        end = min(time.monotonic() + seconds, self.began + self.options.limit)
        while self.process.poll() is None and time.monotonic() < end:
            if found := condition():
                return found
            time.sleep(0.01)
        return None

    def send(self, number):
        """A signal to the first process; False: it has ended."""
        if self.process.poll() is None:
            os.kill(self.pid, number)
        return self.process.returncode is None

    def kill(self, pid, number=signal.SIGKILL):
        try:
            os.kill(pid, number)
            self.found["kills"] += 1
        except ProcessLookupError:
            pass

    def warm(self):
        """The moment of most scenes: work has gone on for a while."""
        if self.general:
            self.until(lambda: len(self.workers()) >= 2)
            time.sleep(0.4 if self.scene == "S2" else 1.0)
        elif self.system == "vecmill":  # it reports what is done later
            self.until(lambda: len(w := self.workers()) >= 2 and sum((stat(p) or (0,) * 4)[3] for p in w) > 80)
        else:
            self.until(lambda: self.done() >= 24)

    # -- scenes --

    def play(self):
        if self.scene in ("S0", "S9", "S10"):
            return
        if self.scene == "S3":
            self.kill_idle()
            return
        self.warm()
        {"S1": lambda: self.kill_busy(signal.SIGKILL), "S7": lambda: self.kill_busy(signal.SIGSTOP), "S2": self.kill_sender,
         "S4": self.kill_all, "S5": self.kill_often, "S6": self.kill_parent, "S8": self.kill_by_oom}[self.scene]()

    def kill_busy(self, number):
        if found := self.until(self.busy):
            self.kill(found[0], number)

    def kill_all(self):
        for pid in self.workers():
            self.kill(pid)

    def kill_often(self):
        end = time.monotonic() + 10
        while time.monotonic() < end and self.process.poll() is None:
            if found := self.busy() or self.workers():
                self.kill(random.choice(found))
            time.sleep(0.5)

    def kill_sender(self):
        """The parent is stopped until a worker with a result sleeps in write(); that one is killed."""
        if not self.send(signal.SIGSTOP):
            return
        end, victim = time.monotonic() + 5, None
        while time.monotonic() < end and not victim:
            victim = next((p for p in self.workers() if is_in_call(p, 1, 20, 44, 46)), None)
            time.sleep(0.005)
        self.found["note"] = "asleep in write" if victim else "no worker was asleep in write"
        if victim or (victim := next(iter(self.workers()), None)):
            self.kill(victim)
        time.sleep(0.1)
        self.send(signal.SIGCONT)

    def kill_idle(self):
        """All of the first half is computed and the workers wait; then more work comes."""
        lines = read(write_texts(self.options)).splitlines(keepends=True)
        if self.system == "vecmill":
            self.process.stdin.write("".join(lines[:len(lines) // 2]).encode())
            self.process.stdin.flush()
        else:
            self.until(lambda: os.path.exists(self.dir + "/idle"), 40)
        quiet = 0
        while quiet < 12 and self.process.poll() is None and time.monotonic() < self.began + self.options.limit:
            before = sum((stat(p) or (0,) * 4)[3] for p in self.workers())
            time.sleep(0.1)
            after = sum((stat(p) or (0,) * 4)[3] for p in self.workers())
            quiet = quiet + 1 if self.workers() and after - before <= 1 else 0
        workers = sorted(self.workers())
        reading = [p for p in workers if is_in_call(p, 0, 45, 47)]
        if pick := reading or workers:
            self.kill(pick[0])
        time.sleep(1.0)
        if self.system != "vecmill":
            with open(self.dir + "/go", "w", encoding="utf-8"):
                return
        try:
            self.process.stdin.write("".join(lines[len(lines) // 2:]).encode())
            self.process.stdin.close()
        except OSError:
            pass

    def kill_parent(self):
        before = self.members()
        self.kill(self.pid)
        self.process.wait()
        left = lambda: sorted({p for p in before if is_alive(p)} | {p for p, s in everybody().items() if s[2] == self.pid})
        time.sleep(1)
        self.found["left_1s"] = len(left())
        time.sleep(4)
        self.found["left_5s"] = len(left())
        for pid in left():
            os.kill(pid, signal.SIGKILL)

    def kill_by_oom(self):
        """A neighbour takes the group's memory until the kernel has ended the worker that is marked for it."""
        found = self.until(self.busy) or self.workers()
        if not found:
            return
        for pid in self.members():
            try:
                with open(f"/proc/{pid}/oom_score_adj", "w", encoding="utf-8") as file:
                    file.write("1000" if pid == found[0] else "-500")
            except PermissionError: # not lowered: the marked one is chosen all the same
                pass
        limit = int(read(self.group + "/memory.usage_in_bytes")) + (100 << 20)
        with open(self.group + "/memory.limit_in_bytes", "w", encoding="utf-8") as file:
            file.write(str(limit))
        subprocess.run([sys.executable, "-c", NEIGHBOUR, self.group, str(found[0])], timeout=30, check=False)
        self.found["kills"] = int(read(self.group + "/memory.oom_control").split("oom_kill ")[-1].split()[0])

    # -- the end --

    def go(self):
        self.start()
        try:
            self.play()
            try:
                self.process.wait(max(0.1, self.options.limit - (time.monotonic() - self.began)))
            except subprocess.TimeoutExpired:
                self.found["hung"] = True
            self.found["seconds"] = round(time.monotonic() - self.began, 1)
            self.found["code"], self.found["done"] = self.process.poll(), self.done()
            time.sleep(0 if self.found.get("hung") else 1)
            self.found["left"] = 0 if self.found.get("hung") else len(self.members() - {self.pid})
            self.found["result"] = json.loads(read(self.dir + "/result.json") or "{}")
            self.found["differing"] = self.differing()
        finally:
            while left := self.members():
                for pid in sorted(left, key=lambda p: p != self.pid):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                self.process.poll()
                time.sleep(0.05)
            if self.group:
                os.rmdir(self.group)
        return self.found

    def differing(self):
        """Rows that are not the undisturbed run's, bit for bit (FastEmbed: within 1e-5), the poisoned one left out."""
        import numpy as np
        try:
            mine, wanted = np.load(self.dir + "/rows.npy"), np.load(os.path.join(self.options.out, f"{self.system}-S0-1/rows.npy"))
        except (OSError, ValueError):
            return None
        if mine.shape != wanted.shape:
            return None
        tolerance = 1e-5 if self.system == "fastembed" else 0
        skipped = POISONED if self.scene in ("S9", "S10") else -1 # its text has the marker
        return int(sum(i != skipped and bool(np.any(np.abs(a - b) > tolerance)) for i, (a, b) in enumerate(zip(mine, wanted))))


NEIGHBOUR = """
import mmap, os, sys
group, victim, kept = sys.argv[1], sys.argv[2], []
for path, value in ((group + "/cgroup.procs", str(os.getpid())), ("/proc/self/oom_score_adj", "-1000")):
    try:
        with open(path, "w") as file:
            file.write(value)
    except PermissionError:
        pass
for _ in range(4000):
    try:
        with open(f"/proc/{victim}/stat") as file:
            if file.read().rpartition(") ")[2][0] in "ZX":
                break
    except OSError:
        break
    kept.append(mmap.mmap(-1, 1 << 20))
    kept[-1].write(bytes(1 << 20))
"""


def write_texts(options, poisoned=False):
    """Path of the documents; each has about 120 words."""
    path = os.path.join(options.out, "poisoned.jsonl" if poisoned else "texts.jsonl")
    rng = random.Random(1)
    with open(path, "w", encoding="utf-8") as file:
        for i in range(options.documents):
            text = f"{i} " + " ".join(rng.choices(WORDS, k=120))
            file.write(json.dumps({"id": i, "text": text + (" zzpoisonzz" if poisoned and i == POISONED else "")}) + "\n")
    return path


def preload(folder):
    path = os.path.join(folder, "faults_preload.so")
    if not os.path.exists(path):
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", path, HERE + "/faults_preload.c", "-ldl"], check=True)
    return path


# ---- the table ----

def outcome(run):
    """(kind, words) of a run; kind: all, part, error, hung, left, gone, wrong."""
    result, n, seconds = run["result"], run["result"].get("n", run["documents"]), f"{run.get('seconds', 0):.1f} s"
    if run["scene"] == "S6":
        return ("gone", "gone") if not run["left_1s"] else ("left", f"{run['left_5s']} processes live on")
    if run.get("hung"):
        return "hung", f"**hangs**, {run['done']} of {n} done"
    if run["differing"] and run["system"] in EMBEDDERS and (run["code"] in (0, 3)):
        return "wrong", f"**{run['differing']} rows differ**"
    if result.get("wrong"):
        return "wrong", f"**{result['wrong']} results wrong**"
    if run["system"] == "vecmill":
        if run["code"] == 0:
            return "all", f"all, {seconds}"
        return ("part", f"{n - 1} of {n}, the one named, {seconds}") if run["code"] == 3 else ("error", f"exit {run['code']}")
    if result.get("state") != "done":
        return "error", f"error, {result.get('ok', 0)} of {n} done"
    if result["failed"]:
        named = ", the one named" if run["scene"] == "S9" and result["failed"] == 1 else ""
        return "part", f"{result['ok']} of {n}{named}, {seconds}"
    return "all", f"all, {seconds}"


def cell(runs):
    kinds = collections.defaultdict(list)
    for run in runs:
        kind, words = outcome(run)
        kinds[kind].append((run.get("seconds", 0), words))
    parts = []
    for found in sorted(kinds.values(), key=len, reverse=True):
        words = sorted(found)[len(found) // 2][1]
        parts.append(words if len(kinds) == 1 else f"{len(found)}/{len(runs)} {words}")
    return "; ".join(parts)


def table(options):
    runs = collections.defaultdict(dict)
    with open(os.path.join(options.out, "runs.jsonl"), encoding="utf-8") as file:
        for run in map(json.loads, file):
            runs[run["system"], run["scene"]][run["repeat"]] = run # the last one of each counts
    print("| | " + " | ".join(SCENES) + " |")
    print("|---" * (len(SCENES) + 1) + "|")
    for system in GENERAL + EMBEDDERS:
        cells = [cell(list(runs[system, scene].values())) if (system, scene) in runs else "–" for scene in SCENES]
        if set(cells) != {"–"}:
            print(f"| {NAMES.get(system, system)} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--out", required=True, type=os.path.abspath)
    parser.add_argument("--systems", default=",".join(GENERAL + EMBEDDERS))
    parser.add_argument("--scenes", default=",".join(SCENES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--documents", type=int, default=300, help="of the embedders")
    parser.add_argument("--limit", type=float, default=60, help="seconds after which a run hangs")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--vecmill", default=os.path.join(ROOT, "build", "vecmill"))
    parser.add_argument("--model", default="", help="a folder")
    options = parser.parse_args()
    if options.what == "table":
        table(options)
        return
    os.makedirs(options.out, exist_ok=True)
    for repeat in range(1, options.repeats + 1):
        for scene in options.scenes.split(","):
            for system in options.systems.split(","):
                found = Run(system, scene, repeat, options).go()
                with open(os.path.join(options.out, "runs.jsonl"), "a", encoding="utf-8") as file:
                    file.write(json.dumps(found) + "\n")
                print(time.strftime("%T"), system, scene, repeat, outcome(found)[1], found["note"], flush=True)


if __name__ == "__main__":
    main()
