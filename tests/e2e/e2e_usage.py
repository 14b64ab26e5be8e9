"""The command line from outside: help, versions, what is refused, which check comes first."""

import json
import os
import re
import subprocess
import signal
import time
import unittest
import unittest.mock

import harness

COMMANDS = ["embed", "tokenize", "rerank", "search", "models", "pull", "doctor", "bench", "plan", "merge"]


class Help(harness.Case):
    def test_version(self):
        run = self.run_vecmill("--version")
        self.assertRegex(run.out.decode(), r"^vecmill \d+\.\d+\.\d+\n$")
        self.assertEqual(run.err, "")

    def test_help_lists_the_commands(self):
        text = self.run_vecmill("--help").out.decode()
        for command in COMMANDS:
            self.assertRegex(text, rf"(?m)^  {command} ")

    def test_help_of_every_command(self):
        for command in COMMANDS:
            text = self.run_vecmill(command, "--help").out.decode()
            self.assertIn(f"usage: vecmill {command}", text)

    def test_the_handbook_has_every_option_and_no_other(self):
        with open(os.path.join(harness.ROOT, "docs", "CLI.md"), encoding="utf-8") as file:
            handbook = set(re.findall(r"--([a-z-]+[a-z])", file.read()))
        program = {"version"}
        for command in COMMANDS:
            program.update(re.findall(r"--([a-z-]+[a-z])",
                                      self.run_vecmill(command, "--help").out.decode()))
        # --option is the handbook's own word.
        self.assertEqual(program - handbook, set())
        self.assertEqual(handbook - program, {"option"})

    def test_no_command(self):
        self.refused("no command is given")

    def test_exit_codes_are_in_the_help(self):
        text = self.run_vecmill("--help").out.decode()
        for code in range(11):
            self.assertRegex(text, rf"(?m)^  {code}\s+\S")


class Plan(harness.Case):
    def setUp(self):
        super().setUp()
        # It makes glibc touch all that is allocated, so that a run holds more than its plan has seen touched.
        patch = unittest.mock.patch.dict(os.environ)
        patch.start()
        self.addCleanup(patch.stop)
        os.environ.pop("MALLOC_PERTURB_", None)

    def plan(self, *args, code=0):
        run = self.run_vecmill("plan", "-m", harness.toy_model(), "--json", *args, code=code)
        return json.loads(run.out)

    def embed_args(self, *args):
        return ["embed", "-m", harness.toy_model(), "-i", self.file("in.txt", "a\n"), "-o", "out.npy", *args]

    def test_the_sum(self):
        plan = self.plan("--workers", "3")
        self.assertEqual(plan["total_bytes"], sum(p["bytes"] * p["count"] for p in plan["parts"]))
        self.assertEqual(plan["workers"], 3)
        self.assertTrue(plan["fits"])
        self.assertIsNone(plan["advice"])
        self.assertEqual(plan["precision"], "fp32")
        text = self.run_vecmill("plan", "-m", harness.toy_model(), "--workers", "3").out.decode()
        for words in ("supervisor", "fp32", "queue", "arena", "x 3", "total", "reserve", "limit", "fits"):
            self.assertIn(words, text)

    def test_input_is_not_opened(self):
        os.mkfifo(self.path("in.jsonl"))
        self.plan("-i", self.path("in.jsonl"), "-o", "out.npy")
        self.plan("-i", "is-not-there.csv.gz", "-o", "-")

    @unittest.skipIf(os.environ.get("VECMILL_SANITIZED"), "sanitizers have memory of their own")
    def test_what_does_not_fit(self):
        asked = ("--workers", "2", "--batch-tokens", "512")
        plan = self.plan(*asked)
        least = plan["total_bytes"] + plan["reserve_bytes"]
        self.assertTrue(self.plan(*asked, "--memory", str(least + 65536))["fits"])
        plan = self.plan(*asked, "--memory", str(least - (1 << 20)), code=5)
        self.assertFalse(plan["fits"])
        self.assertEqual(plan["limit_source"], "--memory")
        words = [f"{plan['total_bytes'] / (1 << 20):.1f} MiB", "--memory", "would fit"]
        os.mkfifo(self.path("in.txt"))
        run = self.run_vecmill("embed", "-m", harness.toy_model(), "-i", self.path("in.txt"), "-o", "out.npy",
                               *asked, "--memory", str(least - (1 << 20)), code=5)
        for word in words:
            self.assertIn(word, run.err)
        self.assertEqual(len(run.err.splitlines()), 1)
        self.assertFalse(self.exists("out.npy"))

    def test_auto_shrinks(self):
        self.run_vecmill(*self.embed_args()) # so that there is a pack, and floors are measured
        whole = self.plan()
        self.assertTrue(whole["floors_measured"])
        limit = whole["total_bytes"] + whole["reserve_bytes"] - (256 << 10)
        less = self.plan("--memory", str(limit))
        self.assertTrue(less["fits"])
        self.assertLessEqual(less["total_bytes"] + less["reserve_bytes"], limit)
        run = self.run_vecmill(*self.embed_args("--memory", str(limit)))
        self.assertIn("memory is short", run.err)

    @unittest.skipIf(os.environ.get("VECMILL_SANITIZED"), "sanitizers have memory of their own")
    def test_trial(self):
        os.mkdir(self.path("tmp"))
        with unittest.mock.patch.dict(os.environ, {"TMPDIR": self.path("tmp")}):
            plan = self.plan("--try", "--workers", "2")
            for kind in ("csv.gz", "jsonl"): # the trial reads text, whatever the run will read
                self.plan("--try", "--workers", "1", "-i", "in." + kind, "--max-document", "64K")
        for part in plan["parts"]:
            self.assertLessEqual(part["measured_bytes"], part["bytes"], part)
        measured = {(p["owner"], p["name"]): p["measured_bytes"] for p in plan["parts"]}
        self.assertGreater(measured[("worker", "arena")], 0)
        self.assertGreater(measured[("supervisor", "queue")], 0)
        self.assertEqual(os.listdir(self.path("tmp")), [])

    def test_trial_that_is_stopped(self):
        os.mkdir(self.path("tmp"))
        env = harness.environment() | {"TMPDIR": self.path("tmp")}
        for seconds in (0.02, 0.2, 0.6):
            trial = subprocess.Popen([harness.VECMILL, "plan", "-m", harness.toy_model(), "--try", "--workers", "4"],
                                     env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.wait_for_handler(trial, signal.SIGINT)
            time.sleep(seconds)
            trial.send_signal(signal.SIGINT)
            # 1: it came to its end first, and a sanitizer's own memory is over the plan.
            ends = (0, 1, 4) if os.environ.get("VECMILL_SANITIZED") else (0, 4)
            self.assertIn(trial.wait(harness.WAIT_SECONDS), ends)
            self.assertEqual(os.listdir(self.path("tmp")), [])

    @unittest.skipIf(os.environ.get("VECMILL_SANITIZED"), "sanitizers have memory of their own")
    def test_the_number_is_the_runs(self):
        self.run_vecmill(*self.embed_args()) # so that there is a pack
        for args in ((), ("--workers", "3"), ("--batch-tokens", "4096", "--max-document", "1M")):
            plan = self.plan(*args, "-i", "in.txt", "-o", "out.npy")
            self.run_vecmill(*self.embed_args("--force", "--events", "events.jsonl", *args))
            started = [e for e in self.lines("events.jsonl") if e["event"] == "run_started"][0]
            self.assertEqual(started["memory_bytes"], plan["total_bytes"])
            self.assertEqual(started["memory_limit_source"], plan["limit_source"])
            self.assertEqual((started["precision"], plan["precision"]), ("fp32", "fp32"))


class Refused(harness.Case):
    def embed_args(self, *args):
        return ["embed", "-m", harness.toy_model(), "-i", self.file("in.txt", "a\n"), "-o", "out.npy",
                *args]

    def test_modes_of_bench(self):
        self.refused("--threads says nothing here", "bench", "-i", "x.txt", "--threads", "2")
        self.refused("exclude each other", "bench", "--latency", "--accuracy")
        self.refused("bench needs --input", "bench", "--in-process")

    def test_what_is_accepted_though_it_changes_nothing(self):
        self.run_vecmill(*self.embed_args("--workers", "auto", "--precision", "fp32", "--memory", "auto",
                                          "--batch-tokens", "auto", "--progress", "none"))
        self.run_vecmill(*self.embed_args("--workers=1", "--long=truncate", "--on-error=skip"))

    def test_unknown(self):
        self.refused("did you mean embed?", "embedd")
        self.refused("did you mean --batch-tokens?", *self.embed_args("--batch-token", "5"))
        self.refused("unknown option --zzzzzzzz", *self.embed_args("--zzzzzzzz"))

    def test_ranges_are_said(self):
        self.refused("from 1 to 65536", *self.embed_args("--batch-tokens", "0"))
        self.refused("from 3 to", *self.embed_args("--max-length", "2"))
        self.refused("from 1 to 1073741824", *self.embed_args("--max-document", "2G"))

    def test_max_length_over_the_models_table(self):
        self.refused("60000", *self.embed_args("--max-length", "60000"))
        self.assertFalse(self.exists("out.npy"))

    def test_an_unknown_instruction_set(self):
        self.refused("mmx", *self.embed_args(), env=harness.environment(VECMILL_ISA="mmx"))


class Order(harness.Case):
    """Usage first, then input and output, then the model; nothing is created on the way."""

    def test_usage_before_input(self):
        self.refused("--batch-tokens", "embed", "-i", "missing.txt", "-o", "x.npy", "--batch-tokens", "0")

    def test_endings(self):
        self.file("in.pdf", "x")
        self.file("in.txt", "x")
        self.refused("in.pdf", "embed", "-i", "in.pdf", "-o", "x.npy")
        self.refused("x.bin", "embed", "-i", "in.txt", "-o", "x.bin")

    def test_input_before_model(self):
        self.refused("missing.txt", "embed", "-i", "missing.txt", "-o", "x.npy", "-m", "no/such", code=8)

    def test_output_before_model(self):
        self.file("in.txt", "a\n")
        self.refused("nowhere", "embed", "-i", "in.txt", "-o", "nowhere/x.npy", "-m", "no/such", code=7)
        os.mkdir(self.path("dir.npy"))
        self.refused("dir.npy", "embed", "-i", "in.txt", "-o", "dir.npy", "-m", "no/such", code=7)

    def test_input_is_output(self):
        self.file("in.jsonl", '{"text": "a"}\n')
        self.refused("in.jsonl", "embed", "-i", "in.jsonl", "-o", "in.jsonl", "-m", "no/such", code=7)
        self.assertEqual(self.lines("in.jsonl"), [{"text": "a"}])

    def test_events_are_not_input_or_output(self):
        self.file("in.txt", "a\n")
        self.refused("in.txt", "embed", "-i", "in.txt", "-o", "x.npy", "--events", "in.txt")
        self.refused("x.npy", "embed", "-i", "in.txt", "-o", "x.npy", "--events", "x.npy")
        for own in ("x.npy.ids.jsonl", "x.npy.errors.jsonl", "x.npy.part"):
            self.refused(own, "embed", "-i", "in.txt", "-o", "x.npy", "--events", own)
        self.assertEqual(os.listdir(self.dir), ["in.txt"])

    def test_events_that_cannot_be_written(self):
        self.file("in.txt", "a\n")
        self.refused("no/e.jsonl", "embed", "-i", "in.txt", "-o", "x.npy", "--events", "no/e.jsonl", code=7)
        self.assertEqual(os.listdir(self.dir), ["in.txt"])


class Model(harness.Case):
    def embed_with(self, model, **more):
        self.file("in.txt", "a\n")
        return self.run_vecmill("embed", "-m", model, "-i", "in.txt", "-o", "x.npy", **more)

    def test_unknown_names(self):
        self.assertIn("all-MiniLM-L6-v2", self.embed_with("all-minilm-l6", code=10).err)
        self.embed_with("org/name", code=10)
        self.embed_with("./nothing-here", code=10)
        self.embed_with("../../etc", code=10)

    def test_offline(self):
        run = self.embed_with("BAAI/bge-small-en-v1.5", code=10)
        self.assertRegex(run.err, r"bge-small-en-v1\.5 .*HF_HUB_OFFLINE")
        self.assertFalse(os.path.exists(os.path.join(harness.home(), "cache", "models")))
        self.assertFalse(self.exists("x.npy"))

    def test_every_form_of_a_name_is_fetched(self):
        """Offline says so: the name was understood. The hint names the revision, too."""
        commit = "0123456789abcdef0123456789abcdef01234567"
        for name in ("ALL-minilm-l6-V2", "baai/BGE-small-en-v1.5", f"org/name@{commit}",
                     f"BAAI/bge-small-en-v1.5@{commit}"):
            self.assertIn("HF_HUB_OFFLINE", self.embed_with(name, code=10).err, name)
        self.assertNotIn("HF_HUB_OFFLINE", self.embed_with("org/na--me", code=10).err)

    def test_refused_by_the_registry(self):
        self.assertIn("nomic-ai/nomic-embed-text-v1.5 with --precision int8",
                      self.embed_with("nomic-embed-text-v1.5-Q", code=9).err)

    def test_broken_folders(self):
        folder = harness.toy(self.path("model"))
        for name in ("config.json", "model.safetensors"):
            whole = self.path("model/" + name)
            with open(whole, "rb") as file:
                data = file.read()
            for content in (b"", data[:len(data) // 2], b"\x00" * 64):
                with open(whole, "wb") as file:
                    file.write(content)
                self.assertIn(name, self.embed_with(folder, code=9).err)
            os.remove(whole)
            self.assertIn(name, self.embed_with(folder, code=9).err)
            with open(whole, "wb") as file:
                file.write(data)
        self.embed_with(folder)

    def test_unknown_architecture_is_named(self):
        folder = harness.toy(self.path("model"))
        config = self.path("model/config.json")
        with open(config, encoding="utf-8") as file:
            text = file.read()
        with open(config, "w", encoding="utf-8") as file:
            file.write(re.sub(r'"model_type":\s*"bert"', '"model_type": "mamba"', text))
        self.assertIn("mamba", self.embed_with(folder, code=9).err)

    def test_a_changed_model_is_compiled_again(self):
        first = harness.toy(self.path("one"), "--seed", "1")
        self.embed_with(first)
        before = harness.Npy(self.path("x.npy")).raw(0)
        harness.toy(first, "--seed", "2")
        self.embed_with(first)
        self.assertNotEqual(before, harness.Npy(self.path("x.npy")).raw(0))

    def test_a_broken_pack_is_refused_or_made_again(self):
        folder = harness.toy(self.path("model"), "--seed", "7")
        env = harness.environment(VECMILL_CACHE=self.path("cache"))
        self.embed_with(folder, env=env)
        before = harness.Npy(self.path("x.npy")).raw(0)
        packs = [os.path.join(root, name) for root, _, names in os.walk(self.path("cache"))
                 for name in names if name.endswith(".pack")]
        self.assertEqual(len(packs), 1)
        with open(packs[0], "r+b") as file:
            file.truncate(5000)
        run = subprocess.run([harness.VECMILL, "embed", "-m", folder, "-i", "in.txt", "-o", "x.npy"],
                             cwd=self.dir, env=env, stderr=subprocess.PIPE)
        self.assertIn(run.returncode, (0, 9))
        self.assertEqual(before, harness.Npy(self.path("x.npy")).raw(0))


class Streams(harness.Case):
    def test_standard_output_is_full(self):
        with open("/dev/full", "wb") as full:
            for args in (["--version"], ["--help"], ["models"], ["doctor"],
                         ["tokenize", "-m", harness.toy_model()]):
                run = subprocess.run([harness.VECMILL, *args], stdout=full, stderr=subprocess.PIPE,
                                     input=b"a\n", env=harness.environment(HF_HUB_OFFLINE="0"))
                self.assertEqual(run.returncode, 7, (args, run.stderr))
                self.assertIn(b"standard output", run.stderr)

    def test_standard_output_is_closed(self):
        for args in (["--version"], ["embed", "-m", harness.toy_model(), "-i", "-", "-o", "-"]):
            run = subprocess.run(["/bin/sh", "-c", 'exec "$@" >&-', "sh", harness.VECMILL, *args],
                                 stderr=subprocess.PIPE, input=b"a\n", env=harness.environment())
            self.assertEqual(run.returncode, 7, (args, run.stderr))

    def test_standard_input_is_closed(self):
        run = subprocess.run(["/bin/sh", "-c", 'exec "$@" <&-', "sh", harness.VECMILL, "embed", "-m",
                              harness.toy_model(), "-i", "-", "-o", self.path("x.npy")],
                             stderr=subprocess.PIPE, env=harness.environment())
        self.assertEqual(run.returncode, 8, run.stderr)
        self.assertFalse(self.exists("x.npy"))

    def test_control_characters_do_not_reach_the_terminal(self):
        run = self.refused("unknown command", "\033[2Jboo\n")
        self.assertNotIn("\033", run.err)
        self.assertEqual(run.err.count("\n"), 1)


if __name__ == "__main__":
    harness.main()
