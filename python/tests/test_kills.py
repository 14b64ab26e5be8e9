"""Workers are killed while Python iterates: everything is delivered, byte for byte."""

import os
import threading
import time
from unittest import mock

import kit
import numpy as np

import vecmill
from vecmill import _programs

MARKER = "xqzwvk"  # the text on which a worker with faults fails (tests/hooked/hooks.c)


class Kills(kit.Case):
    @classmethod
    def setUpClass(cls):
        cls.texts = kit.texts(900, 60)
        cls.embedder = vecmill.Embedder(kit.model("slower"))
        cls.want = cls.embedder.embed(cls.texts).tobytes()

    def setUp(self):
        self.rng = kit.chance(self.id())

    def stream(self, workers=2):
        return self.embedder.stream(iter(self.texts), workers=workers)

    def finish(self, rows, found):
        rows += list(found)
        self.assertEqual(len(rows), len(self.texts))
        self.assertEqual(np.stack(rows).tobytes(), self.want)

    def test_while_running(self):
        found = self.stream()
        rows = [next(found) for _ in range(100)]
        self.assertTrue(kit.kill(self.rng.choice(kit.workers())))
        self.finish(rows, found)

    def test_while_the_consumer_is_slow(self):
        """FastEmbed 0.9.1 hung here in one of two runs."""
        found = self.stream()
        rows = [next(found) for _ in range(10)]
        self.assertTrue(kit.kill(kit.workers()[0]))
        time.sleep(3)
        self.finish(rows, found)

    def test_during_the_last_results(self):
        found = self.stream()
        rows = [next(found) for _ in range(len(self.texts) - 60)]
        for pid in kit.workers():
            kit.kill(pid)
        self.finish(rows, found)

    def test_all_at_once(self):
        found = self.stream()
        rows = [next(found) for _ in range(50)]
        killed = sum(kit.kill(pid) for pid in kit.workers())
        self.assertGreater(killed, 0)
        self.finish(rows, found)

    def test_before_the_first_result(self):
        found, killed = self.stream(), []

        def kill():
            kit.wait_until("a worker", kit.workers)
            killed.append(kit.kill(kit.workers()[0]))
        killer = threading.Thread(target=kill)
        killer.start()
        rows = [next(found)]
        killer.join()
        self.finish(rows, found)

    def test_again_and_again(self):
        """A kill every few milliseconds until some tens have hit."""
        found, rows, hits, done = self.stream(), [], 0, threading.Event()

        def kill():
            nonlocal hits
            while not done.is_set() and hits < 40:
                alive = kit.workers()
                hits += bool(alive) and kit.kill(self.rng.choice(alive))
                time.sleep(0.03)
        killer = threading.Thread(target=kill)
        rows.append(next(found))
        killer.start()
        try:
            kit.wait_until("some kills", lambda: hits > 3) # the rest comes while rows are taken
            self.finish(rows, found)
        finally:
            done.set()
            killer.join()
        print(f"{hits} kills")

    def test_asyncio(self):
        import asyncio

        async def main():
            rows = []
            async for row in self.embedder.astream(iter(self.texts), workers=2):
                rows.append(row)
                if len(rows) == 200:
                    for pid in kit.workers():
                        kit.kill(pid)
            return rows
        self.finish(asyncio.run(main()), iter(()))


class Poison(kit.Case):
    def test_a_document_whose_workers_are_always_killed(self):
        """It is tried when all others are done, and named; the others' vectors are an undisturbed run's."""
        texts = kit.texts(300, 30)
        texts[77] = f"{MARKER} {texts[77]}"
        want = vecmill.Embedder(kit.model("slow")).embed(texts)
        want[77] = 0
        with mock.patch.object(_programs, "WORKER", kit.crew_kit.HOOKED), \
                mock.patch.dict(os.environ, VECMILL_TEST_FAULTS=f"poison={MARKER}:kill"):
            e = vecmill.Embedder(kit.model("slow"))
            rows = np.stack(list(e.stream(texts, workers=2, on_error="skip")))
            with self.assertRaisesRegex(vecmill.DocumentError, "killed, killed, killed, killed, killed") as raised:
                list(e.stream(texts, workers=2))
        np.testing.assert_array_equal(rows, want)
        self.assertEqual(raised.exception.index, 77)


if __name__ == "__main__":
    kit.main()
