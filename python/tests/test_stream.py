"""What happens around a stream: back-pressure, ends of every kind, forks, threads, asyncio, many pools."""

import asyncio
import gc
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import kit
import numpy as np

import vecmill
from vecmill import _core, _programs, _stream


def embedder(name="toy", **more):
    return vecmill.Embedder(kit.model(name), **more)


class BackPressure(kit.Case):
    def test_a_slow_consumer_leaves_the_source_unread(self):
        """The source would never end; what is read ahead is bounded, and so is memory."""
        read = 0

        def source():
            nonlocal read
            for i in itertools.count():
                read = i + 1
                yield f"{i} " + "word " * 2000
        e = embedder()
        found = e.stream(source(), workers=2)
        for _ in range(20):
            next(found)
        time.sleep(0.3)
        before, held = read, kit.resident()
        capacity = int(e.plan(2)["parts"][0]["bytes"])
        for _ in range(20):
            next(found)
            time.sleep(0.05)
        self.assertLess(read, before + 200)
        self.assertLess(kit.resident() - held, 4 << 20)
        self.assertGreater(capacity, 0)
        found.close()

    def test_a_slow_source_delays_nobody_who_can_be_served(self):
        """Rows come while the source is still open: the first before the last text is read."""
        texts, read = kit.texts(2000), []

        def source():
            for text in texts:
                read.append(text)
                yield text
        found = embedder().stream(source(), workers=1)
        next(found)
        self.assertLess(len(read), len(texts))
        self.assertEqual(1 + sum(1 for _ in found), len(texts))


class Models(kit.Case):
    """An object has one model, whatever happens to the folder from which it was opened."""

    def replaced(self, e, folder):
        shutil.rmtree(folder)
        kit.toy(folder, "--seed", "2")
        return e

    def test_a_folder_that_was_replaced(self):
        for name, first in (("a", None), ("b", 1)):
            folder = kit.toy(os.path.join(kit.home(), "replaced-" + name), "--seed", "1")
            e = vecmill.Embedder(folder, lazy_load=first is not None)
            before = list(e.stream(["the time"], workers=first))[0]
            self.replaced(e, folder)
            if first is None:  # its session goes on with the pack it has mapped
                np.testing.assert_array_equal(e.embed(["the time"])[0], before)
            else:
                with self.assertRaisesRegex(vecmill.ModelError, "changed meanwhile"):
                    e.embed(["the time"])
            with self.assertRaisesRegex(vecmill.ModelError, "changed meanwhile"):
                list(e.stream(["the time"], workers=1))
            self.assertEqual(kit.workers(), [])
            after = vecmill.Embedder(folder).embed(["the time"])[0]
            self.assertFalse((after == before).all())

    def test_a_pack_that_was_damaged(self):
        folder = kit.toy(os.path.join(kit.home(), "damaged"), "--seed", "4")
        e = vecmill.Embedder(folder)
        before = e.embed(["the time"])[0]
        for workers in (None, 1):
            with open(e.facts["pack_path"], "r+b") as file:
                file.seek(os.path.getsize(e.facts["pack_path"]) // 2)
                file.write(b"spoiled")
            with self.assertWarnsRegex(RuntimeWarning, "built anew"):
                row = next(vecmill.Embedder(folder, lazy_load=True).stream(["the time"], workers=workers))
            np.testing.assert_array_equal(row, before)

    def test_a_pack_that_is_damaged_while_it_is_used(self):
        folder = kit.toy(os.path.join(kit.home(), "spoiled"), "--seed", "5")
        e = vecmill.Embedder(folder)
        found = e.stream(kit.texts(20), workers=1)
        next(found)
        with open(e.facts["pack_path"], "r+b") as file:
            file.seek(os.path.getsize(e.facts["pack_path"]) // 2)
            file.write(b"spoiled")
        with self.assertRaisesRegex(vecmill.ModelError, "damaged while it was in use"):
            list(found)


class Ends(kit.Case):
    def test_closed_early(self):
        for workers in (None, 2):
            found = embedder("slower").stream(kit.texts(5000, 60), workers=workers)
            next(found)
            found.close()
            self.assertEqual(kit.workers(), [])

    def test_forgotten(self):
        found = embedder("slower").stream(kit.texts(5000, 60), workers=2)
        next(found)
        del found
        gc.collect()
        self.assertEqual(kit.workers(), [])

    def test_an_exception_in_the_consumer(self):
        with self.assertRaises(ZeroDivisionError):
            for _ in embedder("slower").stream(kit.texts(5000, 60), workers=2):
                1 / 0  # noqa: B018
        gc.collect()
        kit.wait_until("the workers end", lambda: not kit.workers())

    def test_an_exception_in_the_source(self):
        def source():
            yield from kit.texts(100)
            raise KeyError("source")
        for workers in (None, 2):
            with self.assertRaisesRegex(KeyError, "source"):
                list(embedder().stream(source(), workers=workers))
            self.assertEqual(kit.workers(), [])

    def test_keyboard_interrupt(self):
        """While the library waits, and while it computes: the exception is raised, and no worker is left."""
        source = ("import sys, vecmill\n"
                  "e = vecmill.Embedder(sys.argv[1])\n"
                  "try:\n"
                  "    for i, row in enumerate(e.stream(('word ' * 400 + str(i) for i in range(10**7)),"
                  " workers=eval(sys.argv[2]))):\n"
                  "        if i == 0: print('first', flush=True)\n"
                  "except KeyboardInterrupt:\n"
                  "    print('interrupted')\n")
        for workers in ("None", "2"):
            process = kit.script(source, kit.model("slower"), workers)
            self.assertEqual(process.stdout.readline(), "first\n")
            process.send_signal(signal.SIGINT)
            out, err = kit.end(process)
            self.assertEqual((out, err), ("interrupted\n", ""), workers)
            kit.wait_until("the workers end", lambda: not kit.all_workers())

    def test_the_interpreter_ends_with_a_running_job(self):
        source = ("import sys, threading, vecmill\n"
                  "e = vecmill.Embedder(sys.argv[1])\n"
                  "found = e.stream(('word ' * 100 + str(i) for i in range(10**7)), workers=2)\n"
                  "next(found)\n"
                  "if sys.argv[2] == 'thread':\n"
                  "    threading.Thread(target=lambda: [None for _ in found], daemon=True).start()\n"
                  "if sys.argv[2] == 'exit': raise SystemExit(5)\n")
        for how, code in (("end", 0), ("thread", 0), ("exit", 5)):
            _, err = kit.end(kit.script(source, kit.model("slower"), how), code)
            self.assertEqual(err, "", how)
            kit.wait_until("the workers end", lambda: not kit.all_workers())

    def test_the_interpreter_is_killed(self):
        source = ("import sys, vecmill\n"
                  "found = vecmill.Embedder(sys.argv[1]).stream(map(str, range(10**7)), workers=2)\n"
                  "next(found)\n"
                  "print('first', flush=True)\n"
                  "[None for _ in found]\n")
        process = kit.script(source, kit.model("slower"))
        self.assertEqual(process.stdout.readline(), "first\n")
        process.kill()
        kit.end(process, -signal.SIGKILL)
        kit.wait_until("the workers end", lambda: not kit.all_workers())


class Scripts(kit.Case):
    def test_no_main_guard_is_needed(self):
        path = os.path.join(kit.home(), "plain.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write("import sys, vecmill\n"
                       "rows = list(vecmill.Embedder(sys.argv[1]).stream(map(str, range(600)), workers=2))\n"
                       "print(len(rows))\n")
        told = subprocess.run([sys.executable, path, kit.model("toy")], capture_output=True, text=True, check=True,
                              timeout=kit.DEADLINE)
        self.assertEqual(told.stdout, "600\n")

    def test_the_command(self):
        program = os.path.join(os.path.dirname(sys.executable), "vecmill")
        told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True,
                              timeout=kit.DEADLINE)
        self.assertIn(vecmill.version, told.stdout)


class Forks(kit.Case):
    def test_a_child_of_fork(self):
        """The model works in the child. A stream in workers, which are the parent's, is refused without harm."""
        e = embedder(threads=2)
        texts = kit.texts(300)
        want = e.embed(texts).tobytes()
        found = e.stream(iter(texts), workers=1)
        rows = [next(found)]
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                same = e.embed(texts).tobytes() == want
                try:
                    list(found)
                except RuntimeError as why:
                    code = 0 if same and "fork" in str(why) else 2
                del found
                gc.collect()
            finally:
                os._exit(code)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
        rows += list(found)
        self.assertEqual(np.stack(rows).tobytes(), want)

    def test_a_fork_while_another_thread_computes(self):
        """A thread of the parent holds the model's lock; the child, which lacks that thread, does not wait for it."""
        e = embedder("slower", threads=1)
        want, done = e.embed(["a", "b"]).tobytes(), threading.Event()

        def compute():
            while not done.is_set():
                e.embed(["word " * 500] * 50)
        work = threading.Thread(target=compute)
        work.start()
        time.sleep(0.1)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                signal.alarm(kit.DEADLINE)
                code = 0 if e.embed(["a", "b"]).tobytes() == want else 2
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        done.set()
        work.join()
        self.assertEqual(code, 0)

    def test_multiprocessing(self):
        source = ("import multiprocessing, sys, vecmill\n"
                  "e = vecmill.Embedder(sys.argv[1])\n"
                  "want = e.embed(['a', 'b']).tobytes()\n"
                  "def same(_): return e.embed(['a', 'b']).tobytes() == want\n"
                  "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
                  "    print(all(pool.map(same, range(8))))\n")
        out, _ = kit.end(kit.script(source, kit.model("toy")))
        self.assertEqual(out, "True\n")


class Threads(kit.Case):
    def test_one_model_in_several_threads(self):
        e, texts, got = embedder(), kit.texts(200), {}
        want = e.embed(texts).tobytes()

        def work(i):
            got[i] = np.stack(list(e.stream(texts, workers=1 if i % 2 else None))).tobytes() == want
        threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(kit.DEADLINE)
        self.assertEqual(got, {i: True for i in range(6)})

    def test_others_run_while_it_computes(self):
        """The interpreter's lock is free during a call: other threads get it again and again. Calls are repeated until
        that was seen, since on a busy machine a thread may get no processor during one."""
        e, ticks, done, most = embedder("slower", threads=1), 0, threading.Event(), 0

        def compute():
            nonlocal most
            while not done.is_set():
                before = ticks
                e.embed(["word " * 500] * 50)
                most = max(most, ticks - before)

        def tick():
            nonlocal ticks
            ticks += 1
            return most > 20
        work = threading.Thread(target=compute)
        work.start()
        try:
            kit.wait_until("others run", tick, 0.001)
        finally:
            done.set()
            work.join()

    def test_a_stream_from_two_threads(self):
        found, failed = embedder("slower").stream(kit.texts(2000, 60), workers=2), []
        next(found)

        def take():
            try:
                for _ in found:
                    pass
            except ValueError as why:  # Python's own: generator already executing
                failed.append(why)
        threads = [threading.Thread(target=take) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(kit.DEADLINE)
        self.assertFalse(any(thread.is_alive() for thread in threads))


class Asyncio(kit.Case):
    def test_rows_in_order_beside_other_tasks(self):
        e, texts = embedder(), kit.texts(300)
        want = e.embed(texts).tobytes()

        async def main():
            ticks = 0

            async def tick():
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0)
            ticker = asyncio.ensure_future(tick())
            rows = [row async for row in e.astream(texts, workers=1)]
            inside = [row async for row in e.astream(texts)]
            ticker.cancel()
            return rows, inside, ticks
        rows, inside, ticks = asyncio.run(main())
        self.assertEqual((np.stack(rows).tobytes(), np.stack(inside).tobytes()), (want, want))
        self.assertGreater(ticks, 1)

    def test_cancelled(self):
        e = embedder("slower")

        async def main():
            async def work():
                async for _ in e.astream(("word " * 300 + str(i) for i in range(10**6)), workers=2):
                    pass
            task = asyncio.ensure_future(work())
            await asyncio.sleep(0.5)
            task.cancel()
            await asyncio.wait([task], timeout=kit.DEADLINE)
            return task.cancelled()
        self.assertTrue(asyncio.run(main()))
        kit.wait_until("the workers end", lambda: not kit.workers())


class Many(kit.Case):
    def test_pools_leave_nothing(self):
        """A thousand (in the short form a hundred), one after the other: no growth in memory, descriptors, threads or processes."""
        e, texts = embedder(), kit.texts(3)
        want = [row.tobytes() for row in e.stream(texts)]

        def once():
            self.assertEqual([row.tobytes() for row in e.stream(iter(texts), workers=1)], want)

        def state():
            gc.collect()
            return kit.resident(), len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
        n = kit.form(100, 1000)
        for _ in range(50):
            once()
        before = state()
        began = time.monotonic()
        for _ in range(n):
            once()
        after = state()
        print(f"{n} pools in {time.monotonic() - began:.1f} s, resident {before[0]:,} to {after[0]:,} bytes")
        # A thread that was joined may be listed a moment longer.
        kit.wait_until(f"descriptors and threads as before, {before[1:]}", lambda: before[1:] == state()[1:])
        self.assertLess(after[0] - before[0], 256 << 10)
        self.assertEqual(kit.workers(), [])


class Beside(kit.Case):
    """What the package itself holds in addition to a pool, and what it passes to it."""

    def test_is_a_line_of_the_plan(self):
        def held(e, **more):
            plan = e.plan(1) if not more else _core.plan(model_dir=e.model_dir, worker_path=_programs.WORKER, **more)
            return sum(part["bytes"] for part in plan["parts"] if part["name"] == "reading and writing")
        e = embedder()
        dim, page = e.dim, os.sysconf("SC_PAGESIZE")
        self.assertEqual(held(e, workers=1), 0)
        self.assertEqual(held(e, beside_bytes=3 * page, beside_rows=page), (3 + 4 * dim) * page)
        rows = _stream.ROWS * dim * 4
        self.assertGreaterEqual(held(e), rows + 4 * (_stream.PIECE_CHARS + _core.TEXT_BYTES))
        self.assertLess(held(embedder(long="split")), rows + 4 * _stream.PIECE_CHARS + page)
        self.assertFalse(_core.plan(model_dir=e.model_dir, worker_path=_programs.WORKER, beside_bytes=2**64 - 1,
                                    beside_rows=2**32 - 1)["fits"])

    def test_bytes_are_texts(self):
        """Bytes are read as UTF-8; invalid UTF-8 is replaced as in a file."""
        texts = ["", "plain", "na\u00efve \U0001f600", "bad \ufffd end"]
        want = embedder().embed(texts)
        pool = _core.Pool(kit.model("toy"), worker_path=_programs.WORKER, workers=1)
        self.assertEqual(pool.submit([*(text.encode() for text in texts[:3]), b"bad \xff end"]), 4)
        rows, taken = np.empty_like(want), 0
        while taken < 4:
            taken += pool.take(rows, taken, 1000)[0]
        pool.close()
        self.assertEqual(rows.tobytes(), want.tobytes())


class Import(kit.Case):
    def test_what_an_import_brings(self):
        """Imports only NumPy and the standard library, starts no subprocess, looks for no model."""
        source = ("import numpy, sys, time\n"
                  "before = set(sys.modules)\n"
                  "began = time.perf_counter()\n"
                  "import vecmill\n"
                  "print(f'{1e3 * (time.perf_counter() - began):.1f} ms', file=sys.stderr)\n"
                  "print(sorted(m.split('.')[0] for m in set(sys.modules) - before"
                  " if m.split('.')[0] not in sys.stdlib_module_names | {'numpy'}))\n")
        out, err = kit.end(kit.script(source))
        self.assertEqual(set(eval(out)), {"vecmill"})
        print(f"imported beside NumPy in {err.strip()}")


if __name__ == "__main__":
    kit.main()
