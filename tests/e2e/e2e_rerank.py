"""rerank through the program: pairs of texts and their scores, as a job and as a list of the best.

That the scores are other libraries' is tests/model's; here a job, a list and a resumed run agree with each other
whatever is killed, and what does not fit is refused in a sentence."""

import json
import math
import os
import signal
import struct

import crew_kit
import harness

QUERY = "which time is it"


def options(*more):
    return ("rerank", "-m", crew_kit.model("cross"), "--progress", "none", *more)


class Scores:
    """A .npy of float32 scores, of one axis."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        size, = struct.unpack("<H", data[8:10])
        self.head = data[10:10 + size].decode("latin-1")
        self.values = [v for v, in struct.iter_unpack("<f", data[10 + size:])]


class Rerank(crew_kit.CrewCase):
    def pairs(self, n=300):
        rng = harness.chance("pairs")
        return [{"id": f"p{i}", "query": crew_kit.text(rng, i % 7, 4), "text": crew_kit.text(rng, i, i % 30)}
                for i in range(n)]

    def vecmill(self, *args, code=0, **more):
        return self.run_vecmill(*args, code=code, env=crew_kit.environment(), **more)

    def test_a_job_of_pairs(self):
        pairs = self.pairs()
        self.file("pairs.jsonl", pairs)
        self.vecmill(*options("-i", "pairs.jsonl", "-o", "scores.npy"))
        self.vecmill(*options("-i", "pairs.jsonl", "-o", "scores.jsonl", "--workers", "1", "--batch-tokens", "64"))
        npy, rows = Scores(self.path("scores.npy")), self.lines("scores.jsonl")
        self.assertIn("'shape': (300,)", npy.head)
        self.assertEqual([row["id"] for row in rows], [pair["id"] for pair in pairs])
        self.assertEqual([struct.pack("<f", row["score"]) for row in rows], [struct.pack("<f", v) for v in npy.values])
        self.assertTrue(all(0 < v < 1 for v in npy.values) and len(set(npy.values)) > 200)
        self.vecmill(*options("-i", "pairs.jsonl", "-o", "raw.npy", "--raw-scores"))
        for raw, score in zip(Scores(self.path("raw.npy")).values, npy.values):
            self.assertLess(abs(1 / (1 + math.exp(-raw)) - score), 1e-6)
        renamed = [{"q": pair["query"], "d": pair["text"]} for pair in pairs]
        self.file("renamed.json", json.dumps(renamed))
        self.vecmill(*options("-i", "renamed.json", "-o", "renamed.npy", "--query-field", "q", "--field", "d"))
        self.assertEqual(Scores(self.path("renamed.npy")).values, npy.values)

    def test_several_labels(self):
        pairs = self.pairs(40)
        self.file("pairs.jsonl", pairs)
        model = ("rerank", "-m", crew_kit.model("cross3"), "--progress", "none", "-i", "pairs.jsonl")
        self.vecmill(*model, "-o", "scores.npy")
        self.vecmill(*model, "-o", "scores.jsonl")
        npy = harness.Npy(self.path("scores.npy"))
        self.assertEqual((npy.n, npy.dim), (40, 3))
        for i, row in enumerate(self.lines("scores.jsonl")):
            self.assertEqual(list(row["scores"]), ["LABEL_0", "LABEL_1", "LABEL_2"])
            self.assertEqual(struct.pack("<3f", *row["scores"].values()), npy.raw(i))
        self.refused("3 scores for a pair", *model, "-q", "a", env=crew_kit.environment())

    def test_the_best_for_a_query(self):
        pairs = self.pairs(60)
        documents = [{"id": pair["id"], "text": pair["text"]} for pair in pairs]
        self.file("docs.jsonl", documents)
        self.file("same.jsonl", [{"query": QUERY, **document} for document in documents])
        self.vecmill(*options("-i", "same.jsonl", "-o", "same.jsonl.out.jsonl"))
        self.vecmill(*options("-i", "docs.jsonl", "-q", QUERY, "-o", "all.jsonl"))
        rows = self.lines("all.jsonl")
        self.assertEqual(rows, self.lines("same.jsonl.out.jsonl"))
        order = sorted(range(60), key=lambda i: (-rows[i]["score"], i))
        for k in 7, 60:
            found, = self.vecmill(*options("-i", "docs.jsonl", "-q", QUERY, "-k", str(k), "--json")).objects()
            self.assertEqual(found["query"], QUERY)
            self.assertEqual([hit["row"] for hit in found["hits"]], order[:k])
            for rank, (hit, i) in enumerate(zip(found["hits"], order)):
                self.assertEqual((hit["rank"], hit["id"], hit["text"]), (rank + 1, f"p{i}", documents[i]["text"]))
                self.assertLess(abs(hit["score"] - rows[i]["score"]), 1e-6)
        text = self.vecmill(*options("-i", "docs.jsonl", "-q", QUERY, "-k", "2")).out.decode().splitlines()
        self.assertEqual(text[0], "query: " + QUERY)
        self.assertTrue(text[1].startswith("   1 ") and f'"p{order[0]}"' in text[1], text)
        self.file("some.jsonl", json.dumps(documents[0]) + "\nno JSON\n")
        run = self.vecmill(*options("-i", "some.jsonl", "-q", QUERY, "--json"), code=3)
        self.assertEqual(len(run.objects()[0]["hits"]), 1)
        self.assertIn("document 1 of some.jsonl", run.err)

    def test_a_run_that_is_killed_goes_on(self):
        fed = crew_kit.Fed(self, words=20)
        extra = ("-q", QUERY)
        job = self.job(fed.path, "out.npy", model_name="cross", command="rerank", extra=extra)
        job.wait_until("rows", lambda: os.path.exists(job.output + ".part") and
                       os.path.getsize(job.output + ".part") > 2048)
        os.kill(job.named("worker_ready")[0]["pid"], signal.SIGKILL)
        job.wait_until("another worker", lambda: len(job.named("worker_ready")) == 3)
        job.wait_until("a checkpoint", job.checkpoints)
        os.kill(job.process.pid, signal.SIGKILL)
        job.wait()
        self.gone(job)
        fed.end(more=300)
        run = self.refused("another --field, --query", *options("-i", fed.path, "-q", "said", "-o", "out.npy", "--resume"),
                           env=crew_kit.environment())
        self.assertIn("--force", run.err)
        job = self.job(fed.path, "out.npy", model_name="cross", command="rerank", extra=(*extra, "--resume"))
        self.assertEqual(job.wait(), 0, job.stderr())
        self.vecmill(*options("-i", fed.path, "-o", "whole.npy", *extra, "--workers", "1"))
        self.assertEqual(self.read("out.npy"), self.read("whole.npy"))
        self.assertEqual(self.read("out.npy.ids.jsonl"), self.read("whole.npy.ids.jsonl"))

    def test_shards_are_the_whole(self):
        self.file("pairs.jsonl", self.pairs())
        for ending in ".npy", ".jsonl":
            names = [f"part-{i}{ending}" for i in range(3)]
            for i, name in enumerate(names):
                self.vecmill(*options("-i", "pairs.jsonl", "-o", name, "--shard", f"{i}/3"))
            self.vecmill("merge", *names, "-o", "all" + ending)
            self.vecmill(*options("-i", "pairs.jsonl", "-o", "one" + ending))
            self.assertEqual(self.read("all" + ending), self.read("one" + ending))

    def test_what_fails_has_no_score(self):
        lines = [{"query": "a", "text": "b"}, {"text": "b"}, {"query": "a"}, {"query": 7, "text": "b"},
                 {"query": "", "text": ""}]
        self.file("bad.jsonl", lines)
        run = self.vecmill(*options("-i", "bad.jsonl", "-o", "bad.npy"), code=3)
        self.assertIn("3 of 5 documents", run.err)
        self.assertEqual([math.isnan(v) for v in Scores(self.path("bad.npy")).values], [False, True, True, True, False])
        self.vecmill(*options("-i", "bad.jsonl", "-o", "bad.out.jsonl"), code=3)
        rows = self.lines("bad.out.jsonl")
        self.assertEqual([row["score"] is None for row in rows], [False, True, True, True, False])
        self.assertIn('no "query"', rows[1]["error"])
        self.assertIn('no "text"', rows[2]["error"])

    def test_what_does_not_fit_is_refused(self):
        self.file("pairs.jsonl", self.pairs(3))
        self.file("docs.txt", "a\nb\n")
        cross, toy = crew_kit.model("cross"), crew_kit.model("toy")
        for words, *args in (
                ("needs --query", "rerank", "-m", cross, "-i", "pairs.jsonl"),
                ("takes one query", *options("-i", "docs.txt", "-q", "a", "-q", "b")),
                ("pairs are read from JSON", *options("-i", "docs.txt", "-o", "o.npy")),
                ("and the key of queries", *options("-i", "pairs.jsonl", "-q", "a", "--query-field", "q", "-o", "o.npy")),
                ("vecmill rerank takes it", "embed", "-m", cross, "-i", "docs.txt", "-o", "o.npy"),
                ("score is asked for", "rerank", "-m", toy, "-i", "docs.txt", "-q", "a"),
                ("score is asked for", "rerank", "-m", toy, "-i", "pairs.jsonl", "-o", "o.npy"),
                ("long documents are to be split", *options("-i", "pairs.jsonl", "-o", "o.npy", "--long", "split")),
                ("dense is asked for", "embed", "-m", cross, "-i", "docs.txt", "-o", "o.npy", "--kinds", "dense")):
            self.refused(words, *args, env=crew_kit.environment())
        self.assertEqual([name for name in os.listdir(self.dir) if name.startswith("o.")], [])

    def test_the_plan_holds(self):
        run = self.vecmill("plan", "-m", crew_kit.model("cross"), "--workers", "2", "--try")
        self.assertIn("fits", run.out.decode())

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()


if __name__ == "__main__":
    harness.main()
