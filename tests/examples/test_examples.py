"""The examples for Slurm and Kubernetes, run: shards that are killed and run again as they say are one run's files.

The Slurm scripts run in a cluster of one node (slurm_kit.py), and without one, with Slurm's variables set by hand.
Of the Kubernetes files the schema is checked, and their very commands are run, each as a container would be: as
process 1, as another user, with nothing to write but the volume, where this machine allows it."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

import crew_kit
import harness
import oracle
import slurm_kit

try:
    import kubernetes_validate
    import yaml
except ImportError:
    yaml = None

EXAMPLES = os.path.join(harness.ROOT, "examples")
SLURM = os.path.join(EXAMPLES, "slurm")
KUBERNETES = os.path.join(EXAMPLES, "kubernetes")
# Words by the last digit of the index, so that of 5 shards, and of 10, numbers 1 and 3 have the work: enough for them to
# be stopped in the midst of it.
N, LONG = 400, {1: 160, 3: 160}
ISA = os.environ.get("VECMILL_ISA", "avx2") # the examples' own


def real_model():
    if not harness.REAL_MODEL:
        raise unittest.SkipTest(harness.NO_REAL_MODEL)
    return harness.REAL_MODEL


def cache():
    """A cache with the default model in it, as a shared file system would hold it."""
    def make():
        model = os.path.realpath(real_model())
        if not os.path.exists(os.path.join(os.path.dirname(model), "current")):
            raise unittest.SkipTest("VECMILL_TEST_MODEL does not lie in a cache")
        name = os.path.join("cache", "models", os.path.basename(os.path.dirname(model)))
        home = os.path.join(harness.home(), name)
        # A link would change the file's own times, for which a pack that others build just now is refused.
        shutil.copytree(model, os.path.join(home, os.path.basename(model)))
        shutil.copy(os.path.join(os.path.dirname(model), "current"), home)
        return os.path.join(harness.home(), "cache")
    return crew_kit.once("cache", make)


def environment(**more):
    return harness.environment(VECMILL_CACHE=cache(), PATH=f"{harness.BUILD}:{os.environ['PATH']}", **more)


def corpus():
    def make():
        rng, path = random.Random(3), os.path.join(harness.home(), "docs.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            for i in range(N):
                line = {"text": crew_kit.text(rng, i, LONG.get(i % 10, 3 + i % 4)), "id": f"d{i}"}
                file.write("no JSON\n" if i == 247 else json.dumps(line) + "\n")
        return path
    return crew_kit.once("corpus", make)


def undivided(isa):
    """The files of one run over the whole corpus: {what stands behind the output's name: bytes}."""
    def make():
        folder = os.path.join(harness.home(), "undivided-" + isa)
        os.mkdir(folder)
        run = subprocess.run([harness.VECMILL, "embed", "-i", corpus(), "-o", folder + "/docs.npy"], check=False,
                             env=environment(VECMILL_ISA=isa), timeout=harness.WAIT_SECONDS, capture_output=True)
        assert run.returncode == 3, run.stderr
        return contents(folder)
    return crew_kit.once(("undivided", isa), make)


def contents(folder):
    found = {}
    for name in os.listdir(folder):
        if name.startswith("docs.npy"):
            with open(os.path.join(folder, name), "rb") as file:
                found[name.removeprefix("docs.npy")] = file.read()
    return found


def command_line(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
        return file.read().split("\0")[:-1]
    return []


def supervisor(shard):
    """Pid of the program that embeds this shard, of all runs of this test; None."""
    for pid in harness.processes():
        line = command_line(pid)
        if f"--shard={shard}" in line or shard in line:
            return pid
    return None


def send(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Scene(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        oracle.become_subreaper()

    def setUp(self):
        super().setUp()
        undivided(ISA) # and the pack is built, before anything is slowed down
        os.symlink(corpus(), self.path("docs.jsonl"))

    def hold(self, shards):
        """Lets each of these shards come to a checkpoint with documents in it, and stops its processes there, on a
        machine of any speed; {shard: pid of its supervisor}. The first stop is for the two seconds between
        checkpoints: the next batch makes one."""
        def written(shard):
            with contextlib.suppress(OSError):
                return os.stat(self.path("docs.shard-{}-of-{}.npy.journal".format(*shard.split("/")))).st_mtime_ns
        before, made, stopped, held = {}, {}, {}, {}
        for shard in shards:
            before[shard] = written(shard)

        def begun():
            for shard in set(shards) - set(stopped):
                if written(shard) != before[shard] and (pid := supervisor(shard)):
                    made[shard], stopped[shard] = written(shard), pid
                    self.tree(pid, signal.SIGSTOP)
            return len(stopped) == len(shards)
        harness.wait_until(f"journals of {shards}", begun)
        time.sleep(2.1)
        for pid in stopped.values():
            self.tree(pid, signal.SIGCONT)

        def kept():
            for shard in set(shards) - set(held):
                if written(shard) != made[shard]:
                    self.tree(stopped[shard], signal.SIGSTOP)
                    held[shard] = stopped[shard]
            return len(held) == len(shards)
        harness.wait_until(f"checkpoints of {shards}", kept)
        return held

    def tree(self, pid, number):
        """The supervisor first: while it is stopped it misses no worker."""
        for one in [pid, *oracle.children(pid)]:
            send(one, number)

    def kill(self, pid):
        self.tree(pid, signal.SIGKILL)

    def drop_leases(self, pid):
        """Of a shard that is held: what its workers had, lest a stop waits until the little that there is, is done."""
        for worker in oracle.children(pid):
            send(worker, signal.SIGKILL)

    def same_as_undivided(self, isa=ISA):
        right = undivided(isa)
        self.assertEqual(sorted(right), ["", ".errors.jsonl", ".ids.jsonl"])
        self.assertEqual(contents(self.dir), right)


class Scripts(unittest.TestCase):
    @unittest.skipUnless(shutil.which("shellcheck"), "there is no shellcheck")
    def test_shellcheck(self):
        scripts = [os.path.join(SLURM, name) for name in sorted(os.listdir(SLURM))] + [os.path.join(HERE, "container")]
        run = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
        self.assertEqual((run.returncode, run.stdout), (0, ""))


class SlurmByHand(Scene):
    """The scripts as Slurm would call them. Slurm's commands are scripts that write down what they were asked."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.path("bin"))
        for name in "scontrol", "sbatch":
            self.file("bin/" + name, f'#!/bin/sh\necho "$*" >>"{self.path("asked")}"\n')
            os.chmod(self.path("bin/" + name), 0o755)

    def asked(self):
        if not self.exists("asked"):
            return []
        with open(self.path("asked"), encoding="utf-8") as file:
            return file.read().splitlines()

    def task(self, i, **more):
        known = {"SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": str(i), "SLURM_ARRAY_TASK_COUNT": "5",
                 "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "4", "SLURM_CPUS_PER_TASK": "2",
                 "SLURM_MEM_PER_NODE": "256"}
        return self.script("embed.sbatch", "docs.jsonl", "docs.npy", **(known | more))

    def script(self, name, *args, **more):
        env = environment(**more)
        env["PATH"] = self.path("bin") + ":" + env["PATH"]
        with open(self.path("log"), "ab") as log:
            return subprocess.Popen(["bash", os.path.join(SLURM, name), *args], cwd=self.dir, env=env, stdout=log,
                                    stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    def ends(self, task, code):
        self.assertEqual(task.wait(timeout=harness.WAIT_SECONDS), code, self.log())

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def hurt(self, do, code, asked, **more):
        """Runs shard 3 anew until it has something to lose, does `do(script, supervisor)`, and wants this."""
        for name in os.listdir(self.dir):
            if name.startswith("docs.shard-3"):
                os.unlink(self.path(name))
        before = self.asked()
        task = self.task(3, **more)
        pid = self.hold(["3/5"])["3/5"]
        do(task.pid, pid)
        time.sleep(0.2) # for the script to pass on what it got
        self.drop_leases(pid)
        send(pid, signal.SIGCONT)
        self.ends(task, code)
        self.assertEqual(self.asked()[len(before):], asked)

    def test_an_array(self):
        requeue = ["requeue 77_3"]
        self.hurt(lambda script, pid: self.kill(pid), 137, [], SLURM_RESTART_COUNT="10")
        self.hurt(lambda script, pid: os.killpg(script, signal.SIGTERM), 4, [])
        self.hurt(lambda script, pid: os.kill(script, signal.SIGUSR1), 4, requeue, SLURM_RESTART_COUNT="50")
        self.hurt(lambda script, pid: self.kill(pid), 137, requeue)
        for i in range(5):
            self.ends(self.task(i), 0)
        self.assertEqual(self.log().count("goes on behind the"), 1, self.log())
        self.ends(self.task(3), 0) # a whole one, of an array that is submitted again
        self.ends(self.script("merge.sbatch", "docs.npy", "5"), 0)
        self.same_as_undivided()

    def test_what_is_refused(self):
        for more in ({"SLURM_ARRAY_TASK_ID": ""}, {"SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "5"},
                     {"SLURM_ARRAY_TASK_MAX": "7"}):
            self.ends(self.task(3, **more), 2)
        self.ends(self.task(3, SLURM_MEM_PER_NODE="40"), 5)
        self.assertIn("8.0 MiB are available (--memory)", self.log())
        os.unlink(self.path("docs.jsonl"))
        self.ends(self.task(3), 8)
        self.ends(self.script("merge.sbatch", "docs.npy", "5"), 8)
        self.ends(self.script("submit", "5", "docs.jsonl", "docs.npy", "--bogus"), 1)
        self.file("bin/vecmill", "#!/bin/sh\nexit 127\n")
        os.chmod(self.path("bin/vecmill"), 0o755)
        self.ends(self.task(3), 127)
        self.assertEqual(self.asked(), [])


@harness.long_form("Slurm's own daemons, and the seconds that a requeued task waits; the scripts are run by hand, 20 s")
class SlurmCluster(Scene):
    cluster = None

    def setUp(self):
        super().setUp()
        try:
            SlurmCluster.cluster = slurm_kit.Cluster(harness.home(), environment())
        except slurm_kit.Unable as reason:
            self.skipTest(str(reason))

    def tearDown(self):
        left = self.cluster.stop()
        SlurmCluster.cluster = None
        super().tearDown()
        self.assertEqual(left, [], "Slurm left processes")

    def log(self):
        text = ""
        for name in os.listdir(self.dir):
            if name.endswith(".log"):
                with open(self.path(name), encoding="utf-8", errors="replace") as file:
                    text += f"{name}:\n{file.read()}"
        return text

    def test_an_array_and_its_merge(self):
        run = self.cluster.command(os.path.join(SLURM, "submit"), "5", "docs.jsonl", "docs.npy", cwd=self.dir)
        told = re.fullmatch(r"array (\d+), then merge (\d+) into docs.npy\n", run.stdout)
        self.assertTrue(told, run)
        array, merge = told.groups()
        running = self.hold(["1/5", "3/5"])
        line = command_line(running["3/5"])
        self.assertEqual([line[line.index(name) + 1] for name in ("--workers", "--memory")], ["4", "224M"])
        self.kill(running["3/5"])
        self.drop_leases(running["1/5"])
        self.cluster.command("scontrol", "requeue", f"{array}_1")
        harness.wait_until("the merge", lambda: self.cluster.job(merge).get("JobState") in ("COMPLETED", "FAILED", "CANCELLED"),
                   pause=0.3, told=lambda: self.log() + self.cluster.told("show", "job"))
        for i in range(5):
            job = self.cluster.job(f"{array}_{i}")
            self.assertEqual((job["JobState"], job["Restarts"]), ("COMPLETED", "1" if i in (1, 3) else "0"), self.log())
        self.assertEqual(self.cluster.job(merge)["JobState"], "COMPLETED", self.log())
        self.assertIn("vecmill ended with 137, which may pass; the task is requeued", self.log())
        self.assertEqual(self.log().count("goes on behind the"), 2, self.log())
        self.same_as_undivided()


@unittest.skipUnless(yaml, "PyPI's kubernetes-validate is not installed here")
class Kubernetes(Scene):
    USER = 1000

    def setUp(self):
        super().setUp()
        self.embed, self.merge = (self.document(name)["spec"] for name in ("embed", "merge"))
        for job in self.embed, self.merge:
            user = job["template"]["spec"]["securityContext"]
            self.assertEqual((user["runAsUser"], user["runAsGroup"], user["fsGroup"]), (self.USER,) * 3)
        os.unlink(self.path("docs.jsonl"))
        crew_kit.put_program(corpus(), self.path("docs.jsonl"))
        shutil.copytree(cache(), self.path("cache"), copy_function=crew_kit.put_program)
        if os.getuid() == 0: # a volume is its pods' (fsGroup)
            os.chmod(harness.home(), 0o711)
            for folder, _, _ in os.walk(self.dir):
                os.chown(folder, self.USER, self.USER)
        self.container = self.container_words()

    def document(self, name):
        with open(os.path.join(KUBERNETES, name + ".yaml"), encoding="utf-8") as file:
            return yaml.safe_load(file)

    @staticmethod
    def values(job):
        return {one["name"]: one.get("value") for one in job["template"]["spec"]["containers"][0]["env"]}

    def container_words(self):
        """The words before a command that make a container of it, with this folder as its volume, where that can be."""
        words = [os.path.join(HERE, "container"), self.dir, str(self.USER)]
        run = subprocess.run([*words, harness.VECMILL, "--version"], capture_output=True, text=True, check=False)
        if run.returncode == 0:
            return words
        print(f"the containers' commands run as they are, no container can be made: {run.stderr}")
        return []

    def pod(self, job, index=None, *more, **changed):
        """Starts what the Job's pod would run; the volume's folder is this test's."""
        container, = job["template"]["spec"]["containers"]
        mount, = container["volumeMounts"]

        def placed(text):
            return re.sub(re.escape(mount["mountPath"]) + r"(?=/)", self.dir, text)
        env = {"PATH": f"{harness.BUILD}:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/"}
        for one in container["env"]:
            if "value" in one:
                env[one["name"]] = placed(one["value"])
            else:
                group, resource = one["valueFrom"]["resourceFieldRef"]["resource"].split(".")
                env[one["name"]] = container["resources"][group][resource]
        if index is not None:
            env["JOB_COMPLETION_INDEX"] = str(index)
        env.update(changed, VECMILL_TEST=harness.home())
        command = [*container["command"], *container["args"]]
        command = [re.sub(r"\$\((\w+)\)", lambda name: env[name[1]], placed(word)) for word in command]
        with open(self.path("log"), "ab") as log:
            return subprocess.Popen([*self.container, *command, *more], env=env, cwd="/", stdout=log,
                                    stderr=log, stdin=subprocess.DEVNULL)

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def code(self, pod):
        code = pod.wait(timeout=harness.WAIT_SECONDS)
        return 128 - code if code < 0 else code

    @staticmethod
    def action(job, code):
        """What the Job does about a pod that ended with this code, of no disruption."""
        for rule in job["podFailurePolicy"]["rules"]:
            if "onExitCodes" in rule and code in rule["onExitCodes"]["values"]:
                return rule["action"]
        return "Count" if code else "Complete"

    def run_to_end(self, job, index=None):
        """As the Job's controller does; the codes of its pods."""
        codes = []
        while not codes or self.action(job, codes[-1]) in ("Ignore", "Count"):
            self.assertLess(len(codes), 3, self.log())
            codes.append(self.code(self.pod(job, index)))
        self.assertEqual(codes[-1], 0, self.log())
        return codes

    def test_schema(self):
        for name in sorted(os.listdir(KUBERNETES)):
            with self.subTest(name):
                document = self.document(name.removesuffix(".yaml"))
                kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)

    def test_the_two_jobs_agree(self):
        for job in self.embed, self.merge:
            self.assertEqual(self.values(job)["SHARDS"], str(self.embed["completions"]))
        claim = self.document("volume")["metadata"]["name"]
        for job in self.embed, self.merge:
            pod = job["template"]["spec"]
            self.assertEqual([volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]], [claim])
            for rule in job["podFailurePolicy"]["rules"]:
                self.assertIn(rule.get("onExitCodes", {}).get("containerName", pod["containers"][0]["name"]),
                              [pod["containers"][0]["name"]])

    def test_memory_is_the_plans(self):
        """Limit and requests are the same, and hold the sum that the comment names, with its pack."""
        size = self.embed["template"]["spec"]["containers"][0]["resources"]
        self.assertEqual(size["limits"], size["requests"])
        run = self.run_vecmill("plan", "--workers", size["limits"]["cpu"], "--json", env=environment(VECMILL_ISA=ISA))
        plan = json.loads(run.out)
        needed = (plan["total_bytes"] + plan["reserve_bytes"] + plan["pack_bytes"]) / 2**20
        self.assertAlmostEqual(needed, 146, delta=4)
        self.assertGreater(int(size["limits"]["memory"].removesuffix("Mi")), needed + 4)

    def test_a_job_and_its_merge(self):
        shards = self.embed["completions"]
        for index, number, wanted in (3, signal.SIGKILL, (137, "Count")), (1, signal.SIGTERM, (4, "Ignore")):
            pod = self.pod(self.embed, index)
            pid = self.hold([f"{index}/{shards}"])[f"{index}/{shards}"]
            os.kill(pid, number) # process 1
            self.drop_leases(pid)
            send(pid, signal.SIGCONT)
            code = self.code(pod)
            self.assertEqual((code, self.action(self.embed, code)), wanted, self.log())
        codes = [self.run_to_end(self.embed, i) for i in range(shards)]
        self.assertEqual(codes, [[3, 0] if i == 7 else [0] for i in range(shards)])
        self.assertEqual(self.log().count("goes on behind the"), 2, self.log())
        self.assertEqual(self.run_to_end(self.merge), [0])
        self.same_as_undivided(self.values(self.embed)["VECMILL_ISA"])

    @harness.long_form("every exit code by a pod of its own, 8 s")
    def test_the_policy_is_of_what_vecmill_says(self):
        def ends(code, action, job, *more, **changed):
            said = self.code(self.pod(job, 0, *more, **changed))
            self.assertEqual((said, self.action(job, said)), (code, action), self.log())
        ends(2, "FailJob", self.embed, "--bogus")
        ends(2, "FailJob", self.embed, SHARDS="0")
        ends(5, "FailJob", self.embed, "--memory=20M")
        ends(7, "Count", self.embed, "--output=/no-such-folder/docs.npy")
        ends(8, "FailJob", self.embed, "--input=/no-such-file.jsonl")
        ends(8, "FailJob", self.merge)
        pod = self.pod(self.embed, 3)
        shard = f"3/{self.embed['completions']}"
        self.kill(self.hold([shard])[shard])
        self.code(pod)
        ends(9, "FailJob", self.embed, JOB_COMPLETION_INDEX="3", VECMILL_ISA="ref")
        for ending in ".npy.part", ".npy.ids.jsonl.part", ".npy.journal":
            os.unlink(self.path(f"docs.shard-3-of-{self.embed['completions']}{ending}"))


def end(number, _frame):
    """Stopped from outside: daemons and processes that are held would stay."""
    for pid in harness.processes():
        send(pid, signal.SIGKILL)
    if SlurmCluster.cluster:
        SlurmCluster.cluster.stop()
    harness.leave()
    os._exit(128 + number)


if __name__ == "__main__":
    for stopping in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(stopping, end)
    harness.main()
