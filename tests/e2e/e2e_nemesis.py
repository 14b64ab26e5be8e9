"""A storm of kills: hundreds of dead workers in one job, and then a killed supervisor as well; the output
is byte for byte that of a quiet run. nemesis.py does it, oracle.py judges it; this says how much."""

import os
import unittest

import crew_kit
import harness
import nemesis

if crew_kit.SANITIZED or not harness.LONG:
    STORM = ["--documents", "2000", "--kills", "40"]
    BOTH = ["--documents", "300", "--model", "slower", "--words", "380", "--kills", "8", "--rate", "5",
            "--supervisor", "2", "--no-stops"]
else:
    STORM = ["--documents", "10000", "--model", "slower", "--words", "380", "--kills", "1000"]
    BOTH = ["--documents", "10000", "--model", "slower", "--words", "380", "--kills", "600",
            "--supervisor", "8"]


class Storm(unittest.TestCase):
    def test_workers(self):
        print(nemesis.run(STORM))

    def test_workers_and_supervisor(self):
        print(nemesis.run(BOTH))


class Late(nemesis.Nemesis):
    """A supervisor that comes to its own end after it was seen running, and before it is killed."""

    def watch(self, job, *_):
        os.waitid(os.P_PID, job.process.pid, os.WEXITED | os.WNOWAIT)
        return False

    def test_it_had_come_to_its_own_end(self):
        line = self.run_all(nemesis.options(["--documents", "16", "--words", "12", "--model", "toy", "--kills", "0",
                                             "--supervisor", "1", "--inside-rate", "0"]))
        self.assertIn(" 0 kills of the supervisor", line)


if __name__ == "__main__":
    harness.main()
