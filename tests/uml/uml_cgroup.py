#!/usr/bin/env python3
"""The program under cgroup v2, for real: in a guest (uml_kit.py) whose kernel has the memory controller, limits
are lowered under a run of embed, its memory is eaten up by others, it is throttled, and it is killed as a
group. What is done is in scenes.sh; here it is judged, by the oracle and by what the kernel counted: the
output is byte for byte that of this machine's own run with AVX2, and every death is named for what it was.

One boot plays all scenes; with names of tests as arguments, only theirs. Skipped (77), with the reason, where
no guest can be had. With VECMILL_TEST_LONG the limits bind for longer than any deadline of the program's, and
the real model is put through all of it."""

import collections
import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import crew_kit
import harness
import oracle
import uml_kit

DOCS, WORDS = 800, 110                          # 1.5 s of work for the toy, in a guest
REAL_DOCS, REAL_WORDS = 60, 60
SCENE_SECONDS = 240                             # a deadline, ten times what a scene takes
GUEST_SECONDS = harness.form(420, 900)
PROGRAMS = os.path.join(harness.BUILD, "tests", "uml")
MIB = 1 << 20

stage = None


class Stage:
    """What the scenes are played on: models, corpora, references by the host, and the guest."""

    def __init__(self, scenes):
        self.inputs, self.references = {}, {}
        self.prepare("", crew_kit.model("slow"), crew_kit.corpus(DOCS, WORDS))
        if any(name.startswith("real-") for name in scenes):
            self.prepare("real_", harness.REAL_MODEL, crew_kit.corpus(REAL_DOCS, REAL_WORDS))
        self.fault = None
        folder = os.path.join(harness.home(), "guest")
        self.guest = uml_kit.Guest(folder, os.path.join(HERE, "scenes.sh"),
                                   [os.path.join(PROGRAMS, name) for name in ("poweroff", "eat")])
        variables = {"vecmill": harness.VECMILL, "VECMILL_ISA": "avx2", "HF_HUB_OFFLINE": "1",
                     "HOME": folder, "VECMILL_CACHE": os.path.join(folder, "cache"),
                     "throttled_seconds": harness.form(4, 25),
                     "thrashing_seconds": 25, "lowered_seconds": 3}
        for prefix, (model, path) in self.inputs.items():
            variables |= {prefix + "model": model, prefix + "input": path}
        try:
            self.guest.run(scenes, SCENE_SECONDS, GUEST_SECONDS, **variables)
        except AssertionError as fault:
            self.fault = str(fault)

    def prepare(self, prefix, model, path):
        """The corpus, also in two parts, and the host's vectors of it."""
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()
        parts = {".first": lines[:len(lines) * 4 // 5], ".rest": lines[len(lines) * 4 // 5:]}
        for ending, part in parts.items():
            with open(path + ending, "w", encoding="utf-8") as file:
                file.writelines(part)
        self.inputs[prefix] = model, path
        self.references[prefix] = os.path.join(harness.home(), f"reference-{prefix}avx2.npy")
        subprocess.run([harness.VECMILL, "embed", "-m", model, "-i", path, "-o", self.references[prefix],
                        "--workers", "2", "--progress", "none"], check=True, timeout=harness.WAIT_SECONDS,
                       env=harness.environment(VECMILL_ISA="avx2"))


class Scene:
    """What a scene left."""

    def __init__(self, case, name):
        self.case, self.name = case, name
        self.prefix = "real_" if name.startswith("real-") else ""
        said = "; ".join(stage.guest.text(name, file)[-1500:] for file in ("log", "stderr"))
        case.assertEqual(stage.guest.text(name, "status"), "0",
                         f"{name} was not played to its end: {said}; {stage.fault or ''}")
        self.figures = collections.defaultdict(list)
        for line in stage.guest.text(name, "figures").splitlines():
            key, _, value = line.partition(" ")
            self.figures[key].append(value)
        begun, ended = map(float, stage.guest.text(name, "times").split())
        self.seconds = ended - begun

    def number(self, name, i=-1):
        return int(self.figures[name][i])

    def mib(self, name, i=-1):
        return self.number(name, i) / MIB

    def events(self, name="events.jsonl"):
        return oracle.read_events(stage.guest.path(self.name, name))

    def deaths(self):
        return [e for e in self.events() if e["event"] == "worker_died"]

    def judge(self, cause=None, faults=None):
        """Complete, identical, and everything that it tells of itself explained; every death by this cause."""
        deaths = self.deaths()
        self.case.assertEqual({e["cause"] for e in deaths}, {cause} if cause else set())
        verdict = oracle.judge(oracle.Run(
            output=stage.guest.path(self.name, "out.npy"), input=stage.inputs[self.prefix][1],
            reference=stage.references[self.prefix], events=stage.guest.path(self.name, "events.jsonl"),
            code=self.number("code"), stderr=stage.guest.text(self.name, "stderr"),
            faults=faults if faults is not None else {e["pid"]: ["OOM"] for e in deaths},
            seconds=self.seconds, deadline=SCENE_SECONDS))
        self.case.assertFalse(verdict.failed, f"{self.name}: {verdict}")
        for judged in ("I2", "I3", "I8", "I9"):
            self.case.assertTrue(any(line.startswith(judged + " ok") for line in verdict.lines), str(verdict))
        self.case.assertEqual(set(self.figures["left"]), {"0"}, "processes were left in the group")
        left = [n for n in os.listdir(stage.guest.path(self.name)) if n.endswith((".part", ".journal"))]
        self.case.assertEqual(left, [])
        return deaths

    def tell(self, text):
        print(f"{self.name}: {text}; peak {self.mib('peak'):.1f} MiB, {self.seconds:.1f} s")

    def fate(self):
        finished = self.events()[-1]
        return (f"exit 0, identical, {finished['documents']} documents, deaths {finished['deaths']}, "
                f"{finished['batches_requeued']} batches again, oom_kill {self.number('oom_kill')}")


class Cgroup(unittest.TestCase):
    prefix = ""

    def play(self, name):
        return Scene(self, self.prefix + name)

    def test_guest_ends(self):
        """The guest powered off by itself, and nothing of it is left."""
        self.assertIsNone(stage.fault)
        names = sorted(os.listdir(stage.guest.folder))
        self.assertNotIn("uml", names)
        print(f"guest: {stage.guest.seconds:.1f} s from boot to power-off")

    @harness.long_form("each of the others comes to its end too, 4 s")
    def test_generous(self):
        scene = self.play("generous")
        self.assertEqual(scene.judge(), [])
        self.assertEqual(scene.number("oom_kill"), 0)
        scene.tell(f"memory.max 400 MiB: {scene.fate()}")

    def killed_for_memory(self, scene, least):
        """Workers, and no other process, were killed for want of memory; that is how it is told, too."""
        deaths = scene.judge("oom")
        kills = scene.number("oom_kill")
        self.assertGreaterEqual(kills, least)
        # One that was idle and sent home already may be killed unseen; none is told of that was not.
        self.assertGreaterEqual(kills, len(deaths))
        self.assertGreater(len(deaths), 0)

    def test_ballast(self):
        scene = self.play("ballast")
        self.killed_for_memory(scene, 2)
        eaten = " and ".join(scene.figures["eaten"])
        scene.tell(f"memory.max {scene.mib('room'):.0f} MiB over the {scene.mib('before'):.1f} MiB in use, others ate {eaten} MiB: "
                   f"{scene.fate()}")

    @harness.long_form("an OOM kill as in test_ballast, 6 s")
    def test_lowered(self):
        scene = self.play("lowered")
        self.assertLess(scene.number("limit"), scene.number("before"))
        self.killed_for_memory(scene, 1)
        scene.tell(f"memory.max lowered from {scene.mib('before'):.1f} MiB in use to {scene.mib('limit'):.1f}: "
                   f"{scene.fate()}")

    def held_down(self, name):
        """Slow is not late: no worker is killed for a hang that is the kernel's doing."""
        scene = self.play(name)
        self.assertLess(scene.number("limit"), scene.number("before"))
        self.assertGreater(scene.number("high"), 0, "memory.high did not bind")
        victims = [int(pid) for pid in scene.figures["victim"]]
        deaths = scene.judge("killed" if victims else None, faults={pid: ["KILL"] for pid in victims})
        self.assertEqual([e["pid"] for e in deaths], victims)
        self.assertEqual(scene.number("oom_kill"), 0)
        scene.tell(f"memory.high {scene.mib('limit'):.1f} MiB of {scene.mib('before'):.1f} in use: "
                   f"workers seen held in {scene.number('held')} of {scene.number('looks')} looks, high "
                   f"{scene.number('high')}, {scene.number('faults')} major faults, {scene.fate()}")

    def test_throttled(self):
        self.held_down("throttled")

    @harness.long_form("a worker that is held up as in test_throttled, 14 s")
    def test_thrashing(self):
        self.held_down("thrashing")

    def test_group(self):
        """memory.oom.group: all of it dies, and the next run goes on."""
        scene = self.play("group")
        self.assertEqual(scene.number("code", 0), 128 + 9)
        # Whoever its supervisor's end reached first is not counted, and the first victim counts twice.
        self.assertGreaterEqual(scene.number("oom_group_kill", 0), 1)
        self.assertGreaterEqual(scene.number("oom_kill", 0), 1)
        self.assertNotIn("run_finished", [e["event"] for e in scene.events("events-killed.jsonl")])
        self.assertEqual(scene.judge(), [])
        self.assertEqual(scene.number("oom_kill"), 0)
        resumed = scene.events()[-1]["resumed"]
        self.assertGreater(resumed, 0)
        scene.tell(f"killed as a group (oom_kill {scene.number('oom_kill', 0)}); resumed behind {resumed} "
                   f"documents in a larger one: {scene.fate()}")

    def test_ancestor(self):
        """The tightest limit is an ancestor's: it is named, a run that would not fit under it is refused, and
        one that just fits is not killed."""
        scene = self.play("ancestor")
        wide, tight, fits, doctor = (json.loads(stage.guest.text(scene.name, name + ".json"))
                                     for name in ("wide", "tight", "fits", "doctor"))
        source = "cgroup v2 memory.max, 1 up"
        self.assertEqual((wide["limit_bytes"], wide["limit_source"], wide["fits"]),
                         (400 * MIB, "cgroup v2 memory.max", True))
        limit = scene.number("tight")
        self.assertEqual(scene.figures["plan"], ["0", "5", "0"])
        self.assertEqual((tight["limit_bytes"], tight["limit_source"], tight["fits"]), (limit, source, False))
        self.assertEqual((fits["limit_source"], fits["fits"]), (source, True))
        self.assertEqual((doctor["cgroup_version"], doctor["memory_limit"], doctor["memory_limit_source"]),
                         (2, limit, source))
        # Refused: in one sentence that names the limit, before anything was begun.
        self.assertEqual(scene.number("code", 0), 5)
        self.assertIn(source, stage.guest.text(scene.name, "stderr-refused"))
        self.assertEqual([(e["event"], e["exit"]) for e in scene.events("events-refused.jsonl")],
                         [("run_finished", 5)])
        self.assertNotIn("out.npy", stage.guest.text(scene.name, "left"))
        self.assertEqual(scene.judge(), [])
        self.assertEqual(scene.number("oom_kill"), 0)
        scene.tell(f"{scene.mib('whole'):.1f} MiB planned, reserve included; {scene.mib('tight'):.1f} by {source}: "
                   f"exit 5; {fits['limit_bytes'] / MIB:.1f}: {scene.fate()}")


@harness.long_form("the same scenes with the real model, 15 s and more")
class RealModel(Cgroup):
    """The same with the real model."""

    prefix = "real-"

    def setUp(self):
        if not harness.REAL_MODEL:
            self.skipTest(harness.NO_REAL_MODEL)

    test_guest_ends = None # as it is above


def chosen():
    """The scenes of the tests that are named, in the order in which they are defined; what they stand on
    comes first."""
    scenes = []
    for case in (Cgroup, RealModel):
        wanted = [name for name in dir(case) if name.startswith("test_") and name != "test_guest_ends"]
        if case is RealModel and not harness.REAL_MODEL:
            wanted = []
        named = [word for word in sys.argv[1:] if word.startswith(case.__name__)]
        if sys.argv[1:]:
            wanted = [n for n in wanted if case.__name__ in named or f"{case.__name__}.{n}" in named]
        wanted = [n for n in wanted if getattr(case, n) and not harness.is_left(case, n)]
        if wanted:
            scenes += [case.prefix + name for name in ("pack", *(n.removeprefix("test_") for n in wanted))]
    return scenes


def main():
    global stage
    try:
        uml_kit.require()
        stage = Stage(chosen())
    except uml_kit.Missing as reason:
        print(f"skipped: {reason}")
        harness.leave()
        sys.exit(77)
    except BaseException:
        harness.leave()
        raise
    harness.main()


if __name__ == "__main__":
    main()
