"""Signals, full disks, closed pipes: the exit code says it, and nothing half-written is left."""

import ctypes
import fcntl
import json
import os
import re
import resource
import select
import signal
import subprocess
import sys
import threading
import time
import unittest

import harness

sys.path.insert(0, os.path.join(harness.ROOT, "tests", "hub"))
import hub_server

LIBC = ctypes.CDLL(None, use_errno=True)


class Faults(harness.Case):
    def start(self, *args, **more):
        return subprocess.Popen([harness.VECMILL, "embed", "-m", harness.toy_model(), *args],
                                cwd=self.dir, env=harness.environment(), stderr=subprocess.PIPE, **more)

    def started(self):
        """True when the run has told of its start, so that its signals are deferred."""
        try:
            with open(self.path("events.jsonl"), encoding="utf-8") as file:
                return "run_started" in file.read()
        except OSError:
            return False


class Signals(Faults):
    def stop_a_run(self, number):
        """A run whose input never ends: a pipe that is written as fast as it is read."""
        process = self.start("-i", "-", "-o", "out.npy", "--events", "events.jsonl",
                             stdin=subprocess.PIPE)
        try:
            self.wait_for("the start", self.started)
            os.set_blocking(process.stdin.fileno(), False)
            text, sent = b"some words of a document\n" * 1000, 0
            while sent < 200000:
                sent += os.write(process.stdin.fileno(), text) if self.writable(process) else 0
            process.send_signal(number)
            _, err = self.finish(process)
        finally:
            process.kill()
            process.wait()
        self.assertEqual(process.returncode, 4, err)
        self.assertIn(b"vecmill: ", err)
        self.assertEqual(os.listdir(self.dir), ["events.jsonl"])
        last = self.lines("events.jsonl")[-1]
        self.assertEqual((last["event"], last["exit"]), ("run_finished", 4))
        self.assertGreater(last["documents"], 0)

    def writable(self, process):
        return bool(select.select([], [process.stdin], [], 5)[1])

    def finish(self, process):
        """Waits while stdin stays open."""
        process.wait(harness.WAIT_SECONDS)
        err = process.stderr.read()
        process.stderr.close()
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass
        return None, err

    def test_sigterm(self):
        self.stop_a_run(signal.SIGTERM)

    def test_sigint(self):
        self.stop_a_run(signal.SIGINT)

    def test_sighup(self):
        self.stop_a_run(signal.SIGHUP)

    def test_sigterm_while_stdin_is_silent(self):
        process = self.start("-i", "-", "-o", "out.npy", "--events", "events.jsonl",
                             stdin=subprocess.PIPE)
        try:
            self.wait_for("the start", self.started)
            process.send_signal(signal.SIGTERM)
            self.finish(process)
        finally:
            process.kill()
            process.wait()
        self.assertEqual(process.returncode, 4)
        self.assertEqual(os.listdir(self.dir), ["events.jsonl"])

    def test_an_ignored_sigint_stays_ignored(self):
        """As a shell does it for jobs in the background."""
        process = self.start("-i", "-", "-o", "out.npy", "--events", "events.jsonl",
                             stdin=subprocess.PIPE,
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        self.wait_for("the start", self.started)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(b"one\n", timeout=harness.WAIT_SECONDS)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual(harness.Npy(self.path("out.npy")).n, 1)

    def test_a_signal_after_a_model_was_fetched(self):
        """The pull holds signals back while it runs, and no longer."""
        folder = harness.toy(self.path("model"))
        files = {os.path.relpath(os.path.join(root, name), folder): os.path.join(root, name)
                 for root, _, names in os.walk(folder) for name in names}
        for name, path in files.items():
            with open(path, "rb") as file:
                files[name] = file.read()
        hub = hub_server.Hub(files)
        self.addCleanup(hub.close)
        env = harness.environment(VECMILL_CACHE=self.path("cache"), HF_HUB_OFFLINE="0",
                                  HF_ENDPOINT=hub.url, no_proxy="*")
        process = subprocess.Popen([harness.VECMILL, "tokenize", "-m", "org/name", "-i", "-"], env=env,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            feeder = threading.Thread(target=self.feed, args=(process.stdin,), daemon=True)
            feeder.start()
            first = process.stdout.read(1000)
            self.assertIn(b"ids", first)
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=harness.WAIT_SECONDS)
        finally:
            process.kill()
            feeder.join()
            process.communicate()
        self.assertEqual(process.returncode, 4)

    def feed(self, pipe):
        try:
            while True:
                pipe.write(b"some words of a document\n" * 100)
        except (OSError, ValueError):
            pass

    def test_a_signal_before_the_model_is_open(self):
        """While the pack is built: ends at once, and the builder with it."""
        folder = harness.toy(self.path("model"), "--hidden", "384", "--layers", "6", "--vocab", "3000")
        for delay in (0.0, 0.02, 0.05, 0.1, 0.2):
            env = harness.environment(VECMILL_CACHE=self.path("cache"))
            process = subprocess.Popen([harness.VECMILL, "embed", "-m", folder, "-i", "-", "-o", "out.npy"],
                                       cwd=self.dir, env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
            time.sleep(delay)
            process.send_signal(signal.SIGTERM)
            process.wait(harness.WAIT_SECONDS)
            process.communicate()
            # Before its handler is set, a program dies by the signal itself.
            self.assertIn(process.returncode, (4, -signal.SIGTERM))
            self.wait_for("the builder's end", lambda: not harness.processes())
            self.assertFalse(self.exists("out.npy"))
        env = harness.environment(VECMILL_CACHE=self.path("cache"))
        self.embed("-i", "-", "-o", "out.npy", model=folder, stdin=b"one\n", env=env)
        packs = os.listdir(self.path("cache/packs"))
        self.assertEqual([name for name in packs if not name.endswith((".pack", ".seen"))], [])

    def test_a_killed_run_leaves_the_old_output(self):
        self.file("out.npy", "as it was")
        process = self.start("-i", "-", "-o", "out.npy", "--events", "events.jsonl",
                             stdin=subprocess.PIPE)
        self.wait_for("the start", self.started)
        process.stdin.write(b"a document\n" * 5000)
        process.stdin.flush()
        process.kill()
        process.communicate(timeout=harness.WAIT_SECONDS)
        with open(self.path("out.npy"), "rb") as file:
            self.assertEqual(file.read(), b"as it was")
        # The next run takes over what is left of the killed one.
        self.embed("-i", "-", "-o", "out.npy", stdin=b"one\ntwo\n")
        self.assertEqual(harness.Npy(self.path("out.npy")).n, 2)
        self.assertEqual(sorted(os.listdir(self.dir)), ["events.jsonl", "out.npy"])


class Output(Faults):
    def test_a_closed_pipe(self):
        read, write = os.pipe()
        process = self.start("-i", "-", "-o", "-", stdin=subprocess.PIPE, stdout=write)
        os.close(write)
        os.close(read)
        _, err = process.communicate(b"a document\n" * 3000, timeout=harness.WAIT_SECONDS)
        self.assertEqual(process.returncode, 7, err)
        self.assertIn(b"vecmill: ", err)

    def test_head(self):
        """The reader takes a line and goes."""
        self.file("in.txt", "a document\n" * 5000)
        subprocess.run(["/bin/sh", "-c",
                        '{ "$0" embed -m "$1" -i in.txt -o - 2>err; echo $? >code; } | head -1 >line',
                        harness.VECMILL, harness.toy_model()], cwd=self.dir, env=harness.environment(),
                       check=True, timeout=harness.WAIT_SECONDS)
        with open(self.path("code"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "7\n")
        with open(self.path("line"), encoding="utf-8") as file:
            self.assertIn("embedding", json.loads(file.read()))

    def test_a_full_device(self):
        with open("/dev/full", "wb") as full:
            self.embed("-i", "-", "-o", "-", stdin=b"a\n", code=7, stdout=full)

    def test_a_file_size_limit(self):
        self.file("in.txt", "a document\n" * 5000)
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
        run = subprocess.run([harness.VECMILL, "embed", "-m", harness.toy_model(), "-i", "in.txt", "-o",
                              "out.npy"], cwd=self.dir, env=harness.environment(), preexec_fn=limit,
                             stderr=subprocess.PIPE, timeout=harness.WAIT_SECONDS)
        self.assertEqual(run.returncode, 7, run.stderr)
        self.assertIn(b"out.npy", run.stderr)
        self.assertEqual(os.listdir(self.dir), ["in.txt"])

    def test_a_full_disk(self):
        disk = self.path("disk")
        os.mkdir(disk)
        if LIBC.mount(b"none", os.fsencode(disk), b"tmpfs", 0, b"size=64k") != 0:
            self.skipTest(f"no tmpfs can be mounted here: {os.strerror(ctypes.get_errno())}")
        try:
            self.file("in.txt", "a document\n" * 5000)
            for name in ("out.npy", "out.jsonl"):
                run = self.embed("-i", "in.txt", "-o", "disk/" + name, code=7)
                self.assertIn(name, run.err)
                self.assertIn("No space", run.err)
                self.assertEqual(os.listdir(disk), [])
        finally:
            LIBC.umount(os.fsencode(disk))

    def test_two_runs_on_one_output(self):
        first = self.start("-i", "-", "-o", "out.npy", "--events", "events.jsonl", stdin=subprocess.PIPE)
        try:
            self.wait_for("the start", self.started)
            self.wait_for("the part", lambda: self.exists("out.npy.part"))
            run = self.embed("-i", "-", "-o", "out.npy", stdin=b"second\n", code=7)
            self.assertIn("out.npy", run.err)
            _, err = first.communicate(b"one\ntwo\nthree\n", timeout=harness.WAIT_SECONDS)
        finally:
            first.kill()
            first.wait()
        self.assertEqual(first.returncode, 0, err)
        self.assertEqual(harness.Npy(self.path("out.npy")).n, 3)

    @unittest.skipIf(os.geteuid() == 0, "root may write everywhere")
    def test_a_folder_that_cannot_be_written(self):
        os.mkdir(self.path("closed"), 0o500)
        self.embed("-i", "-", "-o", "closed/out.npy", stdin=b"a\n", code=7)

    def test_where_not_even_root_can_write(self):
        self.embed("-i", "-", "-o", "/proc/out.npy", stdin=b"a\n", code=7)

    def test_events_on_a_full_disk(self):
        """Events are an aside: a warning, and the run decides."""
        run = self.embed("-i", "-", "-o", "out.npy", "--events", "/dev/full", stdin=b"a\n")
        self.assertRegex(run.err, r"(?m)^vecmill: warning: .*/dev/full")
        self.assertEqual(harness.Npy(self.path("out.npy")).n, 1)
        self.file("in.jsonl", '{"text": "a"}\n{"text": 5}\n')
        for args, code in (((), 3), (("--on-error", "stop"), 8)):
            run = self.embed("-i", "in.jsonl", "-o", "two.npy", "--events", "/dev/full", *args, code=code)
            self.assertRegex(run.err, r"(?m)^vecmill: warning: .*/dev/full")

    def test_counters_are_told_of_a_run_that_failed(self):
        self.file("in.jsonl", '{"text": "a"}\n{"text": "b"}\n{"text": 5}\n')
        run = self.embed("-i", "in.jsonl", "-o", "out.npy", "--on-error", "stop", "--progress", "json",
                         "--events", "events.jsonl", code=8)
        summary = json.loads([line for line in run.err.splitlines() if line.startswith("{")][-1])
        finished = self.lines("events.jsonl")[-1]
        self.assertEqual((summary["event"], finished["event"]), ("summary", "run_finished"))
        for told in (summary, finished):
            self.assertEqual((told["exit"], told["documents"]), (8, 2))
            self.assertGreater(told["tokens"], 0)
        self.assertFalse(self.exists("out.npy"))

    def test_a_finished_output_with_failed_documents(self):
        """Nothing is done, but it is said that not all went well; as JSON with a summary, as at each end."""
        self.file("in.jsonl", '{"text": "a"}\n{"text": 5}\n')
        self.embed("-i", "in.jsonl", "-o", "out.npy", code=3)
        run = self.embed("-i", "in.jsonl", "-o", "out.npy", "--resume")
        self.assertRegex(run.err, "out.npy is there.*failed.*out.npy.errors.jsonl.*nothing is done;")
        run = self.embed("-i", "in.jsonl", "-o", "out.npy", "--resume", "--progress", "json")
        notice, summary = (json.loads(line) for line in run.err.splitlines())
        self.assertIn("out.npy.errors.jsonl", notice["sentence"])
        self.assertEqual((summary["event"], summary["exit"]), ("summary", 0))
        os.unlink(self.path("out.npy.errors.jsonl"))
        os.utime(self.path("out.npy"), (1, 1))
        run = self.embed("-i", "in.jsonl", "-o", "out.npy", "--resume")
        self.assertRegex(run.err, "warning: out.npy is there.*in.jsonl is newer")
        self.assertNotIn("failed", run.err)

    def test_a_low_soft_limit_of_descriptors(self):
        """The soft limit is for programs that select(); the hard one counts."""
        limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 4096))
        run = subprocess.run([harness.VECMILL, "embed", "-m", harness.toy_model(), "-i", "-", "-o", "out.npy",
                              "--workers", "24"], cwd=self.dir, env=harness.environment(), preexec_fn=limit,
                             input=b"one\ntwo\n", stderr=subprocess.PIPE, timeout=harness.WAIT_SECONDS)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(harness.Npy(self.path("out.npy")).n, 2)

    def test_slow_reader_gets_all(self):
        """Back-pressure: a reader that takes its time loses nothing."""
        self.file("in.txt", "".join(f"document {i}\n" for i in range(1000)))
        read, write = os.pipe()
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
        process = self.start("-i", "in.txt", "-o", "-", stdout=write)
        os.close(write)
        lines = 0
        while data := os.read(read, 3000):
            lines += data.count(b"\n")
        os.close(read)
        _, err = process.communicate(timeout=harness.WAIT_SECONDS)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual(lines, 1000)


class Asides(Faults):
    """Who reads of a run, or does not, never holds it up: not its supervision, not its end."""

    def stalled(self, path=None):
        """A full pipe that nobody reads; of stderr, or at `path` as a FIFO. Returns both its ends."""
        if path:
            os.mkfifo(path)
            read = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            write = os.open(path, os.O_WRONLY)
        else:
            read, write = os.pipe()
        filler = os.open(f"/proc/self/fd/{write}", os.O_WRONLY | os.O_NONBLOCK)
        try:
            while True:
                os.write(filler, b"#" * 4095 + b"\n")
        except BlockingIOError:
            os.close(filler)
        return read, write

    def workers(self, process):
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
            mine = set(file.read().split())
        for thread in os.listdir(f"/proc/{process.pid}/task"):
            with open(f"/proc/{process.pid}/task/{thread}/children", encoding="ascii") as file:
                mine.update(file.read().split())
        return {int(pid) for pid in mine}

    def disturb(self, process):
        """Kills workers one by one, each of which has to be replaced; then stops the run."""
        try:
            self.wait_for("the start", lambda: self.exists("out.npy.part"))
            for _ in range(5):
                self.wait_for("both workers", lambda: len(self.workers(process)) == 2)
                victim = min(self.workers(process))
                os.kill(victim, signal.SIGKILL)
                self.wait_for("its end", lambda: victim not in self.workers(process))
            self.wait_for("both workers", lambda: len(self.workers(process)) == 2)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(timeout=harness.WAIT_SECONDS), 4)
        finally:
            process.kill()
            process.wait()
            process.stdin.close()

    def drain(self, read):
        os.set_blocking(read, False)
        text = b""
        try:
            while piece := os.read(read, 65536):
                text += piece
        except BlockingIOError:
            pass
        os.close(read)
        return text

    def test_events_that_nobody_reads(self):
        read, write = self.stalled(self.path("fifo"))
        process = self.start("-i", "-", "-o", "out.npy", "--events", "fifo", "--workers", "2",
                             stdin=subprocess.PIPE)
        self.disturb(process)
        os.close(write)
        self.drain(read)
        err = process.stderr.read().decode()
        process.stderr.close()
        self.assertRegex(err, r"(?m)^vecmill: warning: not all events were kept: fifo: [0-9]+ were dropped")

    def test_stderr_that_nobody_reads(self):
        for progress in ("auto", "json", "none"):
            with self.subTest(progress=progress):
                read, write = self.stalled()
                command = [harness.VECMILL, "embed", "-m", harness.toy_model(), "-i", "-", "-o", "out.npy",
                           "--workers", "2", "--progress", progress]
                self.disturb(subprocess.Popen(command, cwd=self.dir, env=harness.environment(),
                                              stdin=subprocess.PIPE, stderr=write))
                os.close(write)
                self.assertEqual(set(self.drain(read).replace(b"\n", b"")), set(b"#"))

    def test_a_second_signal_ends_it_at_once(self):
        """Also where the handler cannot say so."""
        read, write = self.stalled()
        self.file("in.txt", "some words of a document\n" * 200000)
        process = subprocess.Popen([harness.VECMILL, "embed", "-m", harness.toy_model(), "-i", "in.txt", "-o",
                                    "-"], cwd=self.dir, env=harness.environment(), stdout=write, stderr=write)
        try:
            self.wait_for_handler(process, signal.SIGTERM)
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(timeout=harness.WAIT_SECONDS), 4)
        finally:
            process.kill()
            process.wait()
        self.wait_for("the workers' end", lambda: not harness.processes())
        os.close(write)
        os.close(read)

    def test_a_reader_that_lags_gets_whole_lines(self):
        """It takes pieces, sleeps, and reads lines that can be parsed: all but those that were dropped."""
        os.mkfifo(self.path("fifo"))
        lines = "".join('{"text": %d}\n' % i for i in range(20000))
        self.file("in.jsonl", lines + '{"text": "a"}\n')
        text = []

        def read():
            with open(self.path("fifo"), "rb", buffering=0) as file:
                fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, 4096)
                while piece := file.read(3000):
                    text.append(piece)
                    if len(text) % 50 == 0:
                        time.sleep(0.25)

        reader = threading.Thread(target=read)
        reader.start()
        run = self.embed("-i", "in.jsonl", "-o", "out.npy", "--events", "fifo", "--workers", "1", code=3)
        reader.join()
        events = [json.loads(line) for line in b"".join(text).splitlines()]
        failed = [event["index"] for event in events if event["event"] == "document_failed"]
        self.assertEqual(failed, sorted(set(failed)))
        dropped = re.search(r"warning: not all events were kept: fifo: ([0-9]+) were dropped", run.err)
        # worker_ready, run_started, run_finished
        self.assertEqual(len(events) + int(dropped.group(1) if dropped else 0), 20003, run.err)


if __name__ == "__main__":
    harness.main()
