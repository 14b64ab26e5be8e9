"""Memory is a number that is read before the run: `plan` tells it, and the run stays under it.

Measured from outside (memory_kit.py): the whole tree of a run against its plan over random options; runs in
a memory group with as much as the plan says, where the kernel itself is the judge; runs that are refused
before they begin, and what they advise; and what a worker more costs.
VECMILL_TEST_RUNS: how many runs with random options.

Load cannot fail it: what is measured is memory, which a run takes at its start and keeps, however slow it is. A look
that comes too late finds less, never more, so such a run is made again."""

import csv
import gzip
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

import crew_kit
import harness
import memory_kit as kit
import oracle
from memory_kit import MIB, mib

RUNS = int(os.environ.get("VECMILL_TEST_RUNS", harness.form(5, 240)))
LOOKED_AT = 5 # times that a run is made, until all its workers were seen at once
JOBS = harness.form(1, 50) # in a group with as much as planned, and not a page more
MEDIAN_LEAST = 0.85               # of peak / plan
GROUP_SLACK = 4 * MIB             # promised: plan + pack + this is enough for a whole group
SMALL_GROUP = 300 * MIB           # of the FastEmbed case

# (options of make_random_model.py, longest document in tokens, most documents: seconds at most)
SHAPES = {
    "thin": (("--layers", "2", "--hidden", "32", "--heads", "4", "--intermediate", "64", "--vocab", "200",
              "--positions", "64"), 64, 4000),
    "wide": (("--layers", "2", "--hidden", "256", "--heads", "4", "--intermediate", "1024", "--vocab",
              "3000", "--positions", "512"), 512, 150),
    "deep": (("--layers", "6", "--hidden", "96", "--heads", "3", "--intermediate", "384", "--vocab", "1000",
              "--positions", "256", "--pooling", "cls"), 256, 400),
}
REAL_SHAPE = ((), 512, 40)
LARGE = {"bge-base": ("--hidden", "768", "--intermediate", "3072"),
         "bge-large": ("--layers", "24", "--hidden", "1024", "--heads", "16", "--intermediate", "4096")}


def random_model(name, *options):
    """Folder of a model with random weights."""
    def make():
        folder = os.path.join(harness.home(), "random-" + name)
        tool = os.path.join(harness.ROOT, "tools", "make_random_model.py")
        subprocess.run([sys.executable, tool, folder, *options], check=True)
        return folder
    return crew_kit.once(("random", name), make)


def model(name):
    return harness.REAL_MODEL if name == "real" else random_model(name, *SHAPES[name][0])


def default_model():
    """The real one where it is there."""
    return "real" if harness.REAL_MODEL else "wide"


# ---- random runs ----

class Drawn:
    """A run with options and documents drawn from a seed."""

    def __init__(self, i):
        rng = self.rng = harness.chance(i)
        names = [*SHAPES] + (["real"] if harness.REAL_MODEL else [])
        self.model = rng.choice(names)
        _, self.positions, self.documents_most = SHAPES.get(self.model, REAL_SHAPE)
        self.empty_cache = rng.random() < 0.25
        self.form = rng.choice(("txt", "jsonl", "csv"))
        self.gz, self.stdin = rng.random() < 0.3, rng.random() < 0.15
        self.out = rng.choice(("out.npy", "out.npy", "out.jsonl", "-"))
        self.id_bytes = rng.choice((0, 0, 8, 8, 3000))
        self.max_document = rng.choice((None, None, None, 700, 65536, 4 * MIB))
        o = {"--workers": rng.choice(("1", "2", "3", "4", "auto")),
             "--batch-tokens": rng.choice(("auto", "auto", "64", "512", "2048", "4096", "8192", "16384")),
             "--max-length": rng.choice((None, None, str(rng.randrange(3, self.positions + 1)))),
             "--max-document": self.max_document and str(self.max_document),
             "--long": rng.choice(("truncate", "truncate", "error")),
             "--precision": rng.choice((None, "fp32")),
             "--progress": rng.choice(("none", "json")),
             "--events": rng.choice((None, None, "events.jsonl")),
             "--input-format": self.form if self.stdin else None}
        self.options = [word for pair in o.items() if pair[1] for word in pair]

    def sizes(self):
        """Bytes of the documents: many short ones, some long, at times one as long as may be, or longer."""
        rng, most = self.rng, self.max_document or MIB
        n = rng.randrange(self.documents_most // 3, self.documents_most) if rng.random() < 0.9 else \
            rng.randrange(1, 10)
        sizes = [min(most, int(2 ** rng.uniform(0, 12))) for _ in range(n)]
        if rng.random() < 0.5:
            sizes[rng.randrange(n)] = most + rng.choice((-200, -200, 200))
        return sizes

    def write(self, case):
        """Writes the input; its path, and the number of documents."""
        texts = [kit.text_of(self.rng, size) for size in self.sizes()]
        ids = ["%0*d" % (self.id_bytes, i) for i in range(len(texts))] if self.id_bytes else None
        path = case.path("in." + self.form) + (".gz" if self.gz and not self.stdin else "")
        opened = gzip.open if path.endswith(".gz") else open
        with opened(path, "wt", encoding="utf-8", newline="") as file:
            if self.form == "txt":
                file.writelines(text + "\n" for text in texts)
            elif self.form == "jsonl":
                for i, text in enumerate(texts):
                    file.write(json.dumps({"text": text} | ({"id": ids[i]} if ids else {})) + "\n")
            else:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["text"] + (["id"] if ids else []))
                writer.writerows([text] + ([ids[i]] if ids else []) for i, text in enumerate(texts))
        return path, len(texts)

    def __str__(self):
        words = ["-m", self.model, *self.options, self.form + (".gz" if self.gz else ""), "to", self.out]
        return " ".join(words) + f", ids of {self.id_bytes} bytes" + \
            (", from stdin" if self.stdin else "") + (", without a pack" if self.empty_cache else "")


class Plans(crew_kit.CrewCase):
    def drawn(self, i):
        """(peak of the tree / plan, plan, run, what was drawn) of the i-th run."""
        d = Drawn(i)
        path, n = d.write(self)
        env = crew_kit.environment()
        if d.empty_cache:
            env["VECMILL_CACHE"] = self.path("cache")
        args = ["-m", model(d.model), "-i", "-" if d.stdin else path, "-o", d.out, *d.options]
        plan = kit.Plan(self, args, env=env, codes=(0,))
        if d.empty_cache: # as it was: the plan may have made something
            shutil.rmtree(env["VECMILL_CACHE"], ignore_errors=True)
        # On a busy machine a run may be over before anybody has looked at all its workers, which says little of it.
        # Every run there is has to keep to its plan; the one that was seen best is returned.
        runs = []
        while not runs or runs[-1].sampler.most <= plan.workers and len(runs) < LOOKED_AT:
            stdin = open(path, "rb") if d.stdin else None
            group = kit.Group.if_possible(self)
            runs.append(run := kit.Run(self, args, group=group, env=env, stdin=stdin))
            if group:
                self.assertEqual(group.oom_kills(), 0)
                group.remove()
            if stdin:
                stdin.close()
            # All of a few documents may be longer than what was drawn.
            self.assertIn(run.code, (0, 3, 8) if "no document of" in run.err else (0, 3), f"{d}: {run.err}")
            if d.out == "out.npy" and run.code != 8:
                self.assertEqual(harness.Npy(self.path(d.out)).n, n, d)
            for name in os.listdir(self.dir):
                if self.path(name) != path:
                    whole = self.path(name)
                    shutil.rmtree(whole) if os.path.isdir(whole) else os.unlink(whole)
        os.unlink(path)
        run = max(runs, key=lambda run: run.peak)
        return run.peak / plan.total, plan, run, d

    def test_random_options(self):
        """The tree of a run never has more than its plan, and a plan is no excuse for waste."""
        found = sorted((self.drawn(i) for i in range(RUNS)), key=lambda f: f[0])
        ratios = [f[0] for f in found]
        # A run that is over before all its workers were started (or seen) cannot take what they would.
        whole = [ratio for ratio, plan, run, _ in found if run.sampler.most > plan.workers]
        median = statistics.median(whole)
        built = sum(d.empty_cache for _, _, _, d in found)
        print(f"peak of the tree / plan, {RUNS} random runs ({built} built their pack): "
              f"min {ratios[0]:.3f}, quarter {ratios[len(ratios) // 4]:.3f}, median "
              f"{statistics.median(ratios):.3f}, max {ratios[-1]:.3f}; median of the {len(whole)} in which all "
              f"workers were seen {median:.3f}; looks at a run: {min(f[2].sampler.looks for f in found)} to "
              f"{max(f[2].sampler.looks for f in found)}")
        with_kernel = sorted(f[2].sampler.whole_peak / (f[1].total + f[1].reserve) for f in found)
        beside_kernel = sorted(f[2].peak / (f[1].total - f[1].kernel) for f in found)
        kernel = sorted(f[2].sampler.kernel_peak / f[1].kernel for f in found)
        for what, some in (("tree and the kernel's own / (plan + reserve)", with_kernel),
                           ("tree / what the plan has for processes", beside_kernel),
                           ("the kernel's own / what the plan has for it", kernel)):
            print(f"  {what}: min {some[0]:.3f}, median {statistics.median(some):.3f}, max {some[-1]:.3f}")
        for what, some in (("most", found[-3:][::-1]), ("least", found[:3])):
            for ratio, plan, run, d in some:
                print(f"  {what}: {ratio:.3f}, {mib(run.peak)} of {mib(plan.total)}: {d}; "
                      f"{plan.workers} workers, {plan.batch_tokens} tokens")
        over = [f"{run.peak} of {plan.total} bytes, {run.sampler.peak_parts}, {plan.all['parts']}: {d}"
                for ratio, plan, run, d in found
                # The kernel's own of a pack that is written is there for its page cache, and goes with it.
                if ratio > 1 or (not d.empty_cache and run.sampler.whole_peak > plan.total + plan.reserve)]
        self.assertEqual(over, [])
        self.assertGreaterEqual(statistics.median(beside_kernel), MEDIAN_LEAST)
        if RUNS >= 100: # of fewer the median says little
            self.assertGreaterEqual(median, MEDIAN_LEAST)

    def test_a_worker_more(self):
        """Each costs what the plan says, and none has a copy of the weights."""
        name = default_model()
        self.file("in.txt", "\n".join(kit.short_texts(64)))
        self.run_vecmill("embed", "-m", model(name), "-i", "in.txt", "-o", "pack.npy") # makes the pack
        most, rows = harness.form(3, 8), []
        for w in range(1, most + 1):
            args = ["-m", model(name), "-i", "in.txt", "-o", "out.npy", "--batch-tokens", "2048",
                    "--workers", str(w), "--force"]
            plan = kit.Plan(self, args, codes=(0,))
            held = self.held_by(args, w)
            rows.append((w, plan.total - plan.kernel, *held))
        print(f"{name} model, 2,048 tokens a pass; workers, plan without the kernel's own, tree (its growth, "
              f"the plan's growth)")
        for i, (w, total, tree, packs, written) in enumerate(rows):
            more = f" (+{tree - rows[i - 1][2]}, plan +{total - rows[i - 1][1]})" if i else ""
            print(f"  {w}: {total}, {tree}{more}; {packs} mappings of the pack, "
                  f"{written} bytes of them anonymous")
            self.assertEqual(packs, w)
            self.assertEqual(written, 0)
            self.assertLessEqual(tree, total)
            if i:
                grown, planned = tree - rows[i - 1][2], total - rows[i - 1][1]
                self.assertLessEqual(abs(grown - planned), max(MIB, planned * 0.10),
                                     f"a worker more: {grown} bytes, {planned} planned")

    def held_by(self, args, w):
        """(bytes of the tree, mappings of the pack, anonymous bytes in these) once w workers have worked."""
        read, write = os.pipe()
        args = [*args[:args.index("-i")], "-i", "-", *args[args.index("-i") + 2:], "--events", "events.jsonl"]
        args.remove("--force")
        process = subprocess.Popen([harness.VECMILL, "embed", *args, "--progress", "none"], cwd=self.dir,
                                   env=crew_kit.environment(), stdin=read)
        os.close(read)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        texts = kit.short_texts(400)
        with os.fdopen(write, "wb") as pipe:
            pipe.write(("\n".join(texts) + "\n").encode())
            pipe.flush()
            until = time.monotonic() + harness.WAIT_SECONDS
            asleep = 0 # looks, one after the other, at which nobody worked: one alone may fall between two batches
            while asleep < 20:
                self.assertLess(time.monotonic(), until, "the workers are not ready")
                asleep = asleep + 1 if self.ready(w) and not self.busy(process.pid) else 0
                time.sleep(0.02)
            pids = kit.tree(process.pid)
            held = sum(sum(kit.look_at(pid)[:2]) for pid in pids)
            packs = [kit.pack_mappings(pid) for pid in pids]
        self.assertEqual(process.wait(harness.WAIT_SECONDS), 0)
        return held, sum(n for n, _ in packs), sum(n for _, n in packs)

    def ready(self, w):
        try:
            return len([e for e in oracle.read_events(self.path("events.jsonl"))
                        if e["event"] == "worker_ready"]) >= w
        except FileNotFoundError:
            return False

    def busy(self, root):
        """Whether one of the processes runs just now."""
        return any((oracle.stat_of(pid) or "  ")[1] == "R" for pid in kit.tree(root))


# ---- groups ----

class Limits(crew_kit.CrewCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.name = default_model()
        cls.folder = model(cls.name)
        cls.corpus = crew_kit.corpus(150, 60)

    def args(self, output, *options):
        return ["-m", self.folder, "-i", self.corpus, "-o", output, "--progress", "none", *options]

    def reference(self):
        self.run_vecmill("embed", *self.args("reference.npy", "--workers", "1"))
        with open(self.path("reference.npy"), "rb") as file:
            return file.read()

    def output(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def packs(self):
        return os.path.join(harness.home(), "cache", "packs")

    def test_as_much_as_planned(self):
        """In a group with what the plan says, the kernel kills nobody: with room for the pack, read anew, and
        4 MiB; and with the plan and its reserve alone, where the pack is in the cache."""
        wanted, rng = self.reference(), harness.chance("jobs")
        used, tight = [], []
        for i in range(JOBS):
            workers, tokens = rng.randrange(1, 4), rng.choice((256, 1024, 4096, 16384))
            args = self.args(f"out-{i}.npy", "--workers", str(workers), "--batch-tokens", str(tokens))
            plan = kit.Plan(self, args, codes=(0,))
            for limit, cold, ratios in ((plan.total + plan.pack + GROUP_SLACK, True, used),
                                        (plan.total + plan.reserve, False, tight)):
                limit = -(-limit // 4096) * 4096
                group = kit.Group(self, limit)
                if cold:
                    kit.drop_from_cache(self.packs())
                run = kit.Run(self, [*args, "--force"], group=group)
                what = f"{workers} workers, {tokens} tokens, limit {limit}, plan {plan.all}"
                self.assertEqual((run.code, group.oom_kills()), (0, 0), f"{what}: {run.err}")
                self.assertEqual(self.output(f"out-{i}.npy"), wanted, what)
                self.assertLessEqual(run.peak, plan.total, f"{what}: {run.sampler.peak_parts}")
                ratios.append((run.sampler.group_peak / (plan.total + plan.reserve),
                               run.sampler.kernel_peak / plan.reserve))
                group.remove()
        for what, ratios in (("plan + pack + 4 MiB", used), ("plan + reserve", tight)):
            print(f"{self.name} model, group of {what}: {len(ratios)} of {JOBS} jobs complete, 0 OOM kills; "
                  f"held by the group / (plan + reserve), at most {max(r[0] for r in ratios):.3f}; the "
                  f"kernel's own / reserve, at most {max(r[1] for r in ratios):.3f}")

    @harness.long_form("test_a_budget lowers the same limit without a group, 12 s")
    def test_a_limit_below_the_plan(self):
        """Refused before the input is opened, with what would fit; and automatic choices do fit."""
        wanted = self.reference()
        free = kit.Plan(self, self.args("out.npy"), codes=(0,))
        limit = (free.total - MIB) // 4096 * 4096
        group = kit.Group(self, limit)
        os.mkfifo(self.path("never.jsonl")) # nobody writes: who opens it waits for ever
        explicit = ["--workers", str(free.workers), "--batch-tokens", str(free.batch_tokens)]
        refused = ["-m", self.folder, "-i", "never.jsonl", "-o", "never.npy", *explicit]
        kit.Plan(self, refused, prefix=group.prefix, codes=(5,))
        run = kit.Run(self, refused, group=group)
        said = [line for line in run.err.splitlines() if line.startswith("vecmill: ")]
        self.assertEqual((run.code, len(said)), (5, 1), run.err)
        self.assertFalse(self.exists("never.npy"))
        print(f"{self.name} model, {free.workers} workers and {free.batch_tokens} tokens need "
              f"{mib(free.total)}, the group has {mib(limit)}: refused after {run.seconds * 1e3:.0f} ms: "
              f"{said[0]}")
        advice = re.findall(r"(--[a-z-]+) (\d+K?)\b", said[0])
        self.assertTrue(advice, said[0])
        explicit = dict(zip(explicit[::2], explicit[1::2])) | dict(advice)
        followed = self.args("followed.npy", *[word for pair in explicit.items() for word in pair])
        for args, name in ((followed, "followed.npy"), (self.args("auto.npy"), "auto.npy")):
            chosen = kit.Plan(self, args, prefix=group.prefix, codes=(0,))
            self.assertLessEqual(chosen.total + chosen.reserve, limit)
            self.assertLessEqual((chosen.workers, chosen.workers * chosen.batch_tokens),
                                 (free.workers, free.workers * free.batch_tokens))
            run = kit.Run(self, args, group=group)
            self.assertEqual((run.code, group.oom_kills()), (0, 0), run.err)
            self.assertEqual(self.output(name), wanted)
            print(f"  {name.removesuffix('.npy')}: {chosen.workers} workers and {chosen.batch_tokens} "
                  f"tokens, {mib(chosen.total)}; complete, the same bytes")

    def test_a_budget(self):
        """--memory is a limit like a group's, and needs no group."""
        wanted = self.reference()
        free = kit.Plan(self, self.args("out.npy"), codes=(0,))
        budget = free.total + free.reserve - 2 * MIB
        explicit = self.args("explicit.npy", "--workers", str(free.workers), "--batch-tokens",
                             str(free.batch_tokens), "--memory", str(budget))
        run = kit.Run(self, explicit)
        self.assertEqual((run.code, self.exists("explicit.npy")), (5, False), run.err)
        self.assertRegex(run.err, r"(?m)^vecmill: .*\(--memory\); .*would fit$")
        run = kit.Run(self, self.args("auto.npy", "--memory", str(budget), "--events", "events.jsonl"))
        self.assertEqual(run.code, 0, run.err)
        self.assertEqual(self.output("auto.npy"), wanted)
        started = next(e for e in self.lines("events.jsonl") if e["event"] == "run_started")
        self.assertLessEqual(run.peak, started["memory_bytes"], run.sampler.peak_parts)
        self.assertLessEqual(started["memory_bytes"], budget)
        self.assertEqual(started["memory_limit_bytes"], budget)
        print(f"{self.name} model, --memory {budget}: {started['workers']} workers, "
              f"{started['batch_tokens']} tokens, planned {started['memory_bytes']}, tree {run.peak}; the "
              f"same bytes")
        run = kit.Run(self, self.args("none.npy", "--memory", "1M"))
        self.assertEqual((run.code, self.exists("none.npy")), (5, False), run.err)

    @harness.long_form("a model of real size is made, packed and run twice, 20 s")
    def test_the_fastembed_case(self):
        """550 short texts, a model of bge-small's shape, defaults: reported to FastEmbed as killed in a
        container of 5 GiB. Here in 300 MiB, with four workers."""
        tokenizer = ("--tokenizer-from", harness.REAL_MODEL) if harness.REAL_MODEL else ()
        folder = random_model("bge-small", "--pooling", "cls", *tokenizer)
        self.file("in.txt", "\n".join(kit.short_texts(550)))
        args = ["-m", folder, "-i", "in.txt", "-o", "out.npy", "--workers", "4"]
        plan = kit.Plan(self, args, codes=(0,)) # where there is no limit
        for packed in (False, True):
            if packed:
                kit.drop_from_cache(self.packs())
            else:
                shutil.rmtree(self.packs(), ignore_errors=True)
            group = kit.Group(self, SMALL_GROUP)
            run = kit.Run(self, args, group=group)
            self.assertEqual((run.code, group.oom_kills()), (0, 0), run.err)
            self.assertEqual(harness.Npy(self.path("out.npy")).n, 550)
            os.unlink(self.path("out.npy"))
            print(f"550 short texts, bge-small's shape, 4 workers, group of {mib(SMALL_GROUP)}, the pack "
                  f"{'read' if packed else 'built'} there: {run.seconds:.1f} s, 0 OOM kills; tree "
                  f"{mib(run.peak)}, held by the group {mib(run.sampler.group_peak)}, with page cache "
                  f"{mib(group.number('memory.max_usage_in_bytes'))} (plan without a limit "
                  f"{mib(plan.total)})")

    @harness.long_form("a gigabyte of weights is made, and used, 60 s")
    def test_large_shapes(self):
        """A pack of a gigabyte is built, and used, in a group with what the plan says."""
        self.file("in.txt", "\n".join(kit.short_texts(40)))
        for name, options in LARGE.items():
            folder = random_model(name, "--pooling", "cls", *options)
            args = ["-m", folder, "-i", "in.txt", "-o", name + ".npy", "--workers", "2"]
            env = crew_kit.environment(VECMILL_CACHE=self.path("cache"))
            plan = kit.Plan(self, args, env=env, codes=(0,))
            shutil.rmtree(self.path("cache"), ignore_errors=True)
            limit = -(-(plan.total + plan.pack + GROUP_SLACK) // 4096) * 4096 # less would read it each pass
            group = kit.Group(self, limit)
            run = kit.Run(self, args, group=group, env=env, deadline=3000)
            self.assertEqual((run.code, group.oom_kills()), (0, 0), run.err)
            self.assertLessEqual(run.peak, plan.total, run.sampler.peak_parts)
            print(f"{name}'s shape, pack of {mib(plan.pack)} built in a group of {mib(limit)}, plan + "
                  f"pack + 4 MiB: {run.seconds:.0f} s, 0 OOM kills; tree {mib(run.peak)} of "
                  f"{mib(plan.total)} planned, held by the group {mib(run.sampler.group_peak)}")
            shutil.rmtree(folder)
            shutil.rmtree(self.path("cache"))


if __name__ == "__main__":
    harness.main()
