#!/usr/bin/env python3
"""A storm of OOM kills: a neighbour fills the memory group of a run about once a second, for less than a second.

    bench_storm.py [--build FOLDER]... [--model M] [--workers W] [--seconds S] [--period P] [--hold H] [--full S]

One run of embed in a memory group (cgroup v1, as root), for each build: S seconds undisturbed, S seconds in which a
neighbour in the group takes all that is left every P seconds until the kernel has ended every worker, and holds it
for about H seconds, and S seconds undisturbed again; with --full then that many seconds in which it holds all. Prints
documents a second of each part, the share of time in which the memory was free, starts of workers, the most of them
within a second, and how long after the room the first worker was started that came to be ready."""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MIB = 1 << 20
GROUPS = "/sys/fs/cgroup/memory"
WORDS = ("the of and a to in is it that for was on are as with his they at be this from have or by one had not but "
         "what all were when we there can an your which their said if do will each about how up out them then").split()

NEIGHBOUR = """
import mmap, sys
group, kept = sys.argv[1], []
with open("/proc/self/oom_score_adj", "w") as file:
    file.write("200")
def number(name):
    with open(f"{group}/{name}") as file:
        return int(file.read())
def kills():
    with open(f"{group}/memory.oom_control") as file:
        return int(dict(line.split() for line in file)["oom_kill"])
print("ready", flush=True)
for line in sys.stdin:
    word, *rest = line.split()
    if word == "fill":
        want, limit = kills() + int(rest[0]), number("memory.limit_in_bytes")
        while kills() < want or number("memory.usage_in_bytes") < limit - (3 << 20):
            piece = mmap.mmap(-1, 2 << 20)
            piece.write(bytes(2 << 20))
            kept.append(piece)
    else:
        kept.clear()
    print("done", flush=True)
"""


class Group:
    def __init__(self):
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            own = next(line.rstrip("\n").split(":", 2)[2] for line in file if "memory" in line.split(":")[1].split(","))
        base = GROUPS + own if os.path.isdir(GROUPS + own) else GROUPS
        self.path = f"{base}/vecmill-storm-{os.getpid()}"
        os.mkdir(self.path)

    def start(self, command, **more):
        return subprocess.Popen(["sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh", *command], **more)

    def write(self, name, value):
        with open(f"{self.path}/{name}", "w", encoding="utf-8") as file:
            file.write(str(value))

    def held(self):
        """Bytes that cannot be taken back."""
        with open(f"{self.path}/memory.stat", encoding="utf-8") as file:
            stat = {key: int(value) for key, value in map(str.split, file)}
        with open(f"{self.path}/memory.kmem.usage_in_bytes", encoding="utf-8") as file:
            return stat["total_rss"] + stat["total_shmem"] + int(file.read())

    def remove(self):
        for _ in range(500):
            try:
                return os.rmdir(self.path)
            except OSError:
                time.sleep(0.02)
        return None


class Neighbour:
    def __init__(self, group):
        self.group, self.lost = group, 0
        self.start()

    def start(self):
        self.process = self.group.start([sys.executable, "-S", "-E", "-c", NEIGHBOUR, self.group.path], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.process.stdout.readline()

    def tell(self, words):
        try:
            self.process.stdin.write(words + "\n")
            self.process.stdin.flush()
            if self.process.stdout.readline():
                return
        except BrokenPipeError:
            pass
        self.process.wait() # the kernel chose it
        self.lost += 1
        self.start()


class Run:
    """A run that lasts until `end`, and what it reports."""

    def __init__(self, build, group, options, folder):
        self.events_path, self.documents, self.ending = os.path.join(folder, "events"), [], threading.Event()
        self.process = group.start(
            [os.path.join(build, "vecmill"), "embed", "-m", options.model, "-i", "-", "-o", "-", "--input-format",
             "jsonl", "--workers", str(options.workers), "--progress", "json", "--events", self.events_path],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.began = time.monotonic()
        for target in (self.feed, self.listen):
            threading.Thread(target=target, daemon=True).start()

    def feed(self):
        rng, n = random.Random(1), 0
        try:
            while not self.ending.is_set():
                text = " ".join(rng.choices(WORDS, k=60))
                self.process.stdin.write(json.dumps({"id": n, "text": f"{n} {text}"}).encode() + b"\n")
                n += 1
            self.process.stdin.close()
        except BrokenPipeError:
            pass

    def listen(self):
        for line in self.process.stderr:
            if line.startswith(b'{"event":"progress"'):
                self.documents.append((time.monotonic(), json.loads(line)["documents"]))

    def rate(self, since, until):
        """Documents a second, by the counts next to both moments."""
        inside = [(t, n) for t, n in self.documents if since <= t <= until]
        return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0]) if len(inside) > 1 else 0.0

    def events(self):
        with open(self.events_path, encoding="utf-8") as file:
            return [json.loads(line) for line in file.read().split("\n")[:-1]]

    def ready(self):
        alive = set()
        for e in self.events():
            if e["event"] == "worker_ready":
                alive.add(e["pid"])
            elif e["event"] == "worker_died":
                alive.discard(e["pid"])
        return len(alive)

    def starts(self, since, until):
        """Seconds from `since` at which workers became ready, or died before."""
        events, seen, found = self.events(), set(), []
        for e in events:
            if e["event"] in ("worker_ready", "worker_died") and e["pid"] not in seen:
                seen.add(e["pid"])
                at = self.began + e["t_ms"] / 1000 - since
                if 0 <= at <= until - since:
                    found.append(at)
        return sorted(found)

    def wait_ready(self, n, seconds=120):
        until = time.monotonic() + seconds
        while not os.path.exists(self.events_path) or self.ready() < n:
            if self.process.poll() is not None or time.monotonic() > until:
                sys.exit(f"the run ended, or has not {n} workers within {seconds} s")
            time.sleep(0.02)


def storm(run, neighbour, options, rng):
    """(seconds of it in which the memory was free, cycles)"""
    began, free, cycles = time.monotonic(), 0.0, 0
    since = began
    while time.monotonic() < began + options.seconds:
        time.sleep(max(0.0, began + cycles * options.period - time.monotonic()))
        alive = run.ready()
        neighbour.tell(f"fill {alive}")
        free += time.monotonic() - since
        time.sleep(rng.uniform(0.5, 1.5) * options.hold)
        neighbour.tell("let go")
        since, cycles = time.monotonic(), cycles + 1
    return free, cycles


def most_in_a_second(starts):
    return max((sum(t <= u < t + 1 for u in starts) for t in starts), default=0)


def measure(build, options):
    rng, group = random.Random(options.seed), Group()
    with tempfile.TemporaryDirectory() as folder:
        group.write("memory.swappiness", 0)
        run = Run(build, group, options, folder)
        try:
            run.wait_ready(options.workers)
            neighbour = Neighbour(group)
            time.sleep(2)
            group.write("memory.limit_in_bytes", (group.held() + options.room * MIB) // 4096 * 4096)
            marks = [time.monotonic()]
            time.sleep(options.seconds)
            marks.append(time.monotonic())
            free, cycles = storm(run, neighbour, options, rng)
            marks.append(time.monotonic())
            time.sleep(options.seconds)
            marks.append(time.monotonic())
            calm, after = run.rate(marks[0], marks[1]), run.rate(marks[2], marks[3])
            rate, share = run.rate(marks[1], marks[2]), free / (marks[2] - marks[1])
            starts = run.starts(marks[1], marks[2])
            print(f"{build}: undisturbed {calm:.0f} documents/s; {cycles} storms in {marks[2] - marks[1]:.1f} s, memory free "
                  f"{share:.0%} of the time: {rate:.0f} documents/s, {rate / calm / share:.2f} of the undisturbed speed for "
                  f"that share, {after:.0f} afterwards; {len(starts)} starts, at most {most_in_a_second(starts)} within a second", flush=True)
            if options.full:
                full(run, neighbour, options)
            run.process.terminate() # by a signal: nobody waits for what is queued
            code = run.process.wait(120)
            deaths = run.events()[-1]["deaths"]
            print(f"{build}: exit {code}, deaths {deaths}; the kernel took the neighbour {neighbour.lost} times", flush=True)
        finally:
            run.ending.set()
            run.process.kill()
            neighbour.process.kill()
            run.process.wait()
            neighbour.process.wait()
            group.remove()


def full(run, neighbour, options):
    neighbour.tell(f"fill {run.ready()}")
    since = time.monotonic()
    time.sleep(options.full)
    until = time.monotonic()
    neighbour.tell("let go")
    freed = time.monotonic()
    run.wait_ready(1)
    first = min(run.starts(freed, time.monotonic()), default=0.0)
    starts = run.starts(since, until)
    print(f"full for {until - since:.0f} s: {len(starts)} starts; a worker ready {first:.2f} s after the room", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", action="append")
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--period", type=float, default=1.0)
    parser.add_argument("--hold", type=float, default=0.3)
    parser.add_argument("--full", type=float, default=0)
    parser.add_argument("--room", type=int, default=24, help="MiB that the group has left next to the run")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for build in options.build or [os.path.join(ROOT, "build")]:
        measure(build, options)


if __name__ == "__main__":
    main()
