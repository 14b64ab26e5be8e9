"""What the tests of killed processes share: programs beside another worker, models that take their time,
corpora, undisturbed references, and a job that can be watched, hurt and judged (oracle.py).

Everything lies in the harness's temporary folder. This process is a subreaper: what a run leaves behind
becomes its child and is found. Where the test may (root), a run gets a /tmp and a /dev/shm of its own, so
that whatever is new there is the run's; elsewhere these two are not looked at, since others write there."""

import collections
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time

import harness
import oracle

HOOKED = os.path.join(harness.BUILD, "tests", "hooked", "vecmill-worker")
SANITIZED = bool(os.environ.get("VECMILL_SANITIZED"))

WORDS = ("the of and a to in is it that for was on are as with his they at be this from have or by one had "
         "not but what all were when we there can an your which their said if do will each about how up out "
         "them then she many some so these would other into has more her two like him see time could").split()

_made = {}


def once(key, make):
    if key not in _made:
        _made[key] = make()
    return _made[key]


# ---- programs, models, corpora ----

def put_program(source, path):
    try:
        os.link(source, path)
    except OSError:
        shutil.copy2(source, path)


def programs(worker=HOOKED, name=None):
    """A folder with vecmill and, beside it, this program in the worker's place (None: nothing; a text that
    begins with #!: a script)."""
    def make():
        folder = tempfile.mkdtemp(prefix="bin-", dir=harness.home())
        put_program(harness.VECMILL, os.path.join(folder, "vecmill"))
        if worker and worker.startswith("#!"):
            with open(os.path.join(folder, "vecmill-worker"), "w", encoding="utf-8") as file:
                file.write(worker)
            os.chmod(file.name, 0o755)
        elif worker:
            put_program(worker, os.path.join(folder, "vecmill-worker"))
        return folder
    return once(("programs", worker, name), make)


PILOT_LAYERS, PILOT_DOCUMENTS, SLOW_MS = 4, 150, 1.5


def deep(layers, positions):
    return ("--layers", str(layers), "--hidden", "64", "--intermediate", "256", "--positions", str(positions))


def layers():
    """Of the models that take their time: as many as it takes for a document of 120 tokens to cost one core here
    SLOW_MS, measured in processor time; so a job lasts as long on any machine, whoever else is at work on it."""
    def make():
        folder = harness.toy(os.path.join(harness.home(), "model-pilot"), *deep(PILOT_LAYERS, 128))
        spent = []
        for n in (1, 1, 1 + PILOT_DOCUMENTS): # the first makes the pack
            before = os.times()
            subprocess.run([harness.VECMILL, "embed", "-m", folder, "-i", corpus(n, 100), "-o",
                            os.path.join(harness.home(), "pilot.npy"), "--workers", "1", "--progress", "none",
                            "--force"], check=True, env=environment(), timeout=harness.WAIT_SECONDS)
            after = os.times()
            spent.append(after.children_user + after.children_system - before.children_user -
                         before.children_system)
        ms = 1e3 * (spent[2] - spent[1]) / PILOT_DOCUMENTS
        return max(1, min(14, round(PILOT_LAYERS * SLOW_MS / max(ms, 0.1))))
    return once("layers", make)


# Milliseconds a document of as many tokens takes on one core: toy 0.04, slow 1.5 (120 tokens), slower 8 (480 tokens).
MODELS = {
    "toy": lambda: (),
    "cross": lambda: ("--cross", "1"),
    "cross3": lambda: ("--cross", "3"),
    "splade": lambda: ("--splade",),
    "slow": lambda: deep(layers(), 128),
    "slower": lambda: deep(layers(), 512),
}


def options(name):
    """Those of tools/make_toy_model.py."""
    return MODELS[name]()


def model(name):
    return once(("model", name),
                lambda: harness.toy(os.path.join(harness.home(), "model-" + name), *options(name)))


def text(rng, i, words):
    return " ".join([str(i)] + [rng.choice(WORDS) for _ in range(words)])


def abstracts(n):
    """n long texts: Cranfield's where the shared data is there, else as many words."""
    path = os.path.join(harness.SHARED, "data", "cranfield.jsonl")
    if not os.path.exists(path):
        print(f"    {n} long texts, of words: there is no {path}", flush=True)
        rng = random.Random(5)
        return [text(rng, i, 380) for i in range(n)]
    print(f"    {n} long texts of {path}", flush=True)
    with open(path, encoding="utf-8") as file:
        return [json.loads(line)["text"] for line, _ in zip(file, range(n))]


def corpus(n, words, seed=1, changed=()):
    """Path of n documents with ids, each another; `changed`: (index, text) of those that are replaced."""
    def make():
        rng = random.Random(seed)
        path = os.path.join(harness.home(), f"corpus-{len(_made)}.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            for i in range(n):
                line = {"id": f"d{i:06}", "text": text(rng, i, words)}
                line["text"] = dict(changed).get(i, line["text"])
                file.write(json.dumps(line) + "\n")
        return path
    return once(("corpus", n, words, seed, tuple(changed)), make)


def documents(path):
    return oracle.documents_of(path)[0]


def reference(model_name, path):
    """(output of an undisturbed run by the program as it is, its seconds)."""
    def make():
        output = os.path.join(harness.home(), f"reference-{len(_made)}.npy")
        began = time.monotonic()
        subprocess.run([harness.VECMILL, "embed", "-m", model(model_name), "-i", path, "-o", output,
                        "--workers", "2", "--progress", "none"], check=True, env=environment(),
                       timeout=harness.WAIT_SECONDS)
        return output, time.monotonic() - began
    return once(("reference", model_name, path), make)


def environment(**more):
    # Under a tracer the check for leaks cannot work; it is made in every other test.
    options = os.environ.get("ASAN_OPTIONS", "")
    return harness.environment(ASAN_OPTIONS=(options + ":" if options else "") + "detect_leaks=0", **more)


class Fed(threading.Thread):
    """A job's input that does not end before the test says so: a named pipe, into which documents are written as
    fast as they are read. Then a file with all of them takes its place, for a run that goes on and for a reference."""

    def __init__(self, case, name="fed.jsonl", words=100, make=None, most=None):
        """make(i): the text of document i, made for each in turn; most: documents, and then it is silent."""
        super().__init__(daemon=True)
        self.path, self.n, self.most = case.path(name), 0, most
        self.make = make or (lambda i: text(self.rng, i, words))
        self.rng, self.ending = random.Random(name), threading.Event()
        self.record, self.dropped = tempfile.NamedTemporaryFile(dir=harness.home()), None
        os.mkfifo(self.path)
        # Also for reading: so nobody need be waited for, and a job that ends breaks nothing.
        self.pipe = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        case.addCleanup(self.stop)
        self.start()

    def line(self):
        return json.dumps({"id": f"d{self.n:06}", "text": self.make(self.n)}).encode() + b"\n"

    def keep(self, line):
        self.record.write(line)
        self.n += 1

    def run(self):
        while not self.ending.is_set() and self.n != self.most:
            line = self.line()
            while not self.put(line):
                self.ending.wait(0.002)
                if self.ending.is_set():
                    self.dropped = line
                    return
            self.keep(line)

    def put(self, line):
        """Whole or not at all: a pipe has room for 64 KiB."""
        waiting = int.from_bytes(fcntl.ioctl(self.pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
        return waiting < 16384 and os.write(self.pipe, line) == len(line)

    def stop(self):
        self.ending.set()
        self.join()
        if self.pipe is not None:
            os.close(self.pipe)
            self.record.close()
        self.pipe = None

    def end(self, more=0):
        """Ends the input of this run, after which `more` documents are left for one that resumes it. A second call does
        nothing."""
        if self.pipe is None:
            return
        self.ending.set()
        self.join()
        for _ in range(more):
            self.keep(self.dropped or self.line())
            self.dropped = None
        self.record.flush()
        shutil.copy(self.record.name, self.path + ".file")
        os.replace(self.path + ".file", self.path)
        self.stop()


# ---- privacy ----

def can_mount():
    """Whether this process may make a mount namespace and bind in it."""
    return once("can_mount", lambda: subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --bind "$0" /dev/shm',
         harness.home()], stderr=subprocess.DEVNULL, check=False).returncode == 0)


def covers_tmp():
    """Whether the run's own /tmp may hide the rest: nothing but the temporary folder is needed of it."""
    needed = [harness.BUILD, harness.ROOT, harness.REAL_MODEL or "/"]
    return os.path.dirname(harness.home()) == "/tmp" and \
        not any(os.path.realpath(path).startswith("/tmp/") for path in needed)


class Privacy:
    """The words before a command that give it its own /tmp and /dev/shm, and the folders they are."""

    def __init__(self, wanted=True):
        self.words, self.folders = [], []
        self.tmpdir = self.make("tmpdir")
        if not wanted or not can_mount():
            return
        shm, binds = self.make("shm"), 'mount --bind "$1" /dev/shm'
        tmp = "-"
        if covers_tmp():
            tmp = self.make("tmp")
            os.mkdir(os.path.join(tmp, os.path.basename(harness.home())))
            binds += ' && mount --rbind "$3" "$2/${3##*/}" && mount --rbind "$2" /tmp'
        self.words = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                      binds + ' && shift 3 && exec "$@"', "sh", shm, tmp, harness.home()]

    def make(self, name):
        folder = tempfile.mkdtemp(prefix=name + "-", dir=harness.home())
        self.folders.append(folder)
        return folder


# ---- a job ----

class Job:
    """One run of embed, or of `command`. What is done to it goes through `send`, or through a plan of hooks.c."""

    count = 0

    def __init__(self, case, input, output="out.npy", model_name="toy", workers=2, folder=None, plan=None,
                 extra=(), prefix=(), env=None, private=True, deadline=harness.WAIT_SECONDS, stdin=None, stdout=None,
                 command="embed"):
        Job.count += 1
        self.case, self.input, self.output = case, input, case.path(output)
        self.model_name, self.workers_wanted, self.deadline = model_name, workers, deadline
        self.folder = folder or harness.BUILD
        self.work = tempfile.mkdtemp(prefix="job-", dir=harness.home())
        self.events_path = os.path.join(self.work, "events.jsonl")
        self.err_path = os.path.join(self.work, "stderr")
        self.faults_path = os.path.join(self.work, "faults")
        self.token = f"job-{os.getpid()}-{Job.count}-of-{os.path.basename(harness.home())}"
        self.privacy = Privacy(private)
        self.env = environment(VECMILL_TEST_RUN=self.token, TMPDIR=self.privacy.tmpdir)
        self.env.update(env or {})
        if plan:
            self.env["VECMILL_TEST_FAULTS"] = f"{plan};log={self.faults_path}"
        self.command = [*self.privacy.words, *prefix, os.path.join(self.folder, "vecmill"), command,
                        "-m", model(model_name), "-i", input, "-o", output, "--workers", str(workers),
                        "--events", self.events_path, *extra]
        if "--progress" not in extra:
            self.command += ["--progress", "none"]
        self.stdin, self.stdout = stdin, stdout
        self.done = collections.defaultdict(list) # what was sent: {pid: [names]}
        self.process = self.code = self.seconds = None
        self.seen, self.offset, self.fd_counts = [], 0, []
        self.journal_made = None # when

    def start(self):
        self.before = oracle.Before(self.output, tuple(self.privacy.folders))
        self.began = time.monotonic()
        with open(self.err_path, "wb") as err:
            self.process = subprocess.Popen(
                self.command, cwd=self.case.dir, env=self.env, stderr=err,
                stdin=self.stdin or subprocess.DEVNULL, stdout=self.stdout or subprocess.DEVNULL)
        self.case.jobs.append(self)
        return self

    # -- looking --

    def events(self):
        """All events so far."""
        try:
            with open(self.events_path, "rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return self.seen
        whole = data.rfind(b"\n") + 1
        self.offset += whole
        self.seen += [json.loads(line) for line in data[:whole].splitlines()]
        return self.seen

    def checkpoints(self):
        """Whether the journal was written since it was made."""
        try:
            now = os.stat(self.output + ".journal").st_mtime_ns
        except FileNotFoundError:
            return False
        self.journal_made = self.journal_made or now
        return now != self.journal_made

    def named(self, *names):
        return [e for e in self.events() if e["event"] in names]

    def deaths(self):
        return self.named("worker_died")

    def stderr(self):
        with open(self.err_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def progress(self):
        """Documents done, of the last line of --progress json."""
        with open(self.err_path, "rb") as file:
            file.seek(max(0, os.path.getsize(self.err_path) - 4096))
            lines = file.read().split(b"\n")[:-1]
        found = [line for line in lines if line.startswith(b'{"event":"progress"')]
        return json.loads(found[-1])["documents"] if found else 0

    def supervisor(self):
        """Its pid, also below a tracer; None before it is known."""
        started = self.named("run_started")
        return started[0]["pid"] if started else None

    def workers(self):
        """Pids of the living workers."""
        found = []
        for pid in oracle.children(self.supervisor() or self.process.pid):
            comm, state, _ = oracle.stat_of(pid) or ("", "", 0)
            if comm == "vecmill-worker" and state not in "ZX":
                found.append(pid)
        return found

    def wait_until(self, what, condition):
        """What condition() gives, once that is true; a run that has ended will not make it true any more."""
        def met():
            ended = self.process.poll() is not None # first: then all that it did is there to be seen
            found = condition()
            self.case.assertFalse(ended and not found, f"ended while waiting for {what}: {self.stderr()}")
            return found
        return harness.wait_until(what, met, 0.003)

    def wait_ready(self, n=None):
        n = n or self.workers_wanted
        return self.wait_until(f"{n} workers", lambda: len(self.named("worker_ready")) >= n and
                               self.supervisor() is not None)

    def count_descriptors(self):
        """Of the supervisor, once all is open that a run opens at its start."""
        try:
            if self.supervisor() and os.path.exists(self.output + ".part"):
                self.fd_counts.append(len(os.listdir(f"/proc/{self.supervisor()}/fd")))
        except OSError:
            pass

    # -- hurting --

    def send(self, pid, name):
        """Sends a signal to a process of this job, never to one that has got its number since."""
        number = getattr(signal, "SIG" + name)
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            found = oracle.stat_of(pid)
            if found is None or found[0] != "vecmill-worker" or found[1] in "ZX" or \
                    pid not in oracle.children(self.supervisor() or self.process.pid):
                return False
            self.done[pid].append(name)
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            self.done[pid].remove(name)
            return False
        finally:
            os.close(pidfd)
        return True

    # -- ending --

    def wait(self, seconds=None):
        """The exit code; a run that does not end is a failure."""
        try:
            self.code = self.process.wait(timeout=seconds or self.deadline)
        except subprocess.TimeoutExpired:
            state = oracle.say_processes([self.process.pid, *oracle.children(self.process.pid)])
            self.kill()
            self.case.fail(f"the run does not end within {seconds or self.deadline} s: {state}; last events "
                           f"{self.events()[-5:]}; it said {self.stderr()[-1000:]}")
        self.seconds = time.monotonic() - self.began
        return self.code

    def kill(self):
        """SIGKILL to the supervisor, and what a SIGKILL does not end goes by its token."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def evidence(self, **more):
        faults = collections.defaultdict(list, oracle.read_faults(self.faults_path))
        for pid, sent in self.done.items():
            faults[pid] = faults[pid] + sent
        known = {
            "input": self.input, "output": self.output, "code": self.code, "stderr": self.stderr(),
            "events": self.events_path, "seconds": self.seconds, "deadline": self.deadline,
            "token": self.token, "before": self.before, "workers": self.workers_wanted,
            "fd_counts": self.fd_counts, "faults": faults,
            "known_children": [job.process.pid for job in self.case.jobs if job.process]}
        return oracle.Run(**(known | more))

    def judge(self, **more):
        """All invariants; returns the verdict."""
        verdict = oracle.judge(self.evidence(**more))
        self.case.assertFalse(verdict.failed, f"\n{verdict}\ncommand: {self.command}\n"
                                              f"last events: {self.events()[-6:]}\n{self.stderr()[-800:]}")
        return verdict

    def finished(self):
        return self.named("run_finished")[-1]


class CrewCase(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        oracle.become_subreaper()

    def setUp(self):
        super().setUp()
        self.jobs = []

    def tearDown(self):
        for job in self.jobs:
            job.kill()
            for pid in oracle.holders(job.token):
                os.kill(pid, signal.SIGKILL)
        self.reap()
        for job in self.jobs:
            shutil.rmtree(job.work, ignore_errors=True)
            for folder in job.privacy.folders:
                if folder.startswith(harness.home()):
                    shutil.rmtree(folder, ignore_errors=True)
        super().tearDown()

    def job(self, *args, **more):
        return Job(self, *args, **more).start()

    def gone(self, job):
        """After a SIGKILL to the supervisor its workers end, and are handed to us. Waits for that; what does
        not go is the oracle's to name."""
        until = time.monotonic() + oracle.LEFT_SECONDS
        while time.monotonic() < until:
            self.reap()
            if not oracle.holders(job.token) and not oracle.orphans(job.evidence()):
                return
            time.sleep(0.002)

    def reap(self):
        """Takes the exit status of every orphan that was handed to us and has ended."""
        known = {job.process.pid for job in self.jobs if job.process and job.process.returncode is None}
        for pid in oracle.children(os.getpid()):
            if pid not in known:
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass

    def drop_parts(self):
        """A test that ends with a run that can be resumed."""
        for name in os.listdir(self.dir):
            if name.endswith((".part", ".journal")):
                os.unlink(self.path(name))

    def run_job(self, *args, codes=(0,), **more):
        """A job that nobody hurts but its own plan, judged."""
        judged = {name: more.pop(name) for name in ("reference", "resumable", "kept", "faults")
                  if name in more}
        job = self.job(*args, **more)
        job.wait()
        job.judge(codes=codes, **judged)
        return job
