"""A storm of kills: hundreds of dead workers in one job, and then a killed supervisor as well; the output
is byte for byte that of a quiet run. nemesis.py does it, oracle.py judges it; this says how much."""

import unittest

import crew_kit
import harness
import nemesis

if crew_kit.SANITIZED:
    STORM = ["--documents", "3000", "--kills", "60"]
    BOTH = ["--documents", "600", "--model", "slower", "--words", "380", "--kills", "15", "--rate", "5",
            "--supervisor", "2", "--no-stops"]
elif crew_kit.LONG:
    STORM = ["--documents", "10000", "--model", "slower", "--words", "380", "--kills", "1000"]
    BOTH = ["--documents", "10000", "--model", "slower", "--words", "380", "--kills", "600",
            "--supervisor", "8"]
else:
    STORM = ["--documents", "10000", "--kills", "200"]
    BOTH = ["--documents", "1500", "--model", "slower", "--words", "380", "--kills", "40", "--rate", "8",
            "--supervisor", "3", "--no-stops"]


class Storm(unittest.TestCase):
    def test_workers(self):
        print(nemesis.run(STORM))

    def test_workers_and_supervisor(self):
        print(nemesis.run(BOTH))


if __name__ == "__main__":
    harness.main()
