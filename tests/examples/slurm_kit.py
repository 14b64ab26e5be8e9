"""A Slurm cluster of one node, of Debian's own daemons, in a temporary folder.

It keeps to itself: ports, sockets, keys, state and logs are its own, nothing of a Slurm or munge that this machine
may run is read or written. What it starts, it ends, stepd and tasks included: the caller is their subreaper."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import harness
import oracle

DAEMONS = "munged", "slurmctld", "slurmd", "sbatch", "scontrol"
# As many processors and as much memory as five tasks of the example ask for; config_overrides lets a small
# machine say so. cred_expire is also how long a requeued task waits before it starts again.
CONF = """\
ClusterName=example
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
ReturnToService=2
KillWait=10
NodeName={host} NodeAddr=127.0.0.1 CPUs=24 RealMemory=4096 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class Unable(Exception):
    """Why there is no cluster here."""


def free_ports(n):
    held = [socket.socket() for _ in range(n)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Cluster:
    def __init__(self, home, environment):
        missing = [name for name in DAEMONS if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")]
        if missing:
            raise Unable(f"there is no {', '.join(missing)}")
        if os.getuid() != 0:
            raise Unable("Slurm's daemons want root")
        self.folder = tempfile.mkdtemp(prefix="slurm-", dir=home)
        self.daemons = []
        self.env = dict(environment, SLURM_CONF=self.write("slurm.conf", CONF.format(
            folder=self.folder, host=socket.gethostname().split(".")[0], ports=free_ports(2))))
        self.env["PATH"] += ":/usr/sbin"
        for name in "state", "spool":
            os.mkdir(os.path.join(self.folder, name))
        try:
            self.start()
        except Unable:
            self.stop()
            raise

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def start(self):
        at = self.folder + "/munge"
        self.write("munge.key", os.urandom(64).hex())
        self.daemon("munged", "--foreground", "--force", f"--key-file={at}.key", f"--socket={at}.socket",
                    f"--pid-file={at}.pid", f"--log-file={at}.log", f"--seed-file={at}.seed")
        self.wait("munged's socket", lambda: os.path.exists(at + ".socket"))
        self.daemon("slurmctld", "-D", "-c")
        self.daemon("slurmd", "-D")
        self.wait("an idle node", lambda: "State=IDLE" in self.told("show", "node") and
                  "NOT_RESPONDING" not in self.told("show", "node"))

    def daemon(self, *command):
        with open(os.path.join(self.folder, command[0] + ".said"), "wb") as said:
            self.daemons.append(subprocess.Popen(command, env=self.env, cwd=self.folder, stdout=said, stderr=said,
                                                 stdin=subprocess.DEVNULL, start_new_session=True))

    def wait(self, what, condition, seconds=harness.WAIT_SECONDS):
        until = time.monotonic() + seconds
        while not condition():
            for daemon in self.daemons:
                if daemon.poll() is not None:
                    raise Unable(f"{daemon.args[0]} ended with {daemon.returncode}: {self.tail(daemon.args[0])}")
            if time.monotonic() > until:
                raise Unable(f"waited {seconds} s for {what}: {self.tail('slurmd')}")
            time.sleep(0.05)

    def tail(self, name):
        with open(os.path.join(self.folder, name + ".said"), encoding="utf-8", errors="replace") as file:
            return " / ".join(file.read().splitlines()[-3:])

    def command(self, *words, cwd=None):
        return subprocess.run(words, env=self.env, cwd=cwd, capture_output=True, text=True, timeout=harness.WAIT_SECONDS, check=False)

    def told(self, *words):
        return self.command("scontrol", "--oneliner", *words).stdout

    def job(self, name):
        """What scontrol tells of a job or of a task ARRAY_TASK; words without = are left out."""
        return dict(word.split("=", 1) for word in self.told("show", "job", name).split() if "=" in word)

    def stop(self):
        """Ends all that it started, the later before the earlier; pids of what does not end."""
        if len(self.daemons) == 3:
            self.command("scancel", "--user=root")
            until = time.monotonic() + harness.WAIT_SECONDS
            while self.command("squeue", "--noheader").stdout and time.monotonic() < until:
                time.sleep(0.1)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=120)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.daemons = []
        until = time.monotonic() + 60
        while (left := oracle.children(os.getpid())) and time.monotonic() < until:
            for pid in left: # a stepd, with nobody left to tell what it has to say
                os.kill(pid, signal.SIGTERM if time.monotonic() < until - 10 else signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.05)
        shutil.rmtree(self.folder, ignore_errors=True)
        return left
