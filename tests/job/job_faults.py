"""What can happen to a run from outside, at every system call it makes, by strace: the call fails, or the
process is killed there. Behind each such end the run is resumed, and then the folder must hold, byte for
byte, what an undisturbed run leaves, and nothing beside it.

    job_faults.py fail|kill path/to/job_sample

In the long form ($VECMILL_TEST_LONG) a kill comes before each call there is, and each call fails. In the short
form it is every fourth call of a kind, and kills come before those only that change something in the file system.

Until it is resumed the output is the old one or the new one whole, what stands beside it is whole too,
and whatever else is there is a part or the journal. Interrupted transfers change nothing.
"""

import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile

MODE, SAMPLE = sys.argv[1:]
EVERY_CALL = bool(os.environ.get("VECMILL_TEST_LONG"))
STEP = 1 if EVERY_CALL else 4
OK, PARTIAL = 0, 3
SIDES = ("out.npy.ids.jsonl", "out.npy.errors.jsonl")
SHARD = "out.npy.shard.json"
RANGES = "out.npy.ranges.npy"
OUTPUTS = ("out.npy", SHARD, RANGES) + SIDES
LEFT = {name + ".part" for name in OUTPUTS}
LEFT |= {"out.npy.journal", "out.npy.journal.part", "out.npy.stage.part"}
CHANGING = ("openat", "write", "pwrite64", "ftruncate", "fsync", "fdatasync", "rename", "unlink",
            "exit_group")
MOST = 400  # calls of one kind; more would mean that the loop does not end
DOCUMENTS = 60


class Folder:
    """A folder with an input, and with an older output if `old`. What the run writes has files beside it,
    of ids and of errors, if `sides`, of its place in the whole, if it is a `shard`, and of the ranges of its
    bytes, if it is `ranged`; else those of the older output have to go."""

    def __init__(self, path, old, sides, shard, ranged):
        self.path, self.old, self.shard = path, old, shard
        self.sides = (SIDES if sides else ()) + ((SHARD,) if shard else ()) + ((RANGES,) if ranged else ())
        self.good = PARTIAL if sides else OK
        self.words = ["shard=1/2"] if shard else ["dtype=2"] if ranged else []
        self.half = "stop=%d" % (DOCUMENTS // (4 if shard else 2))
        self.fresh()
        first = self.run(strace=())
        if first.returncode != self.good:
            print("job-%s: skipped, strace cannot trace here: %s" % (MODE, first.stderr[-200:]))
            sys.exit(77)
        self.whole = self.contents()
        assert set(self.whole) == {"in.jsonl", "out.npy", *self.sides}, self.whole

    def fresh(self):
        for name in os.listdir(self.path):
            os.unlink(os.path.join(self.path, name))
        with open(os.path.join(self.path, "in.jsonl"), "w") as file:
            for i in range(DOCUMENTS):
                if SIDES[0] not in self.sides:
                    file.write('"document %d"\n' % i)
                elif i % 20 < 2:
                    file.write("not JSON\n")
                else:
                    file.write('{"id":%d,"text":"document %d"}\n' % (i, i))
        for name in OUTPUTS if self.old else ():
            with open(os.path.join(self.path, name), "w") as file:
                file.write("old " + name)
        self.begun = self.contents()

    def __str__(self):
        return "%s an older output, with %s" % (
            "over" if self.old else "without", ", ".join(self.sides) or "nothing beside it")

    def save(self):
        """The folder's state, as a copy keeps it: without inodes, but with times."""
        return {name: (data, os.stat(os.path.join(self.path, name)).st_mtime_ns)
                for name, data in self.contents().items()}

    def restore(self, state):
        for name in os.listdir(self.path):
            os.unlink(os.path.join(self.path, name))
        for name, (data, mtime_ns) in state.items():
            path = os.path.join(self.path, name)
            with open(path, "wb") as file:
                file.write(data)
            os.utime(path, ns=(mtime_ns, mtime_ns))

    def contents(self):
        found = {}
        for name in os.listdir(self.path):
            with open(os.path.join(self.path, name), "rb") as file:
                found[name] = file.read()
        return found

    def run(self, *words, strace=None):
        """job_sample, under strace unless that is None."""
        env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
        command = [] if strace is None else ["strace", "-o", "/dev/null", *strace]
        command += [SAMPLE, *self.words, *words, os.path.join(self.path, "out.npy"),
                    os.path.join(self.path, "in.jsonl")]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)

    def calls(self, *words):
        """How often each call is made in a run that is not disturbed."""
        log = self.path + ".log"
        self.run(*words, strace=("-o", log))
        with open(log) as file:
            found = collections.Counter(re.findall(r"^(\w+)\(", file.read(), re.M))
        os.unlink(log)
        return found

    def check_between(self, what):
        """The state that an early end leaves. Returns whether there is a journal."""
        found = self.contents()
        old = {name: b"old " + name.encode() for name in OUTPUTS}
        for name, data in found.items():
            assert name in self.whole or name in LEFT or name in OUTPUTS and self.old, (what, name)
            if name not in LEFT:
                assert data in (self.whole.get(name), old.get(name) if self.old else None), \
                    (what, name, "is half a file")
        if found.get("out.npy") == self.whole["out.npy"]:
            for name in self.sides:
                assert found.get(name) == self.whole[name], (what, name, "is not the output's")
        return "out.npy.journal" in found

    def resume(self, what):
        begun = self.contents() != self.begun
        done = self.run("resume")
        found = self.contents()
        if self.old and not begun:  # it ended before it began: the old output is taken for finished
            assert found == self.begun, (what, sorted(found))
            return
        assert done.returncode in (OK, PARTIAL), (what, done.returncode, done.stderr)
        assert set(found) == set(self.whole), (what, sorted(found), done.stderr)
        for name in found:
            assert found[name] == self.whole[name], (what, name, "differs", done.stderr)


def fail_each(folder, call, error):
    """Lets the first call fail, then the second alone, ... until there are no more."""
    n_failed = n_kept = 0
    folder.fresh()
    n_calls = folder.calls()[call]
    for index in range(1, MOST, STEP):
        folder.fresh()
        before = folder.contents()
        what = "%s %s number %d" % (call, error, index)
        done = folder.run(strace=("-e", "inject=%s:error=%s:when=%d" % (call, error, index)))
        assert 0 <= done.returncode < 128, (what, done.returncode, done.stderr)
        kept = folder.check_between(what)
        if done.returncode == folder.good:
            assert folder.contents() == folder.whole, (what, sorted(folder.contents()))
            if index > n_calls:
                return n_failed, n_kept
            continue
        n_failed += 1
        n_kept += kept
        assert done.stderr.strip(), what
        found = folder.contents()
        marked = folder.old and found == {**before, "out.npy.part": b""}
        if not kept:
            assert marked or found in (before, folder.whole), (what, sorted(found))
        folder.resume(what) if kept or marked else None
    raise AssertionError("%s never ends" % call)


def kill_each(folder, state, words):
    """From a state of the folder on: a run that is killed at each of its calls, then resumed."""
    folder.restore(state)
    calls = folder.calls(*words)
    n = 0
    for call, count in sorted(calls.items()):
        if call == "execve" or not EVERY_CALL and call not in CHANGING:
            continue
        for index in range(1 + n % min(STEP, count), count + 1, STEP):
            folder.restore(state)
            what = "killed in %s number %d of %s" % (call, index, " ".join(words) or "a run")
            done = folder.run(*words,
                              strace=("-e", "inject=%s:signal=KILL:when=%d" % (call, index)))
            assert done.returncode < 0 or done.returncode == 137, (what, done.returncode)
            folder.check_between(what)
            folder.resume(what)
            n += 1
    return n


def fail(folder):
    faults = [("read", "EIO"), ("write", "ENOSPC"), ("write", "EIO"), ("pwrite64", "EIO"),
              ("pwrite64", "ENOSPC"), ("fsync", "EIO"), ("fdatasync", "EIO"), ("rename", "EIO"),
              ("ftruncate", "EIO"), ("openat", "EMFILE"), ("unlink", "EIO")]
    passed = total_failed = total_kept = 0
    for call, error in faults:
        n_failed, n_kept = fail_each(folder, call, error)
        total_failed += n_failed
        total_kept += n_kept
        passed += 1
    print("%s: %d runs failed as they should, %d of them were resumed"
          % (folder, total_failed, total_kept))
    # A resumed run that fails keeps what it has; one that started afresh over it may keep nothing.
    folder.fresh()
    folder.run(folder.half)
    stopped = folder.save()
    for word in "resume", "force":
        for call, error in faults:
            folder.restore(stopped)
            for index in range(1, folder.calls(word)[call] + 1, STEP):
                folder.restore(stopped)
                what = "%s, %s %s number %d" % (word, call, error, index)
                folder.run(word, strace=("-e", "inject=%s:error=%s:when=%d" % (call, error, index)))
                folder.check_between(what)
                folder.resume(what)
        passed += 1
    files = [os.path.join(folder.path, name) for name in ("in.jsonl", "out.npy.part")]
    folder.fresh()
    watched = [part for path in files for part in ("-P", path)]
    done = folder.run(strace=(*watched, "-e", "inject=read,write,pwrite64:error=EINTR:when=1+2"))
    assert done.returncode == folder.good and folder.contents() == folder.whole, done.stderr
    return passed + 1


def kill(folder):
    folder.fresh()
    begun = folder.save()
    n = kill_each(folder, begun, ())
    if folder.old:
        n += kill_each(folder, begun, ("stop=0",))
    else:
        n += kill_each(folder, begun, (folder.half,))
        folder.restore(begun)
        folder.run(folder.half)
        stopped = folder.save()
        assert "out.npy.journal" in stopped
        n += kill_each(folder, stopped, ("resume",))
        n += kill_each(folder, stopped, ("force",))
    # Whole, but no name changed yet.
    folder.restore(begun)
    folder.run(strace=("-e", "inject=rename:signal=KILL:when=2"))
    unplaced = folder.save()
    assert "out.npy.part" in unplaced and "out.npy.journal" in unplaced, sorted(unplaced)
    n += kill_each(folder, unplaced, ("resume",))
    print("%s: %d runs killed and resumed" % (folder, n))
    return 3 if folder.old else 5


def main():
    if shutil.which("strace") is None:
        print("job-%s: skipped, there is no strace" % MODE)
        return 77
    passed = 0
    for old, sides, shard, ranged in ((False, True, True, False), (True, True, False, False),
                                      (True, False, False, False), (False, True, False, True),
                                      (True, False, False, True)):
        with tempfile.TemporaryDirectory(prefix="vecmill-job-") as path:
            folder = Folder(path, old, sides, shard, ranged)
            passed += fail(folder) if MODE == "fail" else kill(folder)
    print("job-%s: %d passed, 0 failed" % (MODE, passed))
    return 0


sys.exit(main())
