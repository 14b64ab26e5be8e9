#!/usr/bin/env python3
"""Kills the workers of one job, hundreds of times and in every way, and has the oracle judge the result.

    nemesis.py [--seed S] [--documents N] [--words W] [--model slow|slower] [--workers 2] [--kills K]
               [--supervisor SECONDS]

Two kinds of faults at once. Inside: the hooked worker (tests/hooked/hooks.c) draws faults at its phases:
kills, kills in the middle of computing, half frames, nonsense, real SIGSEGV and its like, exits, stops.
Outside: a seeded Poisson process sends random workers SIGKILL, SIGSEGV, SIGSTOP (some are continued in
time), SIGTERM and the rest. Its rate follows the job's progress, so that the last of K deaths comes before
the last document; where the job was too short all the same, it is run again with the next seed until K
deaths have come together. --supervisor: SIGKILL to the supervisor too, after so many seconds on average,
and then --resume.

The seed fixes what is drawn, not when the kernel runs whom: a second run with it is alike, not the same.
Ends with one line of figures. Exit 1 when an invariant failed. The build is $VECMILL_BUILD.
"""

import argparse
import collections
import math
import random
import signal
import sys
import time

import crew_kit
import harness
import memory_kit
import oracle

# Weights. A stopped worker is waited for two seconds at least, so stops are few.
OUTSIDE = {"KILL": 20, "SEGV": 4, "BUS": 1, "ILL": 1, "FPE": 1, "ABRT": 2, "USR1": 1, "QUIT": 1, "STOP": 1,
           "TERM": 2, "INT": 2, "HUP": 2}
INSIDE = "kill*6,kill-in-compute*12,half*6,garbage*3,double*2,half-exit*2,exit0*2,exit77,segv*3,bus,ill," \
         "fpe,abort*2"
INSIDE_RATE = 0.06
STOPS_INSIDE = ",stop"
RATE_LEAST, RATE_MOST = 0.5, 40.0 # kills a second from outside
MARGIN = 1.1 # deaths aimed at, of those wanted: the last documents may be quick


class Poisson:
    """Who is hit next, by what, and when."""

    def __init__(self, rng, rate):
        self.rng, self.rate = rng, rate
        self.base = rate
        self.next = time.monotonic() + rng.expovariate(rate)
        self.stopped = {} # pid: when it is continued, or None

    def adjust(self, behind):
        """Faster the more deaths are missing to those that should have been by now."""
        self.rate = min(RATE_MOST, max(RATE_LEAST, self.base * math.exp(behind / 10)))

    def strike(self, job):
        """Whatever is due."""
        now = time.monotonic()
        for pid, until in list(self.stopped.items()):
            if until is not None and now > until:
                job.send(pid, "CONT")
            if until is None or now > until:
                if until is not None or oracle.stat_of(pid) is None:
                    del self.stopped[pid]
        if now < self.next:
            return
        self.next = now + self.rng.expovariate(self.rate)
        name = self.rng.choices(list(OUTSIDE), OUTSIDE.values())[0]
        # Who is stopped is left alone, or nobody would ever hang until the deadline.
        workers = [pid for pid in job.workers() if (oracle.stat_of(pid) or "  ")[1] != "T"]
        if not workers or (name == "STOP" and self.stopped):
            return
        pid = self.rng.choice(workers)
        # A worker is tied to its supervisor some milliseconds after its start. Stopped for ever before that,
        # it would outlive a supervisor that is killed.
        if name == "STOP" and pid not in {e["pid"] for e in job.named("worker_ready")}:
            return
        if job.send(pid, name) and name == "STOP":
            # Half of them come back within the two seconds that every batch may take.
            self.stopped[pid] = now + self.rng.uniform(0.05, 1.0) if self.rng.random() < 0.5 else None


class Nemesis(crew_kit.CrewCase):
    """One job under faults; not a test by itself."""

    def runTest(self):
        pass

    def watch(self, job, poisson, n, want, until):
        """Strikes until the run ends, or until `until`; True when it ended."""
        ticks, zombies = 0, {}
        while job.process.poll() is None and time.monotonic() < until:
            poisson.strike(job)
            ticks += 1
            if ticks % 10 == 0:
                deaths = self.deaths_before + len(job.deaths())
                poisson.adjust(want * MARGIN * (job.progress() + 1) / n - deaths)
                job.count_descriptors()
                self.look_for_zombies(job, zombies)
            time.sleep(0.003)
        return job.process.poll() is not None

    def look_for_zombies(self, job, zombies):
        """A child that is dead, and never reaped."""
        now = time.monotonic()
        dead = {pid for pid in oracle.children(job.process.pid) if (oracle.stat_of(pid) or "  ")[1] == "Z"}
        for pid in dead:
            self.assertLess(now - zombies.setdefault(pid, now), harness.WAIT_SECONDS, f"worker {pid} is a zombie")
        for pid in set(zombies) - dead:
            del zombies[pid]

    def run_once(self, seed, o, want):
        """A job from its beginning to its end, with as many runs as the supervisor was killed."""
        rng = random.Random(seed)
        corpus = crew_kit.corpus(o.documents, o.words)
        reference, _ = crew_kit.reference(o.model, corpus)
        plan = f"seed={seed};rate={o.inside_rate};kinds={INSIDE}{STOPS_INSIDE if o.stops else ''}"
        poisson = Poisson(rng, o.rate)
        self.deaths_before, kills, began = 0, 0, time.monotonic()
        while True:
            job = self.job(corpus, f"out-{seed}.npy", o.model, o.workers, crew_kit.programs(), plan,
                           ("--progress", "json") + (("--resume",) if kills else ()), deadline=o.deadline)
            looks = None if crew_kit.SANITIZED else memory_kit.Sampler(job.process.pid)
            gap = rng.uniform(0.5, 1.5) * o.supervisor if o.supervisor else o.deadline
            ended = self.watch(job, poisson, o.documents, want, time.monotonic() + gap)
            if ended or not o.supervisor:
                break
            job.process.kill()
            if job.wait() != -signal.SIGKILL: # it had just come to its own end
                break
            kills += 1
            self.tell(job)
            self.gone(job)
            job.judge(codes=(-9,), killed=True, resumable=True, peak=looks and looks.stop().peak)
            self.deaths_before += len(job.deaths())
        job.wait(max(1.0, o.deadline - (time.monotonic() - began)))
        self.tell(job)
        verdict = job.judge(reference=reference, peak=looks and looks.stop().peak)
        return verdict, job, kills, time.monotonic() - began

    def tell(self, job):
        """Adds what a run counted to the figures."""
        for e in job.deaths():
            self.causes[e["cause"]] += 1
        self.requeued += len([e for e in job.deaths() if e["documents"] > 0])
        died = None
        for e in job.named("worker_died", "worker_ready"):
            if e["event"] == "worker_died":
                died = e["t_ms"] if died is None else died
            elif died is not None:
                self.waits.append(e["t_ms"] - died)
                died = None

    def run_all(self, o):
        """Runs until so many have died; returns the line of figures."""
        self.causes, self.requeued, self.waits = collections.Counter(), 0, []
        runs = kills = 0
        seconds = 0.0
        while runs == 0 or sum(self.causes.values()) < o.kills:
            print(f"nemesis: seed {o.seed + runs}, {o.documents} documents, {o.workers} workers, "
                  f"{o.kills} deaths wanted", flush=True)
            verdict, _, k, s = self.run_once(o.seed + runs, o, o.kills - sum(self.causes.values()))
            print(verdict, flush=True)
            runs, kills, seconds = runs + 1, kills + k, seconds + s
            self.assertLess(runs, 20, "the job is too short for so many deaths")
        _, undisturbed = crew_kit.reference(o.model, crew_kit.corpus(o.documents, o.words))
        n = sum(self.causes.values())
        causes = ", ".join(f"{cause} {k}" for cause, k in self.causes.most_common())
        waits = sorted(self.waits) or [0]
        return (f"nemesis: seed {o.seed}, {runs} job{'s' * (runs > 1)} of {o.documents} documents, "
                f"{o.workers} workers: {n} deaths of workers ({causes}), {self.requeued} batches computed "
                f"again, {kills} kills of the supervisor; {seconds:.1f} s, undisturbed "
                f"{runs * undisturbed:.1f} s; a death to the next ready worker: p50 "
                f"{waits[len(waits) // 2]} ms, p99 {waits[len(waits) * 99 // 100]} ms; 0 lost, 0 doubled, "
                f"bytes identical")


def options(words=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=harness.SEED)
    parser.add_argument("--documents", type=int, default=10000)
    parser.add_argument("--words", type=int, default=100)
    parser.add_argument("--model", default="slow")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--supervisor", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--rate", type=float, default=16, help="kills a second from outside, at first")
    parser.add_argument("--inside-rate", type=float, default=INSIDE_RATE)
    parser.add_argument("--no-stops", dest="stops", action="store_false", help="no SIGSTOP from inside")
    parser.add_argument("--deadline", type=float, default=1500)
    return parser.parse_args(words)


def run(words):
    """The line of figures of a run with these options."""
    case = Nemesis()
    case.setUpClass()
    case.setUp()
    line = case.run_all(options(words))
    case.tearDown()
    return line


if __name__ == "__main__":
    try:
        print(run(sys.argv[1:]))
    except AssertionError as e:
        print(f"nemesis: FAILED: {e}")
        sys.exit(1)
    finally:
        harness.leave()
