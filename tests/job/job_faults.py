"""Every system call of a run that matters fails once, by strace: the output is the old one or the new
one whole, what stands beside it is whole too, nothing else is left, and no signal ends the run.
Interrupted transfers change nothing.

    job_faults.py path/to/job_sample
"""

import os
import shutil
import subprocess
import sys
import tempfile

SAMPLE = sys.argv[1]
PARTIAL = 3  # VECMILL_E_PARTIAL: the last lines of the input are no JSON
SIDES = ("out.npy.ids.jsonl", "out.npy.errors.jsonl")
MOST = 200  # calls of one kind; more would mean that the loop does not end


def run(folder, *strace):
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
    command = ["strace", "-o", "/dev/null", *strace, SAMPLE, os.path.join(folder, "out.npy"),
               os.path.join(folder, "in.jsonl")]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)


def fresh(folder):
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    with open(os.path.join(folder, "in.jsonl"), "w") as file:
        for i in range(3000):
            file.write('{"id":%d,"text":"document %d"}\n' % (i, i))
        file.write("not JSON\n" * 3)
    for name in ("out.npy",) + SIDES:
        with open(os.path.join(folder, name), "w") as file:
            file.write("old " + name)


def contents(folder):
    found = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = file.read()
    return found


def check(found, whole, done, what):
    old = {name: b"old " + name.encode() for name in ("out.npy",) + SIDES}
    for name, data in found.items():
        assert name in whole, (what, name, "is left behind")
        assert data in (whole[name], old.get(name)), (what, name, "is half a file")
    assert "out.npy" in found and (not done or found == whole), (what, sorted(found))
    if found["out.npy"] == whole["out.npy"]:
        assert found == whole, (what, "the new output without what belongs to it")


def fail_each(folder, whole, call, error, n_calls):
    """Lets the first call fail, then the second alone, ... until there are no more."""
    n_failed = 0
    for index in range(1, MOST):
        fresh(folder)
        what = "%s %s number %d" % (call, error, index)
        done = run(folder, "-e", "inject=%s:error=%s:when=%d" % (call, error, index))
        assert 0 <= done.returncode < 128, (what, done.returncode, done.stderr)
        complete = done.returncode == PARTIAL
        check(contents(folder), whole, complete, what)
        if complete and index > n_calls:
            return n_failed
        n_failed += not complete
        if not complete:
            assert done.stderr.strip(), what
    raise AssertionError("%s never ends" % call)


def count_calls(folder, calls):
    """How often each call is made in an undisturbed run."""
    fresh(folder)
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
    log = folder + ".log"
    subprocess.run(["strace", "-o", log, SAMPLE, os.path.join(folder, "out.npy"),
                    os.path.join(folder, "in.jsonl")], env=env, capture_output=True)
    with open(log) as file:
        lines = file.readlines()
    os.unlink(log)
    return {call: sum(line.startswith(call + "(") for line in lines) for call in calls}


def main():
    if shutil.which("strace") is None:
        print("job-faults: skipped, there is no strace")
        return 77
    with tempfile.TemporaryDirectory(prefix="vecmill-job-") as folder:
        fresh(folder)
        first = run(folder)
        if first.returncode != PARTIAL:
            print("job-faults: skipped, strace cannot trace here: " + first.stderr.strip()[-200:])
            return 77
        whole = contents(folder)
        assert set(whole) == {"in.jsonl", "out.npy", *SIDES}, sorted(whole)
        faults = [("read", "EIO"), ("write", "ENOSPC"), ("pwrite64", "EIO"), ("fsync", "EIO"),
                  ("rename", "EIO"), ("ftruncate", "EIO"), ("openat", "EMFILE")]
        counts = count_calls(folder, [call for call, _ in faults])
        passed = 0
        for call, error in faults:
            n_failed = fail_each(folder, whole, call, error, counts[call])
            assert n_failed > 0, call
            print("%s %s: %d runs failed as they should" % (call, error, n_failed))
            passed += 1
        fresh(folder)
        before = contents(folder)
        run(folder, "-e", "inject=rename:error=EIO:when=1")
        assert contents(folder) == before, "a rename that failed took files of an earlier run"
        passed += 1
        files = [os.path.join(folder, name) for name in ("in.jsonl", "out.npy.part")]
        fresh(folder)
        watched = [part for path in files for part in ("-P", path)]
        done = run(folder, *watched, "-e", "inject=read,write,pwrite64:error=EINTR:when=1+2")
        assert done.returncode == PARTIAL, done.stderr
        check(contents(folder), whole, True, "EINTR")
        passed += 1
    print("job-faults: %d passed, 0 failed" % passed)
    return 0


sys.exit(main())
