"""Memory: what is long costs no memory. Only for the optimised build: sanitizers need more.

Load cannot fail it: what is compared is the kernel's record of a process's peak, which the program reads at its
end."""

import json
import subprocess
import unittest

import crew_kit
import harness

MEGABYTE = 1 << 20


class Large(harness.Case):
    def peak(self, write, *args, code=0):
        """The peak of resident memory of a run whose stdin `write` produces."""
        process = subprocess.Popen([harness.VECMILL, "embed", "-m", harness.toy_model(), "-i", "-", "-o",
                                    "out.npy", "--progress", "json", *args], cwd=self.dir,
                                   env=harness.environment(), stdin=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        write(process.stdin)
        process.stdin.close()
        process.stdin = None
        _, err = process.communicate(timeout=harness.WAIT_SECONDS)
        self.assertEqual(process.returncode, code, err)
        summary = [json.loads(line) for line in err.splitlines() if b'"summary"' in line][0]
        print(f"    peak {summary['peak_rss_bytes'] / MEGABYTE:.1f} MiB", flush=True)
        return summary

    def test_a_document_of_a_million_words(self):
        small = self.peak(lambda file: file.write(b"word\n"))
        large = self.peak(lambda file: file.write(b"word " * 1000000 + b"\nshort\n"))
        self.assertEqual((large["documents"], large["failed"], large["truncated"]), (2, 0, 1))
        growth = large["peak_rss_bytes"] - small["peak_rss_bytes"]
        self.assertLess(growth, 40 * MEGABYTE, "5 MB of text, its buffers, and no more")

    def test_a_line_of_100_megabytes(self):
        def write(file):
            for _ in range(100):
                file.write(b"word " * (MEGABYTE // 5))
            file.write(b"\nshort\n")
        small = self.peak(lambda file: file.write(b"word\n"))
        large = self.peak(write, code=3)
        self.assertEqual((large["documents"], large["failed"]), (2, 1))
        growth = large["peak_rss_bytes"] - small["peak_rss_bytes"]
        self.assertLess(growth, 40 * MEGABYTE, "--max-document is 16 MiB")

    def test_a_hundred_thousand_documents(self):
        def write(file):
            for i in range(100):
                file.write(b"".join(b"%d\n" % (i * 1000 + j) for j in range(1000)))
        small = self.peak(lambda file: file.write(b"word\n" * 3000), "--workers", "2")
        large = self.peak(write, "--workers", "2")
        self.assertEqual(large["documents"], 100000)
        self.assertLess(large["peak_rss_bytes"] - small["peak_rss_bytes"], 8 * MEGABYTE)
        self.assertEqual(harness.Npy(self.path("out.npy")).n, 100000)


@unittest.skipUnless(harness.REAL_MODEL, harness.NO_REAL_MODEL)
class Bench(harness.Case):
    def test_peak_memory_of_the_real_model(self):
        self.file("in.jsonl", [{"id": i, "text": text} for i, text in enumerate(crew_kit.abstracts(120))])
        run = self.run_vecmill("bench", "-m", harness.REAL_MODEL, "-i", "in.jsonl", "--json",
                               "--in-process")
        figures, = run.objects()
        print(f"    {figures}", flush=True)
        self.assertEqual(figures["documents"], 120)
        self.assertLessEqual(figures["peak_memory_bytes"] + figures["file_memory_bytes"], 200e6)


if __name__ == "__main__":
    harness.main()
