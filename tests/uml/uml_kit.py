"""A guest: User-mode Linux on this machine's own root, for what the host's kernel cannot be asked for, such as
a memory controller of cgroup v2 that may be set at will. Needs no root.

A guest has one processor, sees the host's files read-only, and writes into one folder. It is booted for a list
of scenes, functions of a script that init.sh (its PID 1) runs one after the other; what they find out comes
back as files. It always ends: each scene, the guest and the wait for it have their deadlines, the guest dies
with this process, and whatever is left of it is killed by its process group. Its memory is an unlinked file
in /dev/shm, so nothing of it can stay behind.

Does not know what the scenes do. What they must not do: compute with AVX-512 (6.1's signal frames do not hold
its state, so that a signal handler spoils it), and time anything (there is one processor, and a page fault
costs 45 us)."""

import ctypes
import glob
import os
import shutil
import signal
import subprocess
import time

KERNEL = "linux.uml"
HERE = os.path.dirname(os.path.abspath(__file__))
MEMORY_MIB = 1024
SPARE_MIB = 256           # of /dev/shm, and of the machine, beyond a guest's memory
BOOT_SECONDS = 60         # from the start of the kernel to that of init.sh: 1.2 s on an idle machine
GONE_SECONDS = 20         # for the kernel's helpers to free its memory
OURS = ("kill init", "working init", "Requested init") # of a kernel's last words: init.sh did not run
PR_SET_CHILD_SUBREAPER = 36


class Missing(Exception):
    """Why no guest can be had on this machine."""


def available_mib():
    with open("/proc/meminfo", encoding="utf-8") as file:
        found = dict(line.split(":", 1) for line in file)
    return int(found["MemAvailable"].split()[0]) >> 10


def require():
    """Raises Missing, with the reason, where a guest cannot even be tried."""
    if not shutil.which(KERNEL):
        raise Missing(f"{KERNEL} is not installed (Debian's package user-mode-linux)")
    for tool in ("setpriv", "taskset", "bash", "mount", "timeout"):
        if not shutil.which(tool):
            raise Missing(f"{tool} is not installed")
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        if not any(line.startswith("flags") and "avx2" in line.split() for line in file):
            raise Missing("this processor has no AVX2, which the guest computes with")
    need = MEMORY_MIB + SPARE_MIB
    if not os.access("/dev/shm", os.W_OK):
        raise Missing("/dev/shm, where a guest has its memory, cannot be written")
    s = os.statvfs("/dev/shm")
    if s.f_bavail * s.f_frsize >> 20 < need:
        raise Missing(f"/dev/shm has {s.f_bavail * s.f_frsize >> 20} MiB left, a guest wants {need}")
    if available_mib() < need:
        raise Missing(f"{available_mib()} MiB of memory are available, a guest wants {need}")


def members(group):
    """Living processes of a process group."""
    found = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(path.split("/")[2]))
    return found


class Guest:
    """One boot, into `folder`, which must be new and its path without blanks, commas and quotes."""

    def __init__(self, folder, script, programs):
        """script: defines the scenes; programs: folder with poweroff, and with what else is to be copied."""
        self.folder = folder
        os.mkdir(folder)
        for source in (os.path.join(HERE, "init.sh"), script, *programs):
            shutil.copy(source, folder)
        os.rename(os.path.join(folder, os.path.basename(script)), self.path("scenes.sh"))
        os.chmod(self.path("init.sh"), 0o755)
        self.console, self.seconds = "", 0.0

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def text(self, *names):
        """What a file of the guest's holds; "" when there is none."""
        try:
            with open(self.path(*names), encoding="utf-8", errors="replace") as file:
                return file.read().strip()
        except FileNotFoundError:
            return ""

    def command(self):
        cpu = sorted(os.sched_getaffinity(0))[os.getpid() % len(os.sched_getaffinity(0))]
        # One processor for all of its processes: a switch between them is two to four times as fast then.
        return ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(cpu), KERNEL, f"mem={MEMORY_MIB}M",
                "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", f"init={self.path('init.sh')}",
                f"uml_dir={self.path('uml')}", "umid=guest", "con=null", "con0=null,fd:1", "quiet",
                f"out={self.folder}"]

    def run(self, scenes, scene_seconds, guest_seconds, **variables):
        """Boots, runs the scenes and tears down. Missing: it does not boot on this machine. AssertionError: it
        did not come to its end."""
        with open(self.path("settings.sh"), "w", encoding="utf-8") as file:
            file.write(f"scenes='{' '.join(scenes)}'\nscene_seconds={scene_seconds}\n"
                       f"guest_seconds={guest_seconds}\n")
            for name, value in variables.items():
                file.write(f"export {name}='{value}'\n")
        # Its helpers, orphaned, are handed to us and can be reaped.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        began = time.monotonic()
        with open(self.path("console"), "wb") as console:
            process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=console,
                                       stderr=subprocess.STDOUT, start_new_session=True)
        try:
            alive = self.wait(process, began + BOOT_SECONDS, lambda: os.path.exists(self.path("alive")))
            ended = alive and self.wait(process, began + BOOT_SECONDS + guest_seconds, lambda: False)
        finally:
            self.tear_down(process)
        self.seconds = time.monotonic() - began
        self.console = self.text("console")
        if not os.path.exists(self.path("alive")):
            self.did_not_boot(process.returncode, ended)
        assert self.text("finished"), f"the guest did not come to its end; {self.all_said()}"

    def wait(self, process, until, condition):
        """True when the kernel ended or the condition came true."""
        while process.poll() is None and not condition():
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def did_not_boot(self, code, ended):
        """Where the kernel got as far as to init.sh, it is ours that is broken; else the machine does not
        let it (no ptrace, as in some containers)."""
        last = self.console.splitlines()[-1] if self.console else "it said nothing"
        assert not any(words in self.console for words in OURS), self.all_said()
        raise Missing(f"{KERNEL} does not boot here ({'status ' + str(code) if ended else 'too late'}): {last}")

    def tear_down(self, process):
        """Kills what is left of its process group, and waits until all of it is gone."""
        until = time.monotonic() + GONE_SECONDS
        if process.poll() is None:
            self.kill(process.pid)
        while True:
            process.poll()
            self.reap(process.pid)
            left = members(process.pid)
            if not left and process.poll() is not None:
                break
            assert time.monotonic() < until, f"processes of the guest are left: {left}"
            time.sleep(0.02)
            # A helper that frees the guest's memory needs a moment after a regular end.
            if time.monotonic() > until - GONE_SECONDS / 2:
                self.kill(process.pid)
        shutil.rmtree(self.path("uml"), ignore_errors=True)

    def kill(self, group):
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def reap(self, group):
        """Orphans of the group; the kernel itself is Popen's."""
        for path in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
                pid = int(path.split("/")[2])
                if fields[0] == "Z" and int(fields[2]) == group and pid != group:
                    os.waitpid(pid, os.WNOHANG)
            except (OSError, ChildProcessError):
                continue

    def all_said(self):
        return f"console: {self.text('console')[-1500:]}; init.sh: {self.text('log')[-1500:]}"
