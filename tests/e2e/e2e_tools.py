"""search, tokenize, models, pull, doctor."""

import array
import json
import math
import os
import shutil
import struct
import subprocess

import harness


def write_npy(path, rows, dim, version=1, header=None):
    head = header or "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (len(rows), dim)
    size = struct.calcsize("<H" if version == 1 else "<I")
    head = head.encode()
    head += b" " * (-(len(head) + 1 + 8 + size) % 64) + b"\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY" + bytes([version, 0]))
        file.write(struct.pack("<H" if version == 1 else "<I", len(head)) + head)
        for row in rows:
            file.write(array.array("f", row).tobytes())


class Search(harness.Case):
    DOCUMENTS = ["a cat sits on the mat", "rivers run to the sea", "mail servers", "", "a cat sits",
                 "a cat sits on the mat", "bad"]

    def search(self, *args, **more):
        return self.run_vecmill("search", "-m", harness.toy_model(), "-i", "v.npy", *args, **more)

    def make(self):
        lines = [{"id": f"d{i}", "text": text} for i, text in enumerate(self.DOCUMENTS)]
        del lines[6]["text"]  # a zero row
        self.file("in.jsonl", lines)
        self.embed("-i", "in.jsonl", "-o", "v.npy", code=3)
        npy = harness.Npy(self.path("v.npy"))
        return [npy.row(i) for i in range(npy.n)]

    def test_the_best_first_by_cosine(self):
        rows = self.make()
        answer, = self.search("-q", self.DOCUMENTS[1], "--json").objects()
        self.assertEqual(answer["query"], self.DOCUMENTS[1])
        hits = answer["hits"]
        self.assertEqual(hits[0]["row"], 1)
        self.assertAlmostEqual(hits[0]["score"], 1, places=5)
        self.assertEqual(hits[0]["id"], "d1")
        self.assertEqual([hit["rank"] for hit in hits], list(range(1, 7)))
        self.assertNotIn(6, [hit["row"] for hit in hits], "a zero row is never shown")
        for hit in hits:
            want = math.fsum(x * y for x, y in zip(rows[hit["row"]], rows[1]))
            self.assertAlmostEqual(hit["score"], want, places=4)
        self.assertEqual(hits, sorted(hits, key=lambda hit: (-hit["score"], hit["row"])))

    def test_equal_scores_by_row(self):
        self.make()
        answer, = self.search("-q", self.DOCUMENTS[0], "-k", "2", "--json").objects()
        self.assertEqual([hit["row"] for hit in answer["hits"]], [0, 5])

    def test_several_queries_and_stdin(self):
        self.make()
        both = self.search("-q", "mail", "-q", "cat", "--json", "-k", "3").out
        self.assertEqual(self.search("-q", "-", "--json", "-k", "3", stdin=b"mail\ncat\n").out, both)
        self.assertEqual(len(both.splitlines()), 2)

    def test_table(self):
        self.make()
        out = self.search("-q", "mail servers", "-k", "1", "--texts", "in.jsonl").out.decode()
        self.assertRegex(out, r"^query: mail servers\n +1 +1\.0000  row 2  \"d2\"  mail servers\n$")

    def test_control_characters_of_ids_do_not_reach_the_terminal(self):
        self.make()
        self.file("v.npy.ids.jsonl", '"a\u009bb\x7fc"\n' * len(self.DOCUMENTS))
        out = self.search("-q", "cat", "-k", "1").out.decode()
        self.assertIn('"a b c"', out)

    def test_texts(self):
        self.make()
        answer, = self.search("-q", "cat", "--texts", "in.jsonl", "--json").objects()
        for hit in answer["hits"]:
            self.assertEqual(hit["text"], self.DOCUMENTS[hit["row"]])
            self.assertFalse(hit["cut"])
        self.search("-q", "cat", "--texts", "missing.jsonl", code=8)

    def test_without_ids(self):
        self.embed("-i", "-", "-o", "v.npy", stdin=b"one\ntwo\n")
        answer, = self.search("-q", "two", "--json", "-k", "1").objects()
        self.assertEqual((answer["hits"][0]["row"], answer["hits"][0]["id"]), (1, None))

    def test_rows_of_every_dtype(self):
        """Scores by their definition, in Python, from the bytes of the file."""
        texts = [f"{word} number {i}" for i in range(50) for word in ("cat", "river", "mail")]
        self.file("in.jsonl", [{"text": text} for text in texts] + [{"id": "bad"}])
        self.file("q.txt", "a cat and a river")
        self.embed("-i", "q.txt", "-o", "q.npy")
        query = list(harness.Npy(self.path("q.npy")).row(0))
        length = math.sqrt(math.fsum(x * x for x in query))

        def cosine(row):
            dot = math.fsum(x * y for x, y in zip(query, row))
            return dot / length / math.sqrt(math.fsum(x * x for x in row))

        def signs(raw, flip):
            bits = "".join(format(byte ^ flip, "08b") for byte in raw)[:len(query)]
            return [1 if bit == "1" else -1 for bit in bits]

        def hits(*args):
            answer, = self.search("-q", "a cat and a river", "--json", *args).objects()
            return [(hit["row"], hit["score"]) for hit in answer["hits"]]

        def check(found, scores, top):
            want = sorted(scores, key=lambda row: (-scores[row], row))[:top]
            self.assertEqual(len(found), len(want))
            for (row, score), best in zip(found, want):
                self.assertAlmostEqual(score, scores[row], places=5)
                self.assertAlmostEqual(score, scores[best], places=5)
            self.assertEqual(found, sorted(found, key=lambda hit: (-hit[1], hit[0])))

        for dtype in "float16", "int8", "uint8", "binary", "ubinary":
            self.embed("-i", "in.jsonl", "-o", "v.npy", "--dtype", dtype, code=3)
            npy = harness.Npy(self.path("v.npy"))
            raw = [npy.raw(i) for i in range(len(texts))]
            self.assertTrue(npy.is_zero(len(texts)), "the last, which failed, is never shown")
            if dtype == "float16":
                check(hits("-k", "20"), dict(enumerate(cosine(struct.unpack(f"<{npy.dim}e", row)) for row in raw)), 20)
            elif dtype.endswith("int8"):
                ranges = harness.Npy(self.path("v.npy.ranges.npy"))
                lo, hi = list(ranges.row(0)), list(ranges.row(1))
                flip = 128 if dtype == "int8" else 0
                rows = [[a + ((byte ^ flip) + 0.5) * ((b - a) / 255 or 1) for byte, a, b in zip(row, lo, hi)]
                        for row in raw]
                scores = dict(enumerate(map(cosine, rows)))
                check(hits("-k", "20"), scores, 20)
                os.rename(self.path("v.npy.ranges.npy"), self.path("r.npy"))
                self.refused(["v.npy holds " + dtype, "no v.npy.ranges.npy"], "search", "-m", harness.toy_model(),
                             "-i", "v.npy", "-q", "x", code=8)
                check(hits("-k", "20", "--ranges", "r.npy"), scores, 20)
                self.refused(["--rescore says nothing of the " + dtype], "search", "-m", harness.toy_model(), "-i",
                             "v.npy", "-q", "x", "--ranges", "r.npy", "--rescore", code=2)
            else:
                flip = 128 if dtype == "binary" else 0
                own = [1 if x > 0 else -1 for x in query]
                rows = [signs(row, flip) for row in raw]
                near = {i: sum(x * y for x, y in zip(own, row)) / len(own) for i, row in enumerate(rows)}
                check(hits("-k", "20"), near, 20)
                best = sorted(near, key=lambda row: (-near[row], row))[:4 * 5]
                check(hits("-k", "5", "--rescore"), {i: cosine(rows[i]) for i in best}, 5)
                self.refused(["--ranges says nothing of the " + dtype], "search", "-m", harness.toy_model(), "-i",
                             "v.npy", "-q", "x", "--ranges", "r.npy", code=2)
        self.embed("-i", "in.jsonl", "-o", "v.npy", "--dtype", "int8", "--dimensions", "12", code=3)
        self.refused(["rows of 12 bytes", "makes 32 floats", "or 4 of bits"], "search", "-m", harness.toy_model(), "-i",
                     "v.npy", "-q", "x", code=8)

    def test_many_rows_through_the_heap(self):
        dim = len(self.make()[0])
        query = harness.Npy(self.path("v.npy")).row(1)
        rows = [[((i * 7919 + j * 104729) % 1009) / 1009 - 0.5 for j in range(dim)] for i in range(3000)]
        rows[17] = [float("nan")] * dim
        rows[18] = [float("inf")] * dim
        rows[19] = [0.0] * dim
        os.remove(self.path("v.npy.ids.jsonl"))
        write_npy(self.path("v.npy"), rows, dim)
        answer, = self.search("-q", self.DOCUMENTS[1], "-k", "1000", "--json").objects()

        def cosine(row):
            return math.fsum(x * y for x, y in zip(row, query)) / math.sqrt(
                math.fsum(x * x for x in row) * math.fsum(x * x for x in query))
        want = sorted(((cosine(row), i) for i, row in enumerate(rows) if not 17 <= i <= 19), reverse=True)
        self.assertEqual(len(answer["hits"]), 1000)
        for hit, (score, _) in zip(answer["hits"], want):
            self.assertAlmostEqual(hit["score"], score, places=5)

    def test_another_dimension(self):
        write_npy(self.path("v.npy"), [[1.0, 2.0, 3.0]], 3)
        run = self.search("-q", "a", code=8)
        self.assertRegex(run.err, r"v\.npy holds rows of 3 floats, the model .* makes \d+")

    def test_bad_files(self):
        self.refused("v.npy", "search", "-i", "v.npy", "-q", "a", code=8)
        for content in (b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{", b"no numbers at all" * 50):
            self.file("v.npy", content)
            self.refused("v.npy", "search", "-i", "v.npy", "-q", "a", code=8)
        for header in ("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }",
                       "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }",
                       "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999), }",
                       "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"):
            write_npy(self.path("v.npy"), [[1.0, 2.0]], 2, header=header)
            self.refused("v.npy", "search", "-i", "v.npy", "-q", "a", code=8)

    def test_empty_file_of_vectors(self):
        dim = len(self.make()[0])
        write_npy(self.path("v.npy"), [], dim)
        answer, = self.search("-q", "a", "--json").objects()
        self.assertEqual(answer["hits"], [])


class LateSearch(harness.Case):
    """Documents of several rows: vectors of all tokens."""

    TEXTS = ["a cat sits on the mat", "rivers run to the sea", "mail", "", "a cat sits on the mat", "bad"]

    def rows_of(self, name):
        npy = harness.Npy(self.path(name))
        with open(self.path(name + ".offsets.npy"), "rb") as file:
            data = file.read()
        starts = struct.unpack(f"<{(len(data) - 128) // 8}q", data[128:])
        return [[npy.row(i) for i in range(a, b)] for a, b in zip(starts, starts[1:])]

    def make(self):
        lines = [{"id": f"d{i}", "text": text} for i, text in enumerate(self.TEXTS)]
        del lines[5]["text"]
        self.file("in.jsonl", lines)
        self.embed("-i", "in.jsonl", "-o", "v.npy", "--kinds", "tokens", code=3)
        return self.rows_of("v.npy")

    def search(self, *args, **more):
        return self.run_vecmill("search", "-m", harness.toy_model(), "-i", "v.npy", *args, **more)

    def test_the_best_first_by_maxsim(self):
        documents = self.make()
        self.assertEqual(documents[5], [])
        self.file("q.jsonl", [{"text": text} for text in self.TEXTS[:5]])
        self.embed("-i", "q.jsonl", "-o", "q.npy", "--kinds", "tokens")
        for text, query in zip(self.TEXTS, self.rows_of("q.npy")):
            answer, = self.search("-q", text, "--json").objects()
            hits = answer["hits"]
            self.assertEqual([hit["rank"] for hit in hits], [1, 2, 3, 4, 5], "what has no rows is never shown")
            for hit in hits:
                want = sum(max(math.fsum(x * y for x, y in zip(q, row)) for row in documents[hit["row"]]) for q in query)
                self.assertAlmostEqual(hit["score"], want, delta=1e-5 * (1 + abs(want)))
                self.assertEqual(hit["id"], f"d{hit['row']}")
            self.assertEqual(hits, sorted(hits, key=lambda hit: (-hit["score"], hit["row"])))
            again, = self.search("-q", text, "--json", "--kinds", "tokens", "--threads", "2").objects()
            self.assertEqual(again["hits"], hits)
        equal, = self.search("-q", self.TEXTS[0], "-k", "3", "--json", "--texts", "in.jsonl").objects()
        both = [hit["row"] for hit in equal["hits"] if hit["text"] == self.TEXTS[0]]
        self.assertEqual(both, [0, 4])

    def test_what_does_not_fit(self):
        self.make()
        refused = ["search", "-m", harness.toy_model(), "-i", "v.npy", "-q", "a"]
        self.refused(["v.npy has several rows", "--kinds multi or tokens"], *refused, "--kinds", "dense", code=2)
        with open(self.path("v.npy.offsets.npy"), "rb") as file:
            good = file.read()
        head, starts = good[:128], list(struct.unpack(f"<{(len(good) - 128) // 8}q", good[128:]))
        n = starts[-1]
        for words, changed in [
            (f"ends at row {n + 1}, the vectors beside it are {n}", [*starts[:-1], n + 1]),
            ("does not begin with 0", [1, *starts[1:]]),
            (f"document 1 begins at row {n} and ends before row 2", [0, n, 2, *starts[3:]]),
            ("document 1 begins at row 18446744073709551615 and ends before row", [0, -1, *starts[2:]]),
        ]:
            with self.subTest(words):
                self.file("v.npy.offsets.npy", head + struct.pack(f"<{len(changed)}q", *changed))
                self.refused(["v.npy.offsets.npy", words], *refused, code=8)
        for words, data in [("'<i8' is needed", good.replace(b"<i8", b"<i4")), ("1 is needed", good.replace(b"(7,)", b"(7,1)")),
                            ("after its header", good + b"12345678"), ("no NPY file", b"x" * 200)]:
            with self.subTest(words):
                self.file("v.npy.offsets.npy", data)
                self.refused(["v.npy.offsets.npy", words], *refused, code=8)
        self.file("v.npy.offsets.npy", good)
        write_npy(self.path("v.npy"), [[1] * 31] * n, 31)
        self.refused(["rows of 31 floats", "makes 32"], *refused, code=8)
        os.remove(self.path("v.npy.offsets.npy"))
        self.refused(["one row a document", "no v.npy.offsets.npy"], *refused, "--kinds", "tokens", code=2)


class Tokenize(harness.Case):
    def tokenize(self, *args, **more):
        return self.run_vecmill("tokenize", "-m", harness.toy_model(), *args, **more)

    def test_lines_of_stdin(self):
        lines = self.tokenize(stdin=b"the cat\n\n").objects()
        self.assertEqual(len(lines), 2)
        for line in lines:
            self.assertEqual(set(line), {"ids", "tokens", "truncated"})
            self.assertEqual(len(line["ids"]), len(line["tokens"]))
            self.assertEqual((line["tokens"][0], line["tokens"][-1]), ("[CLS]", "[SEP]"))
            self.assertFalse(line["truncated"])
        self.assertEqual(lines[1]["tokens"], ["[CLS]", "[SEP]"])

    def test_needs_no_weights(self):
        """The same lines from a folder without weights, and from one whose model is not computed."""
        texts = b"the cat\n\nwho could have made it\n" + b"the " * 100
        want = self.tokenize(stdin=texts).out
        for name in ("no-weights", "no-model"):
            folder = harness.toy(self.path(name))
            if name == "no-weights":
                os.unlink(os.path.join(folder, "model.safetensors"))
            else:
                with open(os.path.join(folder, "modules.json"), "w", encoding="utf-8") as file:
                    json.dump([{"idx": 0, "name": "0", "path": "", "type": "models.MLMTransformer"}], file)
            run = self.run_vecmill("tokenize", "-m", folder, stdin=texts)
            self.assertEqual((run.out, run.err), (want, ""), name)
            self.assertIn("MLMTransformer" if name == "no-model" else
                          "model.safetensors", self.run_vecmill("embed", "-m", folder, "-i", "-", "-o", "-", stdin=texts,
                                                                code=9).err)

    def test_the_tokenizer_s_fault_is_said(self):
        """Of a folder without weights and without a tokenizer that is read."""
        folder = harness.toy(self.path("older"))
        for name in ("model.safetensors", "tokenizer.json", "vocab.txt"):
            os.unlink(os.path.join(folder, name))
        self.file("older/spiece.model", "")
        self.assertIn("spiece.model but no tokenizer.json; run there: python -c",
                      self.run_vecmill("tokenize", "-m", folder, stdin=b"a", code=9).err)

    def test_max_length(self):
        line, = self.tokenize("--max-length", "3", stdin=b"the cat sits there and waits\n").objects()
        self.assertEqual(len(line["ids"]), 3)
        self.assertTrue(line["truncated"])

    def test_files_and_bad_documents(self):
        self.file("in.jsonl", '{"body": "cat"}\n{"body": 5}\n')
        lines = self.tokenize("-i", "in.jsonl", "--field", "body", code=3).objects()
        self.assertIn("ids", lines[0])
        self.assertEqual(set(lines[1]), {"error"})

    def test_explain(self):
        """Parts of "Cat's  CAT": ranges are bytes of the text; with a prompt, from the prompt's first."""
        text = "Cát's  CAT"
        plain, = self.tokenize(stdin=text.encode()).objects()
        line, = self.tokenize("--explain", stdin=text.encode()).objects()
        self.assertEqual({key: line[key] for key in plain}, plain)
        self.assertEqual(set(line) - set(plain), {"normalized", "pieces", "ranges"})
        self.assertEqual(line["normalized"], "cat's  cat")
        self.assertEqual([(p["text"], p["range"]) for p in line["pieces"]],
                         [("cat", [0, 4]), ("'", [4, 5]), ("s", [5, 6]), ("cat", [8, 11])])
        self.assertEqual((line["ranges"][0], line["ranges"][-1], len(line["ranges"])), (None, None, len(line["ids"])))
        after, = self.tokenize("--explain", "--prompt", "a: ", stdin=text.encode()).objects()
        self.assertEqual(after["pieces"][2], {"text": "cat", "range": [3, 7]})
        cut, = self.tokenize("--explain", "--max-length", "3", stdin=text.encode()).objects()
        self.assertEqual((len(cut["ranges"]), cut["pieces"], cut["truncated"]), (3, line["pieces"], True))
        folder = harness.toy(self.path("no-weights"))
        os.unlink(os.path.join(folder, "model.safetensors"))
        self.assertEqual(self.run_vecmill("tokenize", "-m", folder, "--explain", stdin=text.encode()).objects(), [line])

    def test_pairs(self):
        texts = b'{"text": "of", "id": 1, "query": "the"}\n{"query": "the"}\n{"query": 1, "text": ""}\n"the cat"\n'
        lines = self.tokenize("--pairs", stdin=texts, code=3).objects()
        self.assertEqual(lines[0]["tokens"], ["[CLS]", "the", "[SEP]", "of", "[SEP]"])
        self.assertEqual(lines[0]["type_ids"], [0, 0, 0, 1, 1])
        self.assertEqual(set(lines[0]), {"ids", "type_ids", "tokens", "truncated"})
        for line, words in zip(lines[1:], ('has no "text"', '"query" is a number', "an object is needed")):
            self.assertIn(words, line["error"])
        swapped, = self.tokenize("--pairs", "--max-length", "6", "--field", "b",
                                 stdin=b'{"query": "the of the", "b": "of the of"}').objects()
        self.assertEqual((swapped["tokens"], swapped["truncated"]),
                         (["[CLS]", "the", "[SEP]", "of", "the", "[SEP]"], True))
        self.file("in.txt", "the cat\n")
        self.assertIn("pairs are read from JSON, and the input is txt",
                      self.tokenize("--pairs", "-i", "in.txt", code=2).err)
        self.assertIn("puts no prompt", self.tokenize("--pairs", "--prompt", "a", stdin=texts, code=2).err)

    def test_any_bytes_give_valid_json(self):
        data = bytes(b for b in range(256) if b != 10) + b"\n"
        lines = self.tokenize("--encoding", "utf-8", stdin=data).objects()
        self.assertEqual(len(lines), 1)
        self.tokenize(stdin=data, code=8)


class Models(harness.Case):
    def test_models(self):
        models = self.run_vecmill("models", "--json").objects()
        by_name = {model["name"]: model for model in models}
        default = by_name["sentence-transformers/all-MiniLM-L6-v2"]
        self.assertEqual((default["dim"], default["max_length"], default["folder"]), (384, 256, None))
        self.assertGreaterEqual(sum(model["refused"] is None for model in models), 49)
        self.assertTrue(any("ONNX" in (model["refused"] or "") for model in models))
        text = self.run_vecmill("models").out.decode()
        self.assertEqual(len(text.splitlines()), len(models) + 1)

    def test_pull_offline(self):
        self.refused("all-MiniLM-L6-v2", "pull", "all-MiniLM-L6-v2", code=10)
        self.refused("nonesuch", "pull", "nonesuch", code=10)

    def test_pull_of_a_folder(self):
        run = self.run_vecmill("pull", harness.toy_model())
        self.assertEqual(os.path.realpath(run.out.decode().strip()), os.path.realpath(harness.toy_model()))


class Doctor(harness.Case):
    def test_json(self):
        run = subprocess.run([harness.VECMILL, "doctor", "--json"], env=harness.environment(),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        facts = json.loads(run.stdout)
        for key in ("version", "isa", "isa_best", "cpus_online", "cpus_allowed",
                    "cpus_quota", "memory_total", "memory_available", "memory_limit",
                    "memory_limit_source", "cpus", "data_limit", "address_limit", "limit",
                    "limit_source", "memory_room", "memory_pressure", "cgroup_version", "oom_group", "psi", "huge_pages_always",
                    "cache", "cache_writable", "worker", "pull", "bench", "default_model", "offline", "problems"):
            self.assertIn(key, facts)
        self.assertTrue(facts["cache_writable"])
        self.assertTrue(facts["worker"])
        # Offline and without the default model: said, and a problem.
        self.assertEqual(run.returncode, 1)
        self.assertEqual(len(facts["problems"]), 1)
        self.assertFalse(os.path.exists(facts["cache"] + "/models"), "doctor changes nothing")

    def tree(self, files):
        """An environment whose machine is made up of `files`."""
        for name, text in files.items():
            os.makedirs(os.path.dirname(self.path("tree/" + name)), exist_ok=True)
            self.file("tree/" + name, text)
        return harness.environment(HF_HUB_OFFLINE="0", VECMILL_HOST_ROOT=self.path("tree"))

    def test_a_made_up_machine(self):
        group = "sys/fs/cgroup/pod/job/"
        env = self.tree({
            "proc/meminfo": "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n",
            "proc/self/cgroup": "0::/pod/job\n",
            "proc/self/mountinfo": "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            group + "memory.max": "900000000\n", group + "memory.current": "200000000\n",
            group + "memory.stat": "active_file 30000000\ninactive_file 20000000\n",
            group + "memory.pressure": "some avg10=1.25 avg60=0.00 avg300=0.00 total=0\n",
            group + "cpu.max": "50000 100000\n",
            "sys/fs/cgroup/pod/memory.high": "800000000\n",
            "sys/fs/cgroup/pod/memory.current": "300000000\n",
            "sys/fs/cgroup/pod/memory.oom.group": "1\n"})
        facts, = self.run_vecmill("doctor", "--json", env=env).objects()
        self.assertEqual((facts["limit"], facts["limit_source"]),
                         (800000000, "cgroup v2 memory.high, 1 up"))
        self.assertEqual(facts["memory_room"], 500000000)
        self.assertEqual((facts["memory_pressure"], facts["cpus"]), (1.25, 1))
        text = self.run_vecmill("doctor", env=env).out.decode()
        for line in (r"processors .* a quota of 0\.50: 1 can be kept busy",
                     r"cgroup +version 2, limit 800\.0 MB \(cgroup v2 memory\.high, 1 up\)",
                     r"memory limit +800\.0 MB \(cgroup v2 memory\.high, 1 up\)",
                     r"memory room +500\.0 MB ", r"memory pressure +1\.25 %",
                     r"oom group +on: .* takes every process .* --resume goes on afterwards"):
            self.assertRegex(text, "(?m)^" + line)

    def test_a_machine_that_says_little(self):
        env = self.tree({"proc/meminfo": "nothing\n"})
        facts, = self.run_vecmill("doctor", "--json", env=env).objects()
        self.assertEqual((facts["memory_room"], facts["memory_pressure"]), (None, None))
        text = self.run_vecmill("doctor", env=env).out.decode()
        self.assertRegex(text, r"(?m)^memory room +unknown$")
        self.assertRegex(text, r"(?m)^memory pressure +not reported")

    def test_a_machine_that_is_not_there(self):
        for root in ("/nowhere/at/all", "nowhere", "/dev/null", "/" * 5000):
            env = harness.environment(HF_HUB_OFFLINE="0", VECMILL_HOST_ROOT=root)
            self.assertIn("meminfo: cannot be read", self.run_vecmill("doctor", env=env, code=1).err)

    def test_it_finds_what_the_others_find(self):
        """Programs in the libexec folder of an installation that was moved: the same answer from all of them."""
        env = harness.environment(HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9", VECMILL_CACHE=self.path("cache"))
        for folder, names in (("bin", ["vecmill"]), ("libexec/vecmill", ["vecmill-worker", "vecmill-pull", "vecmill-bench"])):
            os.makedirs(self.path("moved/" + folder))
            for name in names:
                shutil.copy(os.path.join(harness.BUILD, name), self.path("moved/" + folder))

        def run(*args):
            return subprocess.run([self.path("moved/bin/vecmill"), *args], env=env, cwd=self.dir, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=120)

        self.file("in.txt", "cat\n")
        for name, args in (("worker", ["embed", "-m", harness.toy_model(), "-i", "in.txt", "-o", "-"]),
                           ("pull", ["pull", "bert-tiny/of-nobody"]),
                           ("bench", ["bench", "-m", "of-nobody", "--latency"])):
            found = json.loads(run("doctor", "--json").stdout)[name]
            self.assertTrue(found.endswith("libexec/vecmill/vecmill-" + name), found)
            self.assertNotIn("neither beside", run(*args).stderr.decode())
            os.unlink(found)
            self.assertIsNone(json.loads(run("doctor", "--json").stdout)[name])
            self.assertIn(f"vecmill-{name} is neither beside", run(*args).stderr.decode())

    def test_online_without_a_model_is_no_problem(self):
        run = self.run_vecmill("doctor", env=harness.environment(HF_HUB_OFFLINE="0"))
        self.assertRegex(run.out.decode(), r"(?m)^default model +not here; `vecmill pull")

    def test_a_cache_that_cannot_be(self):
        self.file("file", "x")
        env = harness.environment(VECMILL_CACHE=self.path("file/cache"), HF_HUB_OFFLINE="0")
        run = self.run_vecmill("doctor", env=env, code=1)
        self.assertIn("problem", run.out.decode())

    def test_an_unknown_instruction_set(self):
        env = harness.environment(VECMILL_ISA="mmx", HF_HUB_OFFLINE="0")
        self.assertIn("VECMILL_ISA", self.run_vecmill("doctor", env=env, code=1).err)


if __name__ == "__main__":
    harness.main()
