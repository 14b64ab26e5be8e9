"""Starting where people start it: in images, on read-only and full disks, in other people's caches, where locks or
other system calls are refused, with small stacks.

What is expected is always the rows of an undisturbed run in a cache of its own.
"""

import errno
import os
import re
import shutil
import subprocess
import sys
import tarfile
import unittest

import harness

REFUSE = os.path.join(harness.BUILD, "tests", "e2e", "refuse")
IS_ROOT = os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], check=False,
                                               stderr=subprocess.DEVNULL).returncode == 0
ROOT_ONLY = unittest.skipUnless(IS_ROOT, "mounts and other users are root's to make")

F_OFD_SETLK = 37
TEXTS = "one two three\nfour\n\nthe end of it\n"


def syscall_number(name):
    """By the headers of this machine."""
    said = subprocess.run(["cc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    return re.search(rf"^#define __NR_{name} (\d+)$", said, re.MULTILINE).group(1)


class Start(harness.Case):
    def setUp(self):
        super().setUp()
        self.file("in.txt", TEXTS)
        self.cache = self.path("cache")
        self.model = harness.toy(self.path("model"), "--seed", "3")

    def args(self, *more):
        return ["embed", "-m", self.model, "-i", "in.txt", "-o", "out.npy", "--workers", "1", "--progress", "none",
                *more]

    def env(self, **more):
        return harness.environment(VECMILL_CACHE=self.cache, **more)

    def rows(self):
        return harness.Npy(self.path("out.npy")).bytes

    def go(self, *more, prefix=(), env=None, code=0):
        """Rows and what was said on stderr."""
        if self.exists("out.npy"):
            os.unlink(self.path("out.npy"))
        run = subprocess.run([*prefix, harness.VECMILL, *self.args(*more)], cwd=self.dir, env=env or self.env(),
                             stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=harness.WAIT_SECONDS,
                             check=False)
        said = run.stderr.decode("utf-8", "replace")
        self.assertEqual(run.returncode, code, said)
        return (self.rows() if code == 0 else None), said

    def pack(self):
        packs = [name for name in os.listdir(os.path.join(self.cache, "packs")) if name.endswith(".pack")]
        self.assertEqual(len(packs), 1)
        return os.path.join(self.cache, "packs", packs[0])

    def inode(self):
        return os.stat(self.pack()).st_ino

    def read_only(self, folder, *words):
        """The command's prefix by which it sees the folder read-only."""
        script = f'mount --bind "{folder}" "{folder}" && mount -o remount,ro,bind "{folder}" && exec "$@"'
        return ["unshare", "-m", "sh", "-c", script, "sh", *words]


class Images(Start):
    """A pack is known by what it was made of."""

    def archive(self, folder):
        """A folder on its way through an archive that keeps seconds, as an image's layers do."""
        with tarfile.open(self.path("layer.tar"), "w", format=tarfile.USTAR_FORMAT) as tar:
            tar.add(folder, "x")
        shutil.rmtree(folder)
        with tarfile.open(self.path("layer.tar")) as tar:
            tar.extractall(self.path("unpacked"), filter="fully_trusted")
        os.rename(self.path("unpacked/x"), folder)

    def test_a_pack_in_an_image_is_used(self):
        before, said = self.go()
        self.assertEqual(said, "")
        for folder in (self.model, self.cache):
            self.archive(folder)
        inode = self.inode()
        self.assertEqual(self.go(), (before, ""))
        self.assertEqual(self.inode(), inode)

    def test_nothing_that_was_seen_is_needed(self):
        before, _ = self.go()
        inode = self.inode()
        os.unlink(self.pack() + ".seen")
        self.assertEqual(self.go(), (before, ""))
        self.assertEqual(self.inode(), inode)

    def test_a_cache_is_moved_with_its_models(self):
        self.cache, self.model = self.path("first"), self.path("first/models/m")
        harness.toy(self.model)
        before, _ = self.go()
        inode = self.inode()
        os.rename(self.path("first"), self.path("second"))
        self.cache, self.model = self.path("second"), self.path("second/models/m")
        self.assertEqual(self.go(), (before, ""))
        self.assertEqual(self.inode(), inode)

    @ROOT_ONLY
    def test_read_only(self):
        before, _ = self.go()
        self.assertEqual(self.go(prefix=self.read_only(self.cache)), (before, ""))

    def test_weights_of_the_same_size(self):
        """The same sizes, and the times of before: other contents are another model."""
        before, _ = self.go()
        path = self.path("model/model.safetensors")
        times = os.stat(path)
        with open(path, "r+b") as file:
            file.seek(-5, os.SEEK_END)
            byte = file.read(1)
            file.seek(-5, os.SEEK_END)
            file.write(bytes([byte[0] ^ 1]))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        inode = self.inode()
        self.go()
        self.assertNotEqual(self.inode(), inode)
        self.assertIsNotNone(before)


class NoPlace(Start):
    """Where no pack can be kept it is built in memory, and says so."""

    def expected(self):
        rows, _ = self.go()
        shutil.rmtree(self.cache)
        return rows

    def check_memory(self, rows, said):
        self.assertEqual(rows, self.wanted)
        self.assertEqual(said.count("warning: "), 1, said)
        self.assertIn("built in memory", said)

    @ROOT_ONLY
    def test_read_only_without_a_pack(self):
        self.wanted = self.expected()
        os.mkdir(self.cache)
        rows, said = self.go(prefix=self.read_only(self.cache))
        self.check_memory(rows, said)
        self.assertIn("Read-only file system", said)
        run = subprocess.run(self.read_only(self.cache, harness.VECMILL, "plan", "-m", self.model, "--workers", "1",
                                            "--json"), env=self.env(), stdout=subprocess.PIPE, check=True)
        plan = harness.json.loads(run.stdout)
        lines = {part["name"]: part["bytes"] for part in plan["parts"]}
        self.assertEqual(plan["pack_bytes"], 0)
        self.assertGreater(lines["pack, in memory"], os.path.getsize(os.path.join(self.model, "model.safetensors")))
        run = subprocess.run(self.read_only(self.cache, harness.VECMILL, "plan", "-m", self.model, "--workers", "2",
                                            "--try"), env=self.env(TMPDIR=self.dir), stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, check=False)
        if "VECMILL_SANITIZED" not in os.environ:
            self.assertEqual(run.returncode, 0, run.stdout)

    @ROOT_ONLY
    def test_another_users_closed_home(self):
        """No word of what cannot even be looked at."""
        self.wanted = self.expected()
        os.mkdir(self.cache)
        os.chmod(self.cache, 0o700)
        for folder in (harness.home(), self.dir):
            os.chmod(folder, 0o755)
        os.mkdir(self.path("out"))
        os.chmod(self.path("out"), 0o777)
        self.file("out/in.txt", TEXTS)
        for name in ("vecmill", "vecmill-worker"): # the build may be in a folder that is closed to others
            shutil.copy(os.path.join(harness.BUILD, name), self.path("out"))
        run = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "./vecmill",
                              *self.args()], cwd=self.path("out"), env=self.env(), stdin=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, check=False)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(harness.Npy(self.path("out/out.npy")).bytes, self.wanted)
        self.assertEqual(run.stderr.decode().count(self.cache + "/packs"), 1, run.stderr)

    def test_no_folder(self):
        self.wanted = self.expected()
        self.file("cache", "a file, and no folder")
        self.check_memory(*self.go())

    @ROOT_ONLY
    def test_a_full_disk(self):
        self.wanted = self.expected()
        os.mkdir(self.cache)
        script = f'mount -t tmpfs -o size=64k none "{self.cache}" && exec "$@"'
        rows, said = self.go(prefix=["unshare", "-m", "sh", "-c", script, "sh"])
        self.check_memory(rows, said)
        self.assertIn("No space left", said)

    @ROOT_ONLY
    def test_workers_that_are_killed_find_it_again(self):
        self.wanted = self.expected()
        os.mkdir(self.cache)
        with open(self.path("events.jsonl"), "wb"):
            pass
        words = self.args("-i", "-", "--input-format", "txt", "--events", "events.jsonl")
        job = subprocess.Popen(self.read_only(self.cache, harness.VECMILL, *words), cwd=self.dir, env=self.env(),
                               stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for n_killed in range(3): # it waits for more input, so it cannot be over meanwhile
            job.stdin.write(TEXTS.encode() * 1000)
            job.stdin.flush()
            ready = harness.wait_until("a worker", lambda n=n_killed: self.ready()[n:])
            os.kill(ready[0], harness.signal.SIGKILL)
        said = job.communicate()[1].decode()
        self.assertEqual(job.returncode, 0, said)
        self.assertEqual(self.rows(), self.wanted * 3000)

    def ready(self):
        """Process ids of the workers so far."""
        return [line["pid"] for line in self.whole_lines() if line["event"] == "worker_ready"]

    def whole_lines(self):
        with open(self.path("events.jsonl"), encoding="utf-8") as file:
            return [harness.json.loads(line) for line in file if line.endswith("\n")]

    @ROOT_ONLY
    def test_no_memory_either(self):
        os.mkdir(self.cache)
        shared = 'mount --bind "$0" /dev/shm && mount -o remount,ro,bind /dev/shm && exec "$@"'
        os.mkdir(self.path("shm"))
        _, said = self.go(prefix=self.read_only(self.cache, "sh", "-c", shared, self.path("shm"), REFUSE,
                                                str(errno.ENOSYS), syscall_number("memfd_create")), code=1)
        self.assertIn("VECMILL_CACHE", said)
        self.assertIn("Read-only file system", said)


class Damage(Start):
    """A damaged pack is built anew, with a warning."""

    def flip(self, place):
        with open(self.pack(), "r+b") as file:
            file.seek(place)
            byte = file.read(1)
            file.seek(place)
            file.write(bytes([byte[0] ^ 0x40]))

    def test_bytes_anywhere(self):
        before, _ = self.go()
        places = [16, 100, 4096, *(harness.chance("damage").randrange(4096, os.path.getsize(self.pack()) - 4096)
                                   for _ in range(harness.form(3, 40)))]
        for place in places:
            times = os.stat(self.pack())
            self.flip(place)
            os.utime(self.pack(), ns=(times.st_atime_ns, times.st_mtime_ns))
            inode = self.inode()
            rows, said = self.go()
            self.assertEqual(rows, before, place)
            if self.inode() != inode: # else it is of the zeros between sections
                self.assertIn("warning: the pack is not used but built anew", said)
            self.assertEqual(self.go(), (before, ""))

    def test_lengths(self):
        before, _ = self.go()
        for size in (0, 1, 4095, 4096, 5000, os.path.getsize(self.pack()) + 1):
            os.truncate(self.pack(), size)
            rows, said = self.go()
            self.assertEqual(rows, before)
            self.assertIn("built anew", said)

    def test_commands_of_one_process(self):
        run = self.run_vecmill("search", "-m", self.model, "-i", "in.npy", "-q", "one", code=8, env=self.env())
        self.go()
        os.rename(self.path("out.npy"), self.path("in.npy"))
        before = self.run_vecmill("search", "-m", self.model, "-i", "in.npy", "-q", "one", env=self.env()).out
        self.flip(os.path.getsize(self.pack()) // 2)
        run = self.run_vecmill("search", "-m", self.model, "-i", "in.npy", "-q", "one", env=self.env())
        self.assertEqual(run.out, before)
        self.assertIn("warning: the pack is not used but built anew", run.err)

    @ROOT_ONLY
    def test_read_only(self):
        before, _ = self.go()
        self.flip(os.path.getsize(self.pack()) // 2)
        rows, said = self.go(prefix=self.read_only(self.cache))
        self.assertEqual(rows, before)
        self.assertIn("built anew", said)
        self.assertIn("built in memory", said)

    @ROOT_ONLY
    def test_a_pack_of_another_user(self):
        """In a folder that everybody writes to, a stranger's pack is not believed; the administrator's cache is."""
        before, _ = self.go()
        shutil.chown(self.pack(), 12345)
        self.assertEqual(self.go()[0], before)
        packs = os.path.join(self.cache, "packs")
        shutil.chown(self.pack(), 12345)
        os.chmod(packs, 0o1777)
        rows, said = self.go()
        self.assertEqual(rows, before)
        self.assertIn("another user", said)
        self.assertEqual(os.stat(self.pack()).st_uid, 0)
        shutil.chown(self.pack(), 12345)
        shutil.chown(packs, 12345)
        os.chmod(packs, 0o755)
        self.assertEqual(self.go(), (before, ""))


class Refused(Start):
    """System calls that sandboxes, old kernels and other file systems refuse."""

    def refuse(self, error, *calls):
        """A call by its name, or with its second argument, ("fcntl", 37)."""
        named = [call if isinstance(call, tuple) else (call,) for call in calls]
        return [REFUSE, str(error), ",".join(":".join([syscall_number(name), *map(str, value)])
                                             for name, *value in named)]

    def test_no_flock(self):
        before, _ = self.go()
        for error in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            for fresh in (False, True):
                if fresh:
                    shutil.rmtree(self.cache)
                rows, said = self.go(prefix=self.refuse(error, "flock"))
                self.assertEqual(rows, before)
                self.assertEqual(said.count("warning: flock is refused here"), 1, said)
        self.assertEqual(sorted(name for name in os.listdir(self.dir) if ".part" in name), [])

    def test_neither_flock_nor_fcntl_locks(self):
        """A run that is being written is not noticed, a pack is whole all the same."""
        before, _ = self.go()
        shutil.rmtree(self.cache)
        prefix = self.refuse(errno.ENOLCK, "flock", ("fcntl", F_OFD_SETLK))
        rows, said = self.go(prefix=prefix)
        self.assertEqual(rows, before)
        self.assertIn("nothing notices", said)
        self.assertEqual([name for name in os.listdir(os.path.dirname(self.pack())) if ".part" in name], [])

    def test_other_calls(self):
        """What an older kernel or a sandbox may lack, and a run can do without."""
        before, _ = self.go()
        calls = ["madvise", "sysinfo", "prlimit64", "close_range", "pidfd_send_signal", "waitid", "clone3",
                 "memfd_create", "sched_getaffinity", "faccessat2", "getrandom", "sigaltstack", "statx"]
        if "VECMILL_SANITIZED" in os.environ: # AddressSanitizer asks for the stack's limit, or ends the process
            calls.remove("prlimit64")
            print("without prlimit64: AddressSanitizer cannot do without it")
        for fresh in harness.form((True,), (False, True)):
            if fresh:
                shutil.rmtree(self.cache)
            self.assertEqual(self.go(prefix=self.refuse(errno.ENOSYS, *calls)), (before, ""))
        calls.remove("clone3") # glibc takes EPERM of it for a thread that there is no room for
        self.assertEqual(self.go(prefix=self.refuse(errno.EPERM, *calls)), (before, ""))

    def test_two_runs_without_flock(self):
        """They know of each other by fcntl's locks."""
        self.file("in.txt", "")
        reader, writer = os.pipe()
        first = subprocess.Popen([*self.refuse(errno.ENOSYS, "flock"), harness.VECMILL, "embed", "-m", self.model,
                                  "-i", "-", "-o", "out.npy", "--workers", "1", "--progress", "none"], cwd=self.dir,
                                 env=self.env(), stdin=reader, stderr=subprocess.DEVNULL)
        os.close(reader)
        self.wait_for("a part", lambda: self.exists("out.npy.part"))
        _, said = self.go(prefix=self.refuse(errno.ENOSYS, "flock"), code=7)
        self.assertIn("is being written by another process", said)
        os.close(writer)
        self.assertEqual(first.wait(), 0)


class Stacks(Start):
    @unittest.skipIf(os.environ.get("VECMILL_SANITIZED"), "sanitizers make frames larger")
    def test_a_small_stack(self):
        before, _ = self.go()
        for kib in (256, 160):
            for command in ("embed", "resume"):
                prefix = ["sh", "-c", f'ulimit -s {kib} && exec "$@"', "sh"]
                self.assertEqual(self.go(*(["--resume"] if command == "resume" else []), prefix=prefix), (before, ""))
            shutil.rmtree(self.cache)
        for args in (["doctor"], ["plan", "-m", self.model], ["models"], ["tokenize", "-m", self.model],
                     ["search", "-m", self.model, "-i", "out.npy", "-q", "one"],
                     ["merge", "out.npy", "out.npy", "-o", "all.npy"]):
            run = subprocess.run(["sh", "-c", 'ulimit -s 256 && exec "$@"', "sh", harness.VECMILL, *args],
                                 cwd=self.dir, env=self.env(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, check=False)
            self.assertIn(run.returncode, (0, 1, 8, 10), (args, run.stderr))

    def test_signals_of_children_are_ignored(self):
        before, _ = self.go()
        self.assertEqual(self.go(prefix=["sh", "-c", 'trap "" CHLD && exec "$@"', "sh"]), (before, ""))
        shutil.rmtree(self.cache)
        self.assertEqual(self.go(prefix=["sh", "-c", 'trap "" CHLD && exec "$@"', "sh"]), (before, ""))

    def test_names_that_are_not_utf8(self):
        before, _ = self.go()
        model = os.fsencode(self.dir) + b"/m\xff\xe4"
        os.rename(self.model, model)
        self.cache = os.fsencode(self.dir) + b"/c\xfe"
        run = subprocess.run([harness.VECMILL, "embed", "-m", model, "-i", "in.txt", "-o", "out.npy", "--progress",
                              "json"], cwd=self.dir, env=self.env(), stderr=subprocess.PIPE, check=False)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(self.rows(), before)
        for line in run.stderr.decode("utf-8").splitlines():
            harness.json.loads(line)
        run = subprocess.run([harness.VECMILL, "doctor", "--json"], env=self.env(), stdout=subprocess.PIPE, check=False)
        harness.json.loads(run.stdout.decode("utf-8"))

    def test_a_relative_cache(self):
        self.cache = "here"
        before, _ = self.go()
        self.assertTrue(self.exists("here/packs"))
        self.assertEqual(self.go(), (before, ""))


class HubCaches(Start):
    """Models where Hugging Face's libraries keep them."""

    COMMIT = "0123456789abcdef0123456789abcdef01234567"

    def setUp(self):
        super().setUp()
        self.expected, _ = self.go()
        self.root = self.path("hf/hub")
        self.home = os.path.join(self.root, "models--acme--toy")
        self.snapshot = os.path.join(self.home, "snapshots", self.COMMIT)
        os.makedirs(os.path.join(self.home, "refs"))
        with open(os.path.join(self.home, "refs/main"), "w", encoding="utf-8") as file:
            file.write(self.COMMIT)
        blobs = os.path.join(self.home, "blobs")
        os.makedirs(blobs)
        for folder, _, names in os.walk(self.model): # links to blobs, as the hub's library makes them
            below = os.path.join(self.snapshot, os.path.relpath(folder, self.model))
            os.makedirs(below, exist_ok=True)
            for name in names:
                blob = os.path.join(blobs, f"{len(os.listdir(blobs)):040x}")
                shutil.copy(os.path.join(folder, name), blob)
                os.symlink(os.path.relpath(blob, below), os.path.join(below, name))
        self.model = "acme/toy"
        self.cache = self.path("empty")

    def env(self, **more):
        more.setdefault("HF_HOME", self.path("hf"))
        return super().env(**{name: value for name, value in more.items() if value is not None})

    def missing(self, *words, **env):
        _, said = self.go(env=self.env(**env), code=10)
        for word in words:
            self.assertIn(word, said)

    def test_found_by_each_variable(self):
        for env in ({}, {"HF_HUB_CACHE": self.root, "HF_HOME": "/nowhere"},
                    {"HUGGINGFACE_HUB_CACHE": self.root, "HF_HOME": None},
                    {"HF_HOME": None, "TRANSFORMERS_CACHE": self.root},
                    {"HF_HOME": None, "SENTENCE_TRANSFORMERS_HOME": self.root},
                    {"HF_HOME": "~/hf", "HOME": self.dir}):
            self.assertEqual(self.go(env=self.env(**env)), (self.expected, ""), env)
        os.makedirs(self.path("x/.cache"))
        os.rename(self.path("hf"), self.path("x/.cache/huggingface"))
        self.assertEqual(self.go(env=self.env(HF_HOME=None, HOME=self.path("x")))[0], self.expected)
        self.missing(self.path("hf/hub"))

    def test_nothing_is_written_there(self):
        def listed():
            return sorted((folder, *names) for folder, _, names in os.walk(self.path("hf")))
        before = listed()
        self.go()
        self.assertEqual(listed(), before)
        self.assertEqual(os.listdir(self.cache), ["packs"])

    def test_a_commit(self):
        os.unlink(os.path.join(self.home, "refs/main"))
        self.missing("not on this machine", self.root)
        self.model = "acme/toy@" + self.COMMIT
        self.assertEqual(self.go()[0], self.expected)
        self.model = "acme/toy@" + "f" * 40
        self.missing("not on this machine")

    def test_pull_finds_it(self):
        run = self.run_vecmill("pull", "acme/toy", env=self.env())
        self.assertEqual(run.out.decode().strip(), self.snapshot)

    def test_a_part_of_a_snapshot_is_not_taken(self):
        """transformers alone fetches no modules.json: without it the same weights would give other vectors."""
        for name in ("config.json", "model.safetensors", "modules.json", "1_Pooling/config.json"):
            path = os.path.join(self.snapshot, name)
            blob = os.path.realpath(path)
            os.rename(blob, blob + ".incomplete") # as while it is fetched
            self.missing(name, "not on this machine")
            os.rename(blob + ".incomplete", blob)
            os.rename(path, path + ".away")
            self.missing(name)
            os.rename(path + ".away", path)
        self.assertEqual(self.go()[0], self.expected)

    def test_weights_in_torchs_format(self):
        """The same bits; and what is there first decides, as an index without its shards shows."""
        path = os.path.join(self.snapshot, "model.safetensors")
        torch = harness.toy(self.path("torch"), "--seed", "3", "--torch")
        os.unlink(path)
        shutil.copy(os.path.join(torch, "pytorch_model.bin"), self.snapshot)
        self.assertEqual(self.go()[0], self.expected)
        with open(path + ".index.json", "w", encoding="utf-8") as file:
            file.write('{"weight_map": {"x": "model-00001-of-00001.safetensors"}}')
        self.missing("model-00001-of-00001.safetensors")

    def test_modules_with_weights(self):
        modules = os.path.join(self.snapshot, "modules.json")
        with open(modules, encoding="utf-8") as file:
            listed = harness.json.load(file)
        listed.insert(2, {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
        os.unlink(modules)
        with open(modules, "w", encoding="utf-8") as file:
            harness.json.dump(listed, file)
        self.missing("2_Dense/config.json")
        os.mkdir(os.path.join(self.snapshot, "2_Dense"))
        shutil.copy(modules, os.path.join(self.snapshot, "2_Dense/config.json"))
        self.missing("2_Dense/model.safetensors")
        shutil.copy(modules, os.path.join(self.snapshot, "2_Dense/pytorch_model.bin"))
        run = self.run_vecmill("pull", "acme/toy", env=self.env())
        self.assertEqual(run.out.decode().strip(), self.snapshot)

    def test_a_model_that_has_no_modules(self):
        os.unlink(os.path.join(self.snapshot, "modules.json"))
        self.missing("modules.json")
        none = os.path.join(self.home, ".no_exist", self.COMMIT)
        os.makedirs(none)
        with open(os.path.join(none, "modules.json"), "wb"):
            pass
        self.go()

    def test_offline(self):
        shutil.rmtree(self.path("hf"))
        for name, value in (("HF_HUB_OFFLINE", "1"), ("TRANSFORMERS_OFFLINE", "yes")):
            env = {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}
            self.missing(name + " forbids", "acme/toy is not on this machine", self.root, self.cache,
                         **{**env, name: value})

    def test_a_damaged_cache_is_named(self):
        os.makedirs(os.path.join(self.cache, "models/acme--toy"))
        folder = os.path.join(self.cache, "models/acme--toy", self.COMMIT)
        shutil.copytree(self.snapshot, folder)
        names = [name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name))
                 and name in ("config.json", "model.safetensors", "tokenizer.json")]
        manifest = {"files": [{"name": name, "bytes": os.path.getsize(os.path.join(folder, name))} for name in names]}
        with open(os.path.join(folder, "vecmill.json"), "w", encoding="utf-8") as file:
            harness.json.dump(manifest, file)
        self.assertEqual(self.go(env=self.env(HF_HOME="/nowhere"))[0], self.expected)
        whole = os.path.getsize(os.path.join(folder, "model.safetensors"))
        os.truncate(os.path.join(folder, "model.safetensors"), 1000)
        self.missing("damaged", f"model.safetensors has 1000 bytes, vecmill.json states {whole}", HF_HOME="/nowhere")
        self.assertEqual(self.go()[0], self.expected) # of the other cache


class Doctor(Start):
    def test_packs_are_verified(self):
        self.go()
        run = self.run_vecmill("doctor", "--json", "--verify", env=self.env(HF_HUB_OFFLINE="0"))
        packs = harness.json.loads(run.out)["packs"]
        self.assertEqual(packs, [{"path": self.pack(), "bytes": os.path.getsize(self.pack()), "wrong": None}])
        with open(self.pack(), "r+b") as file:
            file.seek(os.path.getsize(self.pack()) // 2)
            file.write(b"spoiled")
        self.run_vecmill("doctor", env=self.env(HF_HUB_OFFLINE="0"))
        run = self.run_vecmill("doctor", "--verify", env=self.env(HF_HUB_OFFLINE="0"), code=1)
        self.assertIn("damaged: " + os.path.basename(self.pack()), run.out.decode())
        self.assertIn("is damaged", run.err)
        self.go()
        self.run_vecmill("doctor", "--verify", env=self.env(HF_HUB_OFFLINE="0"))


if __name__ == "__main__":
    harness.main()
