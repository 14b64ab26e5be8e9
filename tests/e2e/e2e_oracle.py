"""The judge is judged: each thing that oracle.py is to notice is done to the evidence of a good run."""

import json
import os
import signal
import subprocess
import sys

import crew_kit
import harness
import memory_kit
import oracle


# Starts a sleep whose input is the named pipe; between clone and exec until somebody opens that for writing.
STARTS = """
import os, sys
os.posix_spawnp("sleep", ["sleep", "3600"], os.environ,
                file_actions=[(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)])
"""


class Looked(harness.Case):
    def test_a_child_before_its_exec(self):
        """Its memory is its parent's, which would count twice."""
        pipe = self.path("pipe")
        os.mkfifo(pipe)
        parent = subprocess.Popen([sys.executable, "-c", STARTS, pipe])
        self.addCleanup(parent.wait)
        self.addCleanup(parent.kill)
        child, = self.wait_for("a child", lambda: oracle.children(parent.pid))
        self.wait_for("its wait", lambda: oracle.stat_of(child)[1] == "S")
        self.assertEqual(memory_kit.look_at(child)[0], memory_kit.look_at(parent.pid)[0])
        self.assertEqual(oracle.started(parent.pid), [])
        with open(pipe, "wb"):
            self.assertEqual(self.wait_for("its start", lambda: oracle.started(parent.pid)), [child])
        os.kill(child, signal.SIGKILL)


class Condemned(harness.Case):
    """The rule of blame for kills, told as logs: the death of a worker that had one document alone (D), that of another
    (d), and the document's failure (F)."""

    DIED = {"event": "worker_died", "documents": 1}
    EVENTS = {"D": [DIED, {"event": "batch_requeued", "first": 7}], "d": [DIED, {"event": "batch_requeued", "first": 8}],
              "F": [{"event": "document_failed", "index": 7, "reason": f"ended 5 workers, {oracle.TRIAL} (killed)"}]}

    def wrong(self, story):
        found = []
        oracle.check_trials([dict(e) for letter in story for e in self.EVENTS[letter]], found)
        return found

    def test_guilty(self):
        for story in ("DDDDDF", "DDDDDDDF", "DdDdDDDDDF", "ddddDDDDDF", "DDDDDdF", "DDdDDdDDDF"):
            self.assertEqual(self.wrong(story), [], story)

    def test_a_storm(self):
        """Others died with it, each time or once too often; or it was not tried as often."""
        for story in ("F", "DDDDF", "DdDdDdDdDdF", "dDdDdDdDdDF", "DDDDdDF", "dddddddF"):
            self.assertIn("condemned for kills", "".join(self.wrong(story)), story)

    def test_other_failures(self):
        """Faults are condemned by another rule, and who did not fail by none."""
        self.assertEqual(self.wrong("DDD"), [])
        fault = self.EVENTS["F"][0] | {"reason": "ended 3 workers (segv, segv, segv)"}
        oracle.check_trials([fault], found := [])
        self.assertEqual(found, [])


class Noticed(crew_kit.CrewCase):
    def setUp(self):
        super().setUp()
        corpus = crew_kit.corpus(16, 12)
        self.reference, _ = crew_kit.reference("toy", corpus)
        marker = self.path("marker")
        self.run_ = self.job(corpus, workers=1, folder=crew_kit.programs(),
                            plan=f"seed=1;at=W4:1:segv:{marker}")
        self.run_.wait()
        verdict = self.run_.judge(reference=self.reference, kept=["marker"])
        self.assertIn("I9 ok: 1 deaths", str(verdict))

    def noticed(self, name, words="", **more):
        """That this invariant fails, and no other."""
        verdict = oracle.judge(self.run_.evidence(**({"reference": self.reference, "kept": ["marker"], "left_seconds": 0} | more)))
        self.assertEqual([line[:2] for line in verdict.failed], name.split(), str(verdict))
        self.assertIn(words, verdict.failed[0])

    def bytes(self, change):
        with open(self.run_.output, "rb") as file:
            data = file.read()
        with open(self.run_.output, "wb") as file:
            file.write(change(data))

    def events(self, change):
        events = oracle.read_events(self.run_.events_path)
        with open(self.run_.events_path, "w", encoding="utf-8") as file:
            file.write("".join(json.dumps(e) + "\n" for e in change(events)))

    def test_time(self):
        self.noticed("I1", deadline=0.0001)

    def test_a_bit(self):
        self.bytes(lambda data: data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
        self.noticed("I3", "the first is 15")

    def test_rows_that_changed_places(self):
        self.bytes(lambda data: data[:128] + data[256:384] + data[128:256] + data[384:])
        self.noticed("I3", "2 rows differ, the first is 0")

    def test_a_row_that_is_missing(self):
        self.bytes(lambda data: data[:128].replace(b"(16, 32)", b"(15, 32)") + data[128:-128])
        self.noticed("I2 I3", "15 rows of 16")

    def test_ids(self):
        path = self.run_.output + ".ids.jsonl"
        ids = oracle.read_json_lines(path)
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(json.dumps(i) + "\n" for i in [ids[1], *ids[1:]]))
        self.noticed("I2 I3", "lost (+) or doubled (-)")

    def test_a_failed_document_with_exit_0(self):
        self.file("out.npy.errors.jsonl", [{"index": 3}])
        self.noticed("I2 I3", "1 failed documents, and exit code 0")

    def test_a_process(self):
        left = subprocess.Popen(["sleep", "3600"], env=self.run_.env)
        self.addCleanup(left.wait)
        self.addCleanup(left.kill)
        self.noticed("I4", "sleep")

    def test_a_zombie(self):
        """An orphan that nobody reaped is handed to us."""
        subprocess.run(["sh", "-c", "sleep 0.1 & exit"], check=True)
        self.wait_for("a zombie", lambda: any((oracle.stat_of(pid) or "  ")[1] == "Z"
                                              for pid in oracle.children(os.getpid())))
        self.noticed("I4", "'Z'")
        self.reap()

    def test_files(self):
        for folder, name in [(self.dir, "out.npy.part"), *((f, "x") for f in self.run_.privacy.folders)]:
            path = os.path.join(folder, name)
            with open(path, "w", encoding="utf-8"):
                pass
            self.noticed("I5", name)
            os.unlink(path)

    def test_descriptors(self):
        self.noticed("I6", fd_counts=list(range(12, 60)))

    def test_an_oom_kill(self):
        if oracle.oom_kills() is None:
            self.skipTest("no counter of OOM kills here")
        self.noticed("I7", oom_expected=1)

    def test_an_exit_code(self):
        self.noticed("I8", "exit code 0", codes=(3,))

    def test_a_death_that_nobody_caused(self):
        self.noticed("I9", "what was done to it: []", faults={})

    def test_a_death_by_another_cause(self):
        pid = self.run_.deaths()[0]["pid"]
        self.noticed("I9", "died of segv", faults={pid: ["kill"]})

    def test_faults_that_nobody_told_of(self):
        pid = self.run_.deaths()[0]["pid"]
        self.noticed("I9", "have no death", faults={pid: ["segv"]} | {pid + i: ["kill"] for i in (1, 2, 3)})

    def test_sums(self):
        self.events(lambda events: [*events[:-1], events[-1] | {"deaths": {"segv": 2}}])
        self.noticed("I9", "run_finished tells of deaths")
        self.events(lambda events: [*events[:-1], events[-1] | {"deaths": {"segv": 1}, "documents": 15}])
        self.noticed("I9", "15 documents, not 16")
        self.events(lambda events: [*events[:-1], events[-1] | {"documents": 16, "batches_requeued": 0}])
        self.noticed("I9", "0 batches requeued")

    def test_a_batch_that_was_not_requeued(self):
        self.events(lambda events: [e for e in events if e["event"] != "batch_requeued"])
        self.noticed("I9", "gave []")

    def test_documents_missing_between_halves(self):
        def halved(events):
            for e in events:
                if e["event"] != "batch_requeued":
                    yield e | {"duplicates": 1} if e["event"] == "run_finished" else e
                    continue
                half = e["documents"] // 2
                yield e | {"documents": half}
                yield e | {"first": e["first"] + half + 2, "documents": e["documents"] - half}
        self.events(halved)
        self.noticed("I9", "2 apart, where 1 duplicates")

    def test_no_end(self):
        self.events(lambda events: events[:-1])
        self.noticed("I9", "does not end")

    def test_as_a_program(self):
        oracle_py = os.path.join(harness.ROOT, "tests", "e2e", "oracle.py")
        words = [sys.executable, oracle_py, "--out", self.run_.output, "--input", self.run_.input, "--reference",
                 self.reference, "--log", self.run_.events_path, "--faults", self.run_.faults_path, "--code"]
        good = subprocess.run([*words, "0"], stdout=subprocess.PIPE, check=False, text=True)
        self.assertEqual(good.returncode, 0, good.stdout)
        self.assertIn("I10 skip: ", good.stdout)
        for peak, says, code in ((1, "I10 ok: ", 0), (1 << 40, "I10 FAILED: ", 1)):
            seen = subprocess.run([*words, "0", "--peak", str(peak)], stdout=subprocess.PIPE, check=False, text=True)
            self.assertEqual(seen.returncode, code, seen.stdout)
            self.assertIn(says, seen.stdout)
        bad = subprocess.run([*words, "7"], stdout=subprocess.PIPE, check=False, text=True)
        self.assertEqual(bad.returncode, 1, bad.stdout)


if __name__ == "__main__":
    harness.main()
