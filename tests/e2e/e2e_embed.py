"""embed: formats in and out, what becomes of odd and bad documents, what is told about a run."""

import array
import bz2
import csv
import gzip
import io
import json
import lzma
import math
import os
import pickle
import pty
import struct
import subprocess
import sys
import zipfile
import zlib

import harness

TEXTS = ["a cat sits", "", "   ", "the quick brown fox", "nul \0 inside", "ümläut and 漢字", "a cat sits"]


class Formats(harness.Case):
    def vectors(self, name, content, *args, code=0):
        """Rows of a file's documents, through .npy."""
        self.file(name, content)
        self.embed("-i", name, "-o", "out.npy", *args, code=code)
        npy = harness.Npy(self.path("out.npy"))
        return [npy.raw(i) for i in range(npy.n)]

    def test_the_same_texts_in_every_format(self):
        lines = [text for text in TEXTS if "\0" not in text]
        want = self.vectors("a.txt", "\n".join(lines) + "\n")
        self.assertEqual(len(want), len(lines))
        self.assertEqual(len(set(want)), 4, "empty and blank are the same, and so are the two cats")
        self.assertEqual(self.vectors("a.jsonl", [{"text": text} for text in lines]), want)
        self.assertEqual(self.vectors("b.jsonl", lines), want, "bare strings")
        self.assertEqual(self.vectors("c.jsonl", [{"x": [1], "body": text} for text in lines],
                                      "--field", "body"), want)
        table = 'number,text\r\n' + "".join(f'{i},"{text}"\r\n' for i, text in enumerate(lines))
        self.assertEqual(self.vectors("a.csv", table), want)
        self.assertEqual(self.vectors("b.csv", table, "--field", "2"), want)
        for name, content in (("a.txt.gz", "\n".join(lines)), ("a.csv.gz", table),
                              ("a.jsonl.gz", "\n".join(map(json.dumps, lines)))):
            self.assertEqual(self.vectors(name, gzip.compress(content.encode())), want, name)

    def test_dtypes(self):
        """Each from the float32 rows, by the rules in Python: float32's sums and quotients are its doubles'
        rounded once, and struct has float16."""
        texts = [f"text {i} of a few words, {i * i}" for i in range(40)]
        self.file("in.txt", "\n".join(texts))
        self.embed("-i", "in.txt", "-o", "f.npy")
        rows = [list(harness.Npy(self.path("f.npy")).row(i)) for i in range(len(texts))]

        def single(x):
            return struct.unpack("<f", struct.pack("<f", x))[0]

        def byte(x, lo, hi):
            step = single(single(hi - lo) / 255) or 1
            return max(0, min(255, math.floor(single(single(x - lo) / step))))

        ranges = [list(map(min, zip(*rows))), list(map(max, zip(*rows)))]
        bits = [bytes(int("".join("01"[x > 0] for x in row[at:at + 8]).ljust(8, "0"), 2)
                      for at in range(0, len(row), 8)) for row in rows]
        bytes_of = [bytes(map(byte, row, *ranges)) for row in rows]
        want = {"float16": ("<f2", [struct.pack(f"<{len(row)}e", *row) for row in rows]),
                "uint8": ("|u1", bytes_of),
                "int8": ("|i1", [bytes(b ^ 128 for b in row) for row in bytes_of]),
                "ubinary": ("|u1", bits),
                "binary": ("|i1", [bytes(b ^ 128 for b in row) for row in bits])}
        for dtype, (descr, expected) in want.items():
            self.embed("-i", "in.txt", "-o", "out.npy", "--dtype", dtype)
            npy = harness.Npy(self.path("out.npy"))
            self.assertEqual((npy.descr, npy.n), (descr, len(rows)), dtype)
            self.assertEqual([npy.raw(i) for i in range(npy.n)], expected, dtype)
            self.assertEqual(os.path.exists(self.path("out.npy.ranges.npy")), dtype.endswith("int8"), dtype)
            self.assertFalse(os.path.exists(self.path("out.npy.stage.part")))
        self.embed("-i", "in.txt", "-o", "out.npy", "--dtype", "int8")
        kept = harness.Npy(self.path("out.npy.ranges.npy"))
        self.assertEqual([list(kept.row(0)), list(kept.row(1))], ranges)
        out = self.embed("-i", "in.txt", "-o", "-", "--dtype", "uint8", "--ranges", "out.npy.ranges.npy").objects()
        self.assertEqual([bytes(line["embedding"]) for line in out], bytes_of)
        for args, words in ((("-o", "-", "--dtype", "int8"), "int8 here needs --ranges FILE"),
                            (("-o", "x.npy", "--dtype", "int8", "--shard", "0/2"), "shards need --ranges FILE"),
                            (("-o", "x.npy", "--ranges", "f.npy"), "--ranges says nothing of float32")):
            self.assertIn(words, self.embed("-i", "in.txt", *args, code=2).err)
        self.file("one.txt", "one")
        self.assertIn("int8 of 1 vector needs --ranges FILE, 2 vectors are the least",
                      self.embed("-i", "one.txt", "-o", "x.npy", "--dtype", "int8", code=2).err)
        self.assertEqual([name for name in os.listdir(self.path(".")) if name.startswith("x.npy")], [])

    def test_sparse_weights_as_a_matrix(self):
        """The .npz has what the JSON lines have; what its bytes are: job-npz."""
        model = harness.toy(self.path("splade"), "--splade")
        self.file("in.txt", "\n".join(f"cat {i} and a river" for i in range(30)))
        self.run_vecmill("embed", "-m", model, "-i", "in.txt", "-o", "out.npz")
        self.run_vecmill("embed", "-m", model, "-i", "in.txt", "-o", "out.jsonl")
        with zipfile.ZipFile(self.path("out.npz")) as archive:
            self.assertIsNone(archive.testzip())
            indices, data, indptr, shape = [array.array(code, archive.read(name)[128:]) for name, code in (
                ("indices.npy", "i"), ("data.npy", "f"), ("indptr.npy", "q"), ("shape.npy", "q"))]
        want = self.lines("out.jsonl")
        self.assertEqual(shape[0], len(want))
        for line, a, b in zip(want, indptr, indptr[1:]):
            self.assertGreater(b, a)
            self.assertEqual(line["indices"], list(indices[a:b]))
            self.assertEqual(array.array("f", line["values"]), data[a:b])
            self.assertLess(max(indices[a:b]), shape[1])
        self.refused(["sparse is asked for", "makes dense"], "embed", "-m", harness.toy_model(), "-i", "in.txt", "-o", "out.npz", "--force", code=2)
        self.refused(["not written to .npz"], "embed", "-m", harness.toy_model(), "-i", "in.txt", "-o", "x.npz",
                     "--kinds", "dense", code=2)

    def test_stdin(self):
        self.embed("-i", "-", "-o", "a.npy", stdin=b"one\ntwo")
        self.embed("-i", "-", "-o", "b.npy", "--input-format", "jsonl", stdin=b'"one"\n{"text":"two"}\n')
        one, two = harness.Npy(self.path("a.npy")), harness.Npy(self.path("b.npy"))
        self.assertEqual((one.n, one.bytes), (2, two.bytes))

    def test_jsonl_and_stdout_hold_the_rows_of_npy(self):
        self.file("in.jsonl", [{"id": i * 10, "text": text} for i, text in enumerate(TEXTS)])
        self.embed("-i", "in.jsonl", "-o", "out.npy")
        self.embed("-i", "in.jsonl", "-o", "out.jsonl")
        out = self.embed("-i", "in.jsonl", "-o", "-").objects()
        npy = harness.Npy(self.path("out.npy"))
        self.assertEqual(out, self.lines("out.jsonl"))
        self.assertEqual([line["id"] for line in out], [i * 10 for i in range(len(TEXTS))])
        for i, line in enumerate(out):
            self.assertEqual(array.array("f", line["embedding"]).tobytes(), npy.raw(i), i)

    def test_ids(self):
        ids = ["x", 7, 7, None, "quote \" and \n", 1.5, True]
        self.file("in.jsonl", [{"id": value, "text": "a"} for value in ids] + [{"text": "none"}])
        self.embed("-i", "in.jsonl", "-o", "out.npy")
        self.assertEqual(self.lines("out.npy.ids.jsonl"), ids + [None])
        self.embed("-i", "in.jsonl", "-o", "key.npy", "--id-field", "text")
        self.assertEqual(self.lines("key.npy.ids.jsonl"), ["a"] * len(ids) + ["none"])
        self.file("in.csv", "id,text\na1,one\nb2,two\n")
        self.embed("-i", "in.csv", "-o", "csv.npy")
        self.assertEqual(self.lines("csv.npy.ids.jsonl"), ["a1", "b2"])
        self.file("in.txt", "one\n")
        self.embed("-i", "in.txt", "-o", "plain.npy")
        self.assertFalse(self.exists("plain.npy.ids.jsonl"))

    def test_no_documents(self):
        for name in ("in.txt", "in.jsonl"):
            self.file(name, "")
            self.embed("-i", name, "-o", "out.npy")
            self.assertEqual(harness.Npy(self.path("out.npy")).n, 0)
        self.assertEqual(self.embed("-i", "in.txt", "-o", "-").out, b"")

    def test_rows_have_length_one_or_are_the_models_own(self):
        rows = self.embed("-i", "-", "-o", "-", stdin="\n".join(TEXTS).encode()).objects()
        for row in rows:
            self.assertAlmostEqual(math.fsum(x * x for x in row["embedding"]), 1, places=5)
        folder = harness.toy(self.path("raw"), "--no-normalize")
        rows = self.embed("-i", "-", "-o", "-", model=folder, stdin=b"a cat\n").objects()
        self.assertNotAlmostEqual(math.fsum(x * x for x in rows[0]["embedding"]), 1, places=3)

    def test_an_output_that_is_a_link_stays_one(self):
        self.file("real.npy", "old")
        os.symlink("real.npy", self.path("link.npy"))
        self.embed("-i", "-", "-o", "link.npy", stdin=b"a\n")
        self.assertTrue(os.path.islink(self.path("link.npy")))
        self.assertEqual(harness.Npy(self.path("real.npy")).n, 1)

    def test_text_files_as_they_come(self):
        want = self.vectors("a.txt", "one\ntwo\n")
        self.assertEqual(self.vectors("b.txt", "one\r\ntwo"), want)
        self.assertEqual(self.vectors("c.txt", "\ufeffone\ntwo\n"), want)
        self.assertEqual(self.vectors("d.txt", "one\rtwo\r"), want)
        self.assertEqual(self.vectors("e.txt", "\ufeffone\n\ufefftwo\n"), want)
        for encoding in "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be":
            self.assertEqual(self.vectors("f.txt", "one\ntwo\n".encode(encoding)), want, encoding)

    def test_the_first_bytes_decide_on_stdin_too(self):
        text = "one\ntwo\n".encode()
        want = self.vectors("a.txt", text)
        for name, data, args in (("gzip", gzip.compress(text), ()),
                                 ("gzip, named", gzip.compress(text), ("--input-format", "txt.gz")),
                                 ("members", gzip.compress(text[:4]) + gzip.compress(text[4:]), ()),
                                 ("gzip and rest", gzip.compress(text) + b"\0\0rest", ()),
                                 ("UTF-16", text.decode().encode("utf-16-le"), ()),
                                 ("UTF-16 in gzip", gzip.compress(text.decode().encode("utf-16")), ())):
            run = self.embed("-i", "-", "-o", "out.npy", *args, stdin=data)
            npy = harness.Npy(self.path("out.npy"))
            self.assertEqual([npy.raw(i) for i in range(npy.n)], want, name)
            self.assertEqual("behind its last gzip member" in run.err, "rest" in name)
        for word, data in (("xz", lzma.compress(text)), ("bzip2", bz2.compress(text)), ("zlib", zlib.compress(text)),
                           ("a pickle", pickle.dumps([1] * 9)), ("a program", open(harness.VECMILL, "rb").read(999)),
                           ("NumPy", open(self.path("out.npy"), "rb").read()), ("gzip inside gzip",
                           gzip.compress(gzip.compress(text)))):
            run = self.embed("-i", "-", "-o", "out.npy", code=8, stdin=data)
            self.assertRegex(run.err, f"standard input: is .*{word}.*, not text; ")
        self.assertEqual(harness.Npy(self.path("out.npy")).n, 2)
        for name in "a.parquet", "a.jsonl", "a.csv.gz": # before a model is looked for
            self.refused("a Parquet file", "embed", "-m", "no/such", "-i", self.file(name, b"PAR1\x15\4\x15"), "-o", "no.npy",
                         code=8)
        self.refused("ends in none of", "embed", "-i", self.file("a.dat", "text"), "-o", "no.npy")

    def test_encodings(self):
        """As Python's codecs write them."""
        for encoding, texts in (("cp1252", ["5 € „fünf“", "naïve"]), ("latin-1", ["größer", "naïve"]),
                                ("iso8859_15", ["5 €", "Œuvre"]), ("koi8_r", ["привет мир", "да"]),
                                ("shift_jis", ["日本語のテキスト", "テスト"]), ("gb18030", ["中文文本", "一二三"]),
                                ("big5", ["中文", "測試"]), ("euc_kr", ["한국어", "문장"]), ("utf-7", ["ä+b", "c"]),
                                ("utf_16_be", ["ä", "中"])):
            want = self.vectors("a.txt", "\n".join(texts))
            content = "\n".join(texts).encode(encoding)
            self.assertEqual(self.vectors("b.txt", content, "--encoding", encoding), want, encoding)
        table = "id;Überschrift\n1;grün\n".encode("cp1252")
        want = self.vectors("c.jsonl", ["grün"])
        self.assertEqual(self.vectors("c.csv", table, "--encoding", "Windows-1252", "--delimiter", ";", "--field",
                                      "Überschrift"), want)
        self.assertEqual(self.vectors("c.json", json.dumps(["grün"], ensure_ascii=False).encode("cp1252"),
                                      "--encoding", "cp1252"), want)
        run = self.embed("-i", self.file("d.txt", "gut\ngrün\n".encode("latin-1")), "-o", "out.npy")
        self.assertRegex(run.err, "warning: .*d.txt line 2: 1 byte of the document means nothing")
        self.refused("--encoding klingon is unknown", "embed", "-i", "d.txt", "-o", "out.npy", "--encoding", "klingon")
        self.refused("--encoding klingon is unknown", "plan", "-i", "d.txt", "-o", "out.npy", "--encoding", "klingon")

    def test_json_and_tables(self):
        """As Python's json and csv write them."""
        rows = [{"id": i, "text": text, "score": math.nan, "tags": [{"text": "no"}]} for i, text in enumerate(TEXTS)]
        want = self.vectors("a.jsonl", rows)
        for name, content in (("a.json", json.dumps(rows)), ("b.json", json.dumps(rows, indent=2)),
                              ("c.json", "\n".join(json.dumps(row, indent=1) for row in rows)),
                              ("d.json", "".join(map(json.dumps, rows))), ("e.json", json.dumps(rows) + "[]"),
                              ("f.json.gz", gzip.compress(json.dumps(rows, indent="\t").encode()))):
            self.assertEqual(self.vectors(name, content), want, name)
            self.assertEqual(self.lines("out.npy.ids.jsonl"), list(range(len(rows))))
        for name in "a.json", "b.json", "c.json":
            run = self.embed("-i", "-", "-o", "no.npy", "--input-format", "jsonl", code=8,
                             stdin=open(self.path(name), "rb").read())
            self.assertRegex(run.err, "standard input: is .*; --input-format json reads it")
        self.assertFalse(self.exists("no.npy"))
        for name, delimiter, args in (("a.tsv", "\t", ()), ("b.csv", ";", ("--delimiter", ";")),
                                      ("c.csv", "\t", ("--delimiter", "tab")), ("d.csv", "|", ("--delimiter=|",))):
            table = io.StringIO()
            writer = csv.writer(table, delimiter=delimiter)
            writer.writerows([["id", "text"], *([row["id"], row["text"]] for row in rows)])
            self.assertEqual(self.vectors(name, table.getvalue(), *args), want, name)
            if args:
                run = self.embed("-i", name, "-o", "no.npy", code=8)
                self.assertIn("--delimiter " + (args[-1] if args[-1] == "tab" else f"'{delimiter}'"), run.err)


class Dimensions(harness.Case):
    """--dimensions and --normalize: what is expected is computed here, from the whole vectors."""

    def rows(self, *args, model=None):
        self.embed("-i", self.file("in.txt", "\n".join(text for text in TEXTS if "\0" not in text) + "\n"), "-o", "out.npy",
                   "--force", *args, model=model)
        npy = harness.Npy(self.path("out.npy"))
        return [list(npy.row(i)) for i in range(npy.n)]

    def check(self, got, want, scaled):
        self.assertEqual(len(got), len(want))
        for a, b in zip(got, want, strict=True):
            length = math.sqrt(math.fsum(x * x for x in b)) if scaled else 1
            self.assertEqual(len(a), len(b))
            self.assertLess(max(abs(x - y / length) for x, y in zip(a, b, strict=True)), 1e-6 if scaled else 1e-12)

    def test_the_first_components(self):
        raw = harness.toy(self.path("raw"), "--no-normalize")
        for model in (None, raw):
            whole = self.rows(model=model)
            for n in (1, 7, 31, 32):
                first = [row[:n] for row in whole]
                self.check(self.rows("--dimensions", str(n), model=model), first, scaled=n < 32)
                self.check(self.rows("--dimensions", str(n), "--normalize", "no", model=model), first, scaled=False)
                self.check(self.rows("--dimensions", str(n), "--normalize", "yes", model=model), first, scaled=True)
            self.check(self.rows("--normalize", "yes", model=model), whole, scaled=True)
            self.check(self.rows("--dimensions", "9", "--workers", "2", model=model), [row[:9] for row in whole], True)

    def test_in_windows(self):
        """The mean of whole vectors is cut, not of cut ones."""
        words = " ".join(f"word{i}" for i in range(300))
        self.file("long.txt", words + "\nshort\n")
        self.embed("-i", "long.txt", "-o", "whole.npy", "--long", "split")
        self.embed("-i", "long.txt", "-o", "cut.npy", "--long", "split", "--dimensions", "8")
        whole, cut = harness.Npy(self.path("whole.npy")), harness.Npy(self.path("cut.npy"))
        self.check([list(cut.row(i)) for i in range(2)], [list(whole.row(i))[:8] for i in range(2)], True)

    def test_what_the_model_says(self):
        """truncate_dim of config_sentence_transformers.json; more than there are is all of them."""
        folder = harness.toy(self.path("says"))
        whole = self.rows(model=folder)
        for said, n in ((12, 12), (32, 32), (1000, 32), (None, 32)):
            with open(os.path.join(folder, "config_sentence_transformers.json"), "w", encoding="utf-8") as file:
                json.dump({"truncate_dim": said}, file)
            self.check(self.rows(model=folder), [row[:n] for row in whole], n < 32)
        with open(os.path.join(folder, "config_sentence_transformers.json"), "w", encoding="utf-8") as file:
            json.dump({"truncate_dim": 12}, file)
        self.check(self.rows("--dimensions", "32", model=folder), whole, False)
        self.check(self.rows("--dimensions", "20", model=folder), [row[:20] for row in whole], True)

    def test_all_that_holds_rows(self):
        """JSONL, shards and what they make, plan, search, bench."""
        whole = self.rows("--dimensions", "10")
        out = self.embed("-i", "in.txt", "-o", "-", "--dimensions", "10").objects()
        self.assertEqual([list(array.array("f", row["embedding"])) for row in out], whole)
        for i in range(2):
            self.embed("-i", "in.txt", "-o", f"s{i}.npy", "--shard", f"{i}/2", "--dimensions", "10")
        self.run_vecmill("merge", "s0.npy", "s1.npy", "-o", "merged.npy")
        merged = harness.Npy(self.path("merged.npy"))
        self.assertEqual([list(merged.row(i)) for i in range(merged.n)], whole)
        self.embed("-i", "in.txt", "-o", "s1.npy", "--shard", "1/2", "--dimensions", "11", "--force")
        self.refused(["s1.npy"], "merge", "s0.npy", "s1.npy", "-o", "other.npy", code=8)
        model = ("-m", harness.toy_model())
        plan = {n: self.run_vecmill("plan", *model, "--json", "--dimensions", str(n)).objects()[0] for n in (10, 32)}
        self.assertEqual([plan[n]["dim"] for n in (10, 32)], [10, 32])
        self.assertIn("vectors of 10 floats", self.run_vecmill("plan", *model, "--dimensions", "10").out.decode())
        found = self.run_vecmill("search", *model, "-i", "out.npy", "-q", TEXTS[3], "-k", "1", "--dimensions", "10",
                                 "--json").objects()[0]
        self.assertEqual((found["hits"][0]["row"], round(found["hits"][0]["score"], 5)), (3, 1))
        self.refused(["10", "32", "--dimensions 10"], "search", *model, "-i", "out.npy", "-q", "x", code=8)
        self.run_vecmill("bench", *model, "-i", "in.txt", "--in-process", "--dimensions", "10")

    def test_what_is_refused(self):
        self.file("in.txt", "a\n")
        for words, n in ((["33", "32"], "33"), (["0", "1", "16000"], "0"), (["16001", "16000"], "16001"), (["x"], "x")):
            self.refused(words, "embed", "-m", harness.toy_model(), "-i", "in.txt", "-o", "no.npy", "--dimensions", n)
            self.refused(words, "plan", "-m", harness.toy_model(), "--dimensions", n)
        self.refused(["auto", "yes", "no"], "embed", "-i", "in.txt", "-o", "no.npy", "--normalize", "maybe")
        self.assertFalse(self.exists("no.npy"))


class Tasks(harness.Case):
    """A model with tasks, as jina-embeddings-v3. What a task computes is held to a formula in model-families."""

    def model(self):
        folder = self.path("model")
        family = os.path.join(harness.ROOT, "tests", "data", "families", "jina-v3-tasks.json")
        subprocess.run([sys.executable, os.path.join(harness.ROOT, "tools", "write_family.py"), family, folder], check=True,
                       stdout=subprocess.DEVNULL)
        words = "[PAD] [UNK] [CLS] [SEP] [MASK] the of and to in is it that for was on are as".split()
        with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
            file.write("\n".join([*words, *"abcdefghijklmnopqrstuvwxyz"]) + "\n")
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        config["task_instructions"] = {"query": "that is the "}
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        return folder

    def test_tasks(self):
        model, texts = self.model(), ["the of", "is it that", "a was on the x", ""]
        self.file("in.jsonl", [{"text": text} for text in texts])
        self.file("with.jsonl", [{"text": "that is the " + text} for text in texts])

        def rows(*args, source="in.jsonl"):
            self.embed("-i", source, "-o", "out.npy", "--force", "--workers", "2", *args, model=model)
            return harness.Npy(self.path("out.npy")).bytes

        plain, query, passage = rows(), rows("--task", "query"), rows("--task", "passage")
        self.assertEqual(len({plain, query, passage, rows("--task", "match"), rows("--prompt", "that is the ")}), 5)
        self.assertEqual(rows("--task", "query", "--prompt", "", source="with.jsonl"), query)
        self.assertEqual(rows("--task", "passage", "--role", "document"), passage)
        run = self.embed("-i", "in.jsonl", "-o", "x.npy", "--task", "nope", model=model, code=2)
        self.assertIn("no task of the model is called nope; there are query, passage, match", run.err)
        run = self.embed("-i", "in.jsonl", "-o", "x.npy", "--task", "query", code=2)
        self.assertIn("a task, query, and the model has none", run.err)


class Prompts(harness.Case):
    PROMPTS = {"query": "which of the ", "passage": "many:"}

    def model(self, default=None):
        harness.toy(self.path("model"))
        with open(os.path.join(self.path("model"), "config_sentence_transformers.json"), "w", encoding="utf-8") as file:
            json.dump({"prompts": self.PROMPTS, "default_prompt_name": default}, file)
        return self.path("model")

    def rows(self, texts, *args, model):
        self.file("in.jsonl", [{"text": text} for text in texts])
        run = self.embed("-i", "in.jsonl", "-o", "out.npy", "--force", *args, model=model)
        return harness.Npy(self.path("out.npy")).bytes, run.err

    def test_a_prompt_is_text_before_each_text(self):
        model = self.model()
        want, _ = self.rows([self.PROMPTS["query"] + text for text in TEXTS], "--prompt", "", model=model)
        for args in (("--prompt", self.PROMPTS["query"]), ("--prompt-name", "query"), ("--role", "query")):
            found, err = self.rows(TEXTS, *args, model=model)
            self.assertEqual(found, want, args)
            self.assertNotIn("prompt", err)
        plain, _ = self.rows(TEXTS, model=model)
        self.assertEqual(self.rows(TEXTS, "--role", "document", model=model)[0], plain)
        self.assertNotEqual(plain, want)

    def test_a_default_prompt_is_applied_and_said(self):
        model = self.model("passage")
        want, _ = self.rows([self.PROMPTS["passage"] + text for text in TEXTS], "--prompt", "", model=model)
        found, err = self.rows(TEXTS, model=model)
        self.assertEqual(found, want)
        self.assertIn("default prompt", err)
        self.assertIn("many:", err)
        ids = [self.run_vecmill("tokenize", "-m", model, *args, stdin=text.encode()).objects()[0]["ids"]
               for args, text in (((), "a cat"), (("--prompt", ""), "many:a cat"))]
        self.assertEqual(*ids)

    def test_an_unknown_name_lists_those_there_are(self):
        self.file("in.txt", "one\n")
        self.refused("no prompt of the model is called foo; there are query, document, passage", "embed", "-m",
                     self.model(), "-i", "in.txt", "-o", "out.npy", "--prompt-name", "foo")
        self.refused("a prompt and the name", "embed", "-m", self.model(), "-i", "in.txt", "-o", "out.npy",
                     "--prompt", "x", "--prompt-name", "query")

    def test_another_prompt_is_another_job(self):
        model = self.model()
        self.file("in.txt", "one\ntwo\n")
        self.embed("-i", "in.txt", "-o", "a.npy", "--shard", "0/2", model=model)
        self.embed("-i", "in.txt", "-o", "b.npy", "--shard", "1/2", "--role", "query", model=model)
        self.run_vecmill("merge", "-o", "out.npy", "a.npy", "b.npy", code=8)


class BadDocuments(harness.Case):
    BAD = ['{"id": 1, "text": "good"}', '{"id": 2, "text": ', '{"id": 3}', '{"id": 4, "text": 5}',
           "[1]", '{"id": 6, "text": "good too"}', '{"text": "a", "text": "b"}', "nonsense"]

    def test_a_zero_row_and_a_line(self):
        self.file("in.jsonl", "\n".join(self.BAD) + "\n")
        run = self.embed("-i", "in.jsonl", "-o", "out.npy", code=3)
        self.assertIn("out.npy.errors.jsonl", run.err)
        npy = harness.Npy(self.path("out.npy"))
        self.assertEqual(npy.n, len(self.BAD))
        errors = self.lines("out.npy.errors.jsonl")
        failed = [error["index"] for error in errors]
        self.assertTrue({1, 2, 3, 4, 7} <= set(failed), failed)
        for error in errors:
            self.assertEqual(error["line"], error["index"] + 1)
            self.assertTrue(error["reason"])
        for i in range(npy.n):
            self.assertEqual(npy.is_zero(i), i in failed, i)
        self.assertIn(f"{len(failed)} of {len(self.BAD)} documents of in.jsonl failed", run.err)

    def test_no_row_carries_anothers_id(self):
        """An upsert of the rows by their ids leaves every vector where it belongs, and stores no zeros."""
        documents = ['{"id": 0, "text": "zero"}', '{"id": 3, "text": "three"}', '{"id": 7, "text": oops}',
                     '{"text": "nobody\'s", "score": NaN}', '{"id": null, "text": "neither"}', "[5]",
                     '{"id": 5, "text": "five", "score": [-Infinity, Infinity]}']
        self.file("in.jsonl", "\n".join(documents))
        self.embed("-i", "in.jsonl", "-o", "out.jsonl", code=3)
        self.embed("-i", "in.jsonl", "-o", "out.npy", code=3)
        rows, npy = self.lines("out.jsonl"), harness.Npy(self.path("out.npy"))
        self.assertEqual([row["id"] for row in rows], [0, 3, 7, None, None, None, 5])
        self.assertEqual(self.lines("out.npy.ids.jsonl"), [row["id"] for row in rows])
        errors = {error["index"]: error for error in self.lines("out.jsonl.errors.jsonl")}
        self.assertEqual(set(errors), {2, 5})
        for i, row in enumerate(rows):
            self.assertEqual(row.get("index"), i if row["id"] is None else None)
            self.assertEqual(row.get("error"), errors[i]["reason"] if i in errors else None)
            self.assertEqual(row["embedding"] is None, i in errors)
            if i not in errors:
                self.assertEqual(array.array("f", row["embedding"]).tobytes(), npy.raw(i))

    def test_an_input_of_no_document_leaves_the_output(self):
        self.embed("-i", self.file("good.jsonl", ["good"]), "-o", "out.npy")
        with open(self.path("out.npy"), "rb") as file:
            before = file.read()
        for name, content, words in (("a.jsonl", "plain words\n" * 3, "plain text"), ("b.jsonl", "id,text\n1,a\n", "a table"),
                                     ("c.jsonl", "<!DOCTYPE html>\n<p>\n", "HTML"), ("d.jsonl", [{"body": "a"}], 'no "text"'),
                                     ("e.csv", "id,text\n1\n", "1 columns"), ("f.json", "[1, 2]", "a number")):
            for more in (), ("--force",):
                run = self.embed("-i", self.file(name, content), "-o", "out.npy", *more, code=8)
                self.assertIn(words, run.err)
                with open(self.path("out.npy"), "rb") as file:
                    self.assertEqual(file.read(), before)
                self.assertEqual([n for n in os.listdir(self.dir) if n.startswith("out.")], ["out.npy"])
        run = self.embed("-i", "d.jsonl", "-o", "-", code=8)
        self.assertEqual(run.objects(), [{"id": None, "index": 0, "embedding": None, "error": 'the object has no "text"'}])

    def test_errors_on_stdout_runs_go_to_stderr(self):
        run = self.embed("-i", "-", "-o", "-", "--input-format", "jsonl", "--progress", "none", code=3,
                         stdin="\n".join(self.BAD[:3]).encode())
        self.assertEqual(len(run.objects()), 3)
        self.assertRegex(run.err, r"vecmill: .*line 2: ")
        self.assertRegex(run.err, r"vecmill: .*line 3: ")

    def test_an_old_errors_file_goes(self):
        self.file("in.jsonl", "\n".join(self.BAD))
        self.embed("-i", "in.jsonl", "-o", "out.npy", code=3)
        self.assertTrue(self.exists("out.npy.errors.jsonl"))
        self.file("in.jsonl", self.BAD[0])
        self.embed("-i", "in.jsonl", "-o", "out.npy")
        self.assertFalse(self.exists("out.npy.errors.jsonl"))

    def test_stop_at_the_first(self):
        self.file("in.jsonl", "\n".join(self.BAD))
        self.file("out.npy", "as it was")
        self.refused("line 2", "embed", "-m", harness.toy_model(), "-i", "in.jsonl", "-o", "out.npy",
                     "--on-error", "stop", code=8)
        with open(self.path("out.npy"), "rb") as file:
            self.assertEqual(file.read(), b"as it was")
        self.assertEqual(sorted(os.listdir(self.dir)), ["in.jsonl", "out.npy"])

    def test_over_max_document(self):
        self.file("in.txt", "short\n" + "x" * 5000 + "\nshort again\n")
        self.embed("-i", "in.txt", "-o", "out.npy", "--max-document", "1K", code=3)
        error, = self.lines("out.npy.errors.jsonl")
        self.assertEqual((error["index"], error["line"]), (1, 2))
        self.assertIn("1024", error["reason"])
        npy = harness.Npy(self.path("out.npy"))
        self.assertEqual([npy.is_zero(i) for i in range(3)], [False, True, False])

    def test_over_max_length_is_an_error_when_asked(self):
        self.file("in.txt", "short\n" + "word " * 500 + "\n")
        self.embed("-i", "in.txt", "-o", "out.npy", "--long", "error", "--max-length", "16", code=3)
        error, = self.lines("out.npy.errors.jsonl")
        self.assertEqual(error["index"], 1)
        self.assertIn("16", error["reason"])

    def test_bad_csv(self):
        self.file("in.csv", "id,text\n1,one\n2\n3,three\n")
        self.embed("-i", "in.csv", "-o", "out.npy", code=3)
        self.assertEqual([error["index"] for error in self.lines("out.npy.errors.jsonl")], [1])
        run = self.embed("-i", "in.csv", "-o", "out.npy", "--field", "body", code=8)
        self.assertIn("body", run.err)

    def test_truncated_gzip(self):
        data = gzip.compress(("word " * 50 + "\n").encode() * 200)
        self.file("in.txt.gz", data[:len(data) // 2])
        self.embed("-i", "in.txt.gz", "-o", "out.npy", code=8)
        self.file("in.txt.gz", b"no gzip at all")
        self.embed("-i", "in.txt.gz", "-o", "out.npy", code=8)
        self.assertEqual(os.listdir(self.dir), ["in.txt.gz"])

    def test_invalid_utf8_and_truncation_are_counted(self):
        self.file("in.txt", b"good\nbad \xff\xfe here\n" + b"word " * 500 + b"\n")
        run = self.embed("-i", "in.txt", "-o", "out.npy", "--max-length", "16", "--progress", "json")
        summary = [line for line in map(json.loads, run.err.splitlines())
                   if line["event"] == "summary"][0]
        self.assertEqual((summary["documents"], summary["failed"], summary["truncated"],
                          summary["replaced_bytes"]), (3, 0, 1, 2))


class Telling(harness.Case):
    def test_summary(self):
        run = self.embed("-i", "-", "-o", "out.npy", stdin=b"one\ntwo\n")
        self.assertRegex(run.err, r"2 documents \(0 failed, 0 truncated, 0 bytes replaced\), [\d,]+ tokens")
        self.assertEqual(run.err.count("\n"), 1)
        self.assertNotIn("\r", run.err)

    def test_duplicates(self):
        """A document that comes again within the pool is computed once, and its tokens are counted once."""
        self.file("once.txt", "some words\n")
        self.file("often.txt", "some words\n" * 1000)
        once = self.embed("-i", "once.txt", "-o", "once.npy", "--progress=json")
        often = self.embed("-i", "often.txt", "-o", "often.npy", "--progress=json")
        once, often = (json.loads(run.err.splitlines()[-1]) for run in (once, often))
        self.assertEqual(once["duplicates"], 0)
        self.assertGreater(often["duplicates"], 500)
        self.assertEqual(often["tokens"], (1000 - often["duplicates"]) * once["tokens"])
        with open(self.path("once.npy"), "rb") as one, open(self.path("often.npy"), "rb") as many:
            self.assertEqual(many.read()[128:], one.read()[128:] * 1000)
        run = self.embed("-i", "-", "-o", "told.npy", stdin=b"one\none\ntwo\n")
        self.assertIn("0 bytes replaced; 1 duplicate computed once), ", run.err)

    def test_none_says_nothing(self):
        run = self.embed("-i", "-", "-o", "out.npy", "--progress", "none", stdin=b"one\n")
        self.assertEqual((run.out, run.err), (b"", ""))

    def test_json(self):
        run = self.embed("-i", "-", "-o", "out.npy", "--progress=json", stdin=b"one\n" * 3000)
        lines = [json.loads(line) for line in run.err.splitlines()]
        self.assertEqual([line["event"] for line in lines[:-1]], ["progress"] * (len(lines) - 1))
        last = lines[-1]
        self.assertEqual((last["event"], last["documents"], last["outcome"]), ("summary", 3000, "complete"))
        self.assertGreater(last["peak_rss_bytes"], 1 << 20)

    def test_terminal(self):
        """On a terminal a line is rewritten and removed before the summary."""
        main, side = pty.openpty()
        self.file("in.txt", "one word and another\n" * 20000)
        process = subprocess.Popen([harness.VECMILL, "embed", "-m", harness.toy_model(), "-i", "in.txt",
                                    "-o", "out.npy"], cwd=self.dir, env=harness.environment(), stderr=side)
        os.close(side)
        text = b""
        while True:
            try:
                data = os.read(main, 65536)
            except OSError:
                break
            if not data:
                break
            text += data
        os.close(main)
        self.assertEqual(process.wait(harness.WAIT_SECONDS), 0)
        self.assertIn(b"\r", text)
        self.assertRegex(text.decode(), r"20,000 documents \(0 failed")
        if b"tokens/s  " in text:
            self.assertIn(b"MB", text)

    def test_events(self):
        self.file("in.jsonl", "\n".join(BadDocuments.BAD))
        self.embed("-i", "in.jsonl", "-o", "out.npy", "--events", "events.jsonl", code=3)
        events = self.lines("events.jsonl")
        # A pool is open when its first worker is ready; only then is it known what the run computes with.
        self.assertEqual([event["event"] for event in events[:2]], ["worker_ready", "run_started"])
        self.assertEqual(events[1]["dim"], harness.Npy(self.path("out.npy")).dim)
        self.assertEqual(events[-1]["event"], "run_finished")
        self.assertEqual(events[-1]["exit"], 3)
        failed = [event["index"] for event in events if event["event"] == "document_failed"]
        self.assertEqual(failed, [error["index"] for error in self.lines("out.npy.errors.jsonl")])
        self.assertEqual(events[-1]["failed"], len(failed))
        times = [event["t_ms"] for event in events]
        self.assertEqual(times, sorted(times))

    def test_events_of_a_run_that_fails(self):
        self.file("in.txt", "a\n")
        self.run_vecmill("embed", "-m", "org/name", "-i", "in.txt", "-o", "x.npy", "--events", "e.jsonl",
                         code=10)
        event, = self.lines("e.jsonl")
        self.assertEqual((event["event"], event["exit"]), ("run_finished", 10))
        self.assertIn("org/name", event["reason"])


if __name__ == "__main__":
    harness.main()
