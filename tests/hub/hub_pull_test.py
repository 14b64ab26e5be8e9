"""hub: pulls from a hub that cuts, stalls, lies and leads astray.

    hub_pull_test.py HUB_DRIVER VECMILL_PULL NAME [CLASS...]

NAME is what the last line calls the run; the classes, all without, are those below.

Every case runs the driver with short deadlines against its own server and its own cache, and asks in
the end for the same: a whole model with the right bytes, or one sentence, and in no case a folder that
looks whole and is not."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True  # the source tree is not ours to write to
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import hub_server as hs
from oracle import alive, children

DRIVER = PROGRAM = None  # from the command line
HANG_S = 300  # a limit for what ends only where something hangs
STOPPED, MODEL, NOTFOUND = 4, 9, 10


class PullCase(unittest.TestCase):
    def setUp(self):
        self.cache = tempfile.mkdtemp(prefix="hub-pull-")
        self.hub = hs.Hub()
        self.addCleanup(shutil.rmtree, self.cache, True)
        self.addCleanup(lambda: self.hub.close())

    @property
    def home(self):
        return f"{self.cache}/models/org--name"

    def env(self, **more):
        env = {k: v for k, v in os.environ.items()
               if not k.lower().endswith("_proxy") and not k.startswith("HF_")
               and k not in ("CURL_CA_BUNDLE", "SSL_CERT_FILE")}
        env.update(HF_ENDPOINT=self.hub.url, no_proxy="*")
        env.update(more)
        return {k: v for k, v in env.items() if v is not None}

    def start(self, name="org/name", command="pull", **env):
        args = [DRIVER, command, self.cache, name] + ([PROGRAM] if command == "pull" else [])
        return subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=self.env(**env))

    def run_driver(self, *args, **env):
        p = self.start(*args, **env)
        out, self.stderr = p.communicate(timeout=HANG_S)
        return p.returncode, out.strip()

    def check_whole(self, folder, files=None):
        files = files or self.hub.files
        manifest = json.load(open(f"{folder}/vecmill.json"))
        self.assertEqual({f["name"] for f in manifest["files"]}, set(files))
        found = {os.path.relpath(os.path.join(d, f), folder)
                 for d, _, names in os.walk(folder) for f in names}
        self.assertEqual(found, set(files) | {"vecmill.json"})
        for entry in manifest["files"]:
            data = open(f"{folder}/{entry['name']}", "rb").read()
            self.assertEqual(data, files[entry["name"]])
            self.assertEqual(entry["bytes"], len(data))
            kind, digest = entry["digest"].split(":")
            self.assertEqual(digest, hs.git_id(data) if kind == "git"
                             else hashlib.sha256(data).hexdigest())
        left = [n for n in os.listdir(self.home) if n.endswith(".part")]
        self.assertEqual(left, [], "staging is left behind")

    def pull(self, *args, **env):
        code, out = self.run_driver(*args, **env)
        self.assertEqual(code, 0, out + self.stderr)
        self.check_whole(out)
        self.assertEqual(self.run_driver("org/name", "find"), (0, out))
        return out

    def refuse(self, *says, status=NOTFOUND, **env):
        """The pull fails with these words, and nothing looks like a model."""
        code, out = self.run_driver(**env)
        self.assertEqual(code, 1, out + self.stderr)
        self.assertEqual(out.split(":")[0], str(status), out)
        for text in says:
            self.assertIn(text, out)
        if os.path.isdir(self.home):
            self.assertEqual([n for n in os.listdir(self.home) if not n.startswith(".")], [])
        return out

    def starts(self, name="model.safetensors"):
        """Where each request for a file began, after checking that no byte was sent twice."""
        at = 0
        for r in self.hub.of(name):
            self.assertEqual(r.start, at)
            at += r.sent
        self.assertEqual(at, len(self.hub.files[name]))
        return [r.start for r in self.hub.of(name)]


class Good(PullCase):
    def test_all_files_once(self):
        out = self.pull()
        self.assertEqual(out, f"{self.home}/{hs.COMMIT}")
        self.assertEqual(open(f"{self.home}/current").read(), hs.COMMIT + "\n")
        self.assertEqual(len(self.hub.requests), 1 + len(self.hub.files))
        self.assertTrue(all("Authorization" not in r.headers for r in self.hub.requests))
        manifest = json.load(open(out + "/vecmill.json"))
        self.assertEqual((manifest["source"], manifest["revision"]), (self.hub.url, hs.COMMIT))

    def test_second_pull_asks_nobody(self):
        self.pull()
        n = len(self.hub.requests)
        self.pull()
        self.assertEqual(len(self.hub.requests), n)

    def test_least_files(self):
        for name in list(self.hub.files):
            if name not in ("config.json", "vocab.txt", "model.safetensors"):
                del self.hub.files[name]
        self.pull()

    def test_empty_file(self):
        self.hub.files["special_tokens_map.json"] = b""
        self.pull()

    def test_all_small_or_all_lfs(self):
        self.hub.lfs = tuple(self.hub.files)
        self.pull()

    def test_progress(self):
        self.hub.queue("model.safetensors", hs.slow(20_000, 0.05))
        self.assertEqual(self.run_driver(HUB_TEST_PROGRESS="1")[0], 0)
        self.assertRegex(self.stderr, r"model\.safetensors \d+/200000")

    def test_endpoint_with_slash_and_path(self):
        self.pull(HF_ENDPOINT=self.hub.url + "/")

    def test_token_to_the_endpoint(self):
        self.pull(HF_TOKEN="hf_secret")
        self.assertEqual({r.headers.get("Authorization") for r in self.hub.requests},
                         {"Bearer hf_secret"})

    def test_token_must_be_text(self):
        self.refuse("HF_TOKEN: byte 3", HF_TOKEN="abc\r\nX: y")
        self.refuse("HF_TOKEN has 2000 bytes", HF_TOKEN="a" * 2000)
        self.assertEqual(self.hub.requests, [])

    def test_token_is_not_in_arguments(self):
        self.hub.queue("model.safetensors", hs.stall(20_000, HANG_S))
        p = self.start(HF_TOKEN="hf_secret")
        lines, until = set(), time.monotonic() + HANG_S
        while not self.hub.of("model.safetensors") or \
                not any(line.startswith(os.fsencode(PROGRAM)) for line in lines):
            self.assertLess(time.monotonic(), until)
            for pid in children(p.pid):
                try:
                    lines.add(open(f"/proc/{pid}/cmdline", "rb").read())
                except OSError: # it has ended
                    pass
            time.sleep(0.01)
        p.kill()
        p.communicate(timeout=HANG_S)
        self.assertTrue(any(line.startswith(os.fsencode(PROGRAM)) for line in lines), lines)
        self.assertFalse(any(b"hf_secret" in line for line in lines))

    def test_proxy_of_the_environment(self):
        # the server takes a proxy's absolute address as well
        self.pull(HF_ENDPOINT="http://hub.invalid", http_proxy=self.hub.url, no_proxy=None)

    def test_redirect_on_the_same_host(self):
        self.hub.queue("model.safetensors", hs.redirect(
            f"/org/name/resolve/{hs.COMMIT}/model.safetensors?again"))
        self.pull()


class Revisions(PullCase):
    def test_by_commit_and_switching(self):
        first = self.pull()
        self.hub.commit = hs.OTHER_COMMIT
        self.hub.files["vocab.txt"] = b"[PAD]\n[UNK]\nnew\n"
        second = self.run_driver("org/name@" + hs.OTHER_COMMIT)[1]
        self.check_whole(second)
        self.assertEqual(self.run_driver("org/name", "find"), (0, second))
        n = len(self.hub.requests)
        self.assertEqual(self.run_driver("org/name@" + hs.COMMIT, HF_HUB_OFFLINE="1"), (0, first))
        self.assertEqual(self.run_driver("org/name", "find"), (0, first))
        self.assertEqual(self.run_driver("org/name@" + hs.OTHER_COMMIT, "find"), (0, second))
        self.assertEqual(len(self.hub.requests), n)

    def test_another_commit_than_asked_for(self):
        code, out = self.run_driver("org/name@" + hs.OTHER_COMMIT)
        self.assertEqual(code, 1)
        self.assertIn("the hub answers with " + hs.COMMIT, out)

    def test_lost_current_is_found_again(self):
        out = self.pull()
        os.unlink(f"{self.home}/current")
        os.mkdir(f"{self.home}/junk")
        self.assertEqual(self.pull(), out)

    def test_damaged_folder_is_fetched_again(self):
        out = self.pull()
        open(f"{out}/vocab.txt", "w").close()
        code, text = self.run_driver("org/name", "find")
        self.assertEqual(code, 1)
        self.assertIn("has 0 bytes, vecmill.json states 12", text)
        self.pull()


class Cuts(PullCase):
    def test_resume_by_range(self):
        self.hub.queue("model.safetensors", hs.cut(50_000), hs.cut(1), hs.cut(100_000))
        self.pull()
        self.assertEqual(self.starts(), [0, 50_000, 50_001, 150_001])

    def test_cut_small_file_and_api(self):
        self.hub.queue("tokenizer.json", hs.cut(10))
        self.hub.queue("api", hs.cut(10), hs.hang_up)
        self.pull()
        self.assertEqual(self.starts("tokenizer.json"), [0, 10])

    def test_cut_at_once(self):
        self.hub.queue("model.safetensors", hs.hang_up, hs.cut(0))
        self.pull()

    def test_no_ranges_starts_again(self):
        self.hub.queue("model.safetensors", hs.cut(50_000), hs.no_ranges)
        self.pull()

    def test_wrong_range_is_noticed(self):
        self.hub.queue("model.safetensors", hs.cut(50_000), hs.wrong_range)
        self.pull()
        self.assertEqual(self.hub.of("model.safetensors")[-1].start, 0)

    def test_range_refused(self):
        self.hub.queue("model.safetensors", hs.cut(50_000), hs.status(416))
        self.pull()
        self.assertEqual(self.hub.of("model.safetensors")[-1].start, 0)

    def test_cut_for_ever_then_continued(self):
        self.hub.queue("model.safetensors", *[hs.cut(10_000)] * 4)
        self.refuse("(4 attempts)", "model.safetensors")
        self.pull()
        self.assertEqual(self.starts(), [0, 10_000, 20_000, 30_000, 40_000])

    def test_stall(self):
        """A server that this machine holds up stalls as well: then there are further attempts."""
        self.hub.queue("model.safetensors", hs.stall(50_000, 6))
        self.pull(HUB_TEST_STALL_S="1", HUB_TEST_ATTEMPTS="1000")
        self.assertGreater(len(self.hub.of("model.safetensors")), 1)
        if len(self.hub.of("model.safetensors")) == 2:
            self.assertEqual(self.starts(), [0, 50_000])

    def test_stall_for_ever(self):
        self.hub.queue("api", hs.stall(0, 6), hs.stall(3, 6))
        self.refuse("org/name", "(2 attempts)", HUB_TEST_STALL_S="1", HUB_TEST_ATTEMPTS="2")

    def test_nobody_listens(self):
        self.hub.close()
        self.refuse("org/name")
        self.hub = hs.Hub()

    def test_name_without_address(self):
        self.refuse("org/name", HF_ENDPOINT="http://hub.invalid", HUB_TEST_ATTEMPTS="1")


class Lies(PullCase):
    def test_length_too_short(self):
        self.hub.queue("model.safetensors", hs.length_is(150_000))
        self.pull()
        self.assertEqual(self.starts(), [0, 150_000])

    def test_length_too_long(self):
        self.hub.queue("model.safetensors", hs.length_is(200_001))
        self.refuse("more bytes come than the 200000 that the hub states")
        self.pull()

    def test_no_length(self):
        self.hub.queue("model.safetensors", hs.no_length(70_000), hs.no_length())
        self.pull()
        self.assertEqual(self.starts(), [0, 70_000])

    def test_chunked(self):
        self.hub.queue("model.safetensors", hs.chunked(70_000), hs.chunked())
        self.hub.queue("api", hs.chunked())
        self.pull()
        self.assertEqual(self.starts(), [0, 70_000])

    def test_wrong_bytes_once(self):
        self.hub.queue("model.safetensors", hs.wrong_bytes)
        self.hub.queue("vocab.txt", hs.wrong_bytes)
        self.pull()

    def test_wrong_bytes_always(self):
        self.hub.queue("model.safetensors", hs.wrong_bytes, hs.wrong_bytes)
        data = bytearray(self.hub.files["model.safetensors"])
        right = hashlib.sha256(data).hexdigest()
        data[len(data) // 2] ^= 1
        self.refuse("model.safetensors", right, hashlib.sha256(data).hexdigest())
        self.assertEqual([r.start for r in self.hub.of("model.safetensors")], [0, 0])
        self.pull()

    def test_wrong_small_file_always(self):
        self.hub.queue("vocab.txt", hs.wrong_bytes, hs.wrong_bytes)
        self.refuse("vocab.txt", "git blob id", hs.git_id(self.hub.files["vocab.txt"]))

    def test_wrong_bytes_before_the_cut(self):
        def behave(handler, request, data):
            hs.cut(50_000)(handler, request, b"\xff" + data[1:])
        self.hub.queue("model.safetensors", behave)
        self.pull()
        self.assertEqual([r.start for r in self.hub.of("model.safetensors")], [0, 50_000, 0])


class Codes(PullCase):
    def test_no_such_model(self):
        self.hub.queue("api", hs.status(404))
        self.refuse("answers 404", "HF_TOKEN is not set")
        self.assertEqual(len(self.hub.requests), 1)

    def test_what_brings_nothing_leaves_no_folder(self):
        self.hub.queue("api", hs.status(404))
        self.refuse("answers 404")
        self.assertFalse(os.path.exists(self.home))

    def test_who_waits_for_a_folder_that_is_removed(self):
        """Pulls in a crowd, all of which fail: each makes the folder, locks it, and removes it."""
        self.hub.queue("api", *[hs.status(404)] * 8)
        crowd = [self.start() for _ in range(8)]
        for p in crowd:
            out = p.communicate(timeout=HANG_S)[0]
            self.assertEqual((p.returncode, out.split(":")[0]), (1, str(NOTFOUND)), out)
            self.assertIn("answers 404", out)
        self.assertFalse(os.path.exists(self.home))

    def test_private(self):
        self.hub.queue("api", hs.status(401))
        self.refuse("answers 401", "HF_TOKEN is not set")
        self.hub.queue("api", hs.status(403))
        self.refuse("answers 403", "HF_TOKEN is not accepted", HF_TOKEN="x")

    def test_file_missing(self):
        self.hub.queue("vocab.txt", hs.status(404))
        self.refuse("vocab.txt", "answers 404")

    def test_server_errors_pass(self):
        self.hub.queue("api", hs.status(500), hs.status(503))
        self.hub.queue("model.safetensors", hs.status(502), hs.cut(1000), hs.status(504))
        self.pull()
        self.assertEqual([r.start for r in self.hub.of("model.safetensors")], [0, 0, 1000, 1000])

    def test_server_errors_stay(self):
        self.hub.queue("api", *[hs.status(500)] * 4)
        self.refuse("answers 500 (4 attempts)")

    def test_retry_after(self):
        self.hub.queue("model.safetensors", hs.status(429, [("Retry-After", "1")]))
        began = time.monotonic()
        self.pull()
        self.assertGreaterEqual(time.monotonic() - began, 1.0)

    def test_retry_after_for_ever(self):
        self.hub.queue("api", hs.status(429, [("Retry-After", "86400")]))
        self.refuse("answers 429", "RETRY_AFTER_MAX_S, 60 s")

    def test_long_error_page(self):
        self.hub.queue("api", hs.status(404, body=b"x" * 5_000_000))
        self.refuse("answers 404")

    def test_error_page_is_no_file(self):
        self.hub.queue("model.safetensors", hs.status(500, body=b"x" * 200_000))
        self.pull()


class Astray(PullCase):
    def test_redirect_loop(self):
        self.hub.queue("api", *[hs.redirect("/api/models/org/name/revision/main")] * 10)
        self.refuse("redirects")
        self.assertLessEqual(len(self.hub.requests), 6)

    def test_redirect_to_a_file(self):
        for url in ("file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:1/x",
                    "dict://127.0.0.1:1/x"):
            self.hub.queue("api", hs.redirect(url))
            self.refuse("org/name")

    def test_token_stays_on_its_host(self):
        other = hs.Hub()
        self.addCleanup(other.close)
        path = f"/org/name/resolve/{hs.COMMIT}/model.safetensors"
        for host in ("127.0.0.1", "localhost"):
            self.hub.queue("model.safetensors", hs.redirect(f"http://{host}:{other.port}{path}"))
            self.pull(HF_TOKEN="hf_secret")
            shutil.rmtree(self.home)
        self.assertEqual(len(other.requests), 2)
        for r in other.requests:
            self.assertNotIn("hf_secret", str(r.headers))
        self.assertTrue(all("hf_secret" in str(r.headers) for r in self.hub.requests))

    def test_names_that_lead_out(self):
        for name in ("../../x", "/etc/passwd", "a/../b", "config.json\0.txt", "..", "a\\b"):
            answer = self.hub.answer()
            answer["siblings"].append({"rfilename": name, "size": 1, "blobId": "0" * 40})
            self.hub.queue("api", hs.body(json.dumps(answer).encode()))
            self.refuse("is no name of a file inside it")
        self.assertEqual(len(self.hub.requests), 6)

    def test_commit_that_leads_out(self):
        answer = self.hub.answer()
        answer["sha"] = "../" * 13 + "x"
        self.hub.queue("api", hs.body(json.dumps(answer).encode()))
        self.refuse('no "sha" of 40 hex digits')

    def test_answers_that_are_none(self):
        for data in (b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"sha":1}'):
            self.hub.queue("api", hs.body(data))
            self.refuse("the hub's answer")

    def test_answer_without_end(self):
        self.hub.queue("api", hs.endless(100))
        self.refuse("HUB_API_MAX")
        self.assertLess(self.hub.requests[0].sent, 20 << 20)

    def test_size_beyond_the_maximum(self):
        answer = self.hub.answer()
        for entry in answer["siblings"]:
            if entry["rfilename"] == "model.safetensors":
                entry["lfs"]["size"] = 1 << 40
        self.hub.queue("api", hs.body(json.dumps(answer).encode()))
        self.refuse("HUB_WEIGHTS_MAX")

    def test_only_bin(self):
        self.hub.files["pytorch_model.bin"] = self.hub.files.pop("model.safetensors")
        self.pull()

    def test_bin_next_to_safetensors(self):
        wanted = dict(self.hub.files)
        self.hub.files["pytorch_model.bin"] = self.hub.files["tf_model.h5"] = b"of no use"
        code, out = self.run_driver()
        self.assertEqual(code, 0, out + self.stderr)
        self.check_whole(out, wanted)

    def test_no_weights(self):
        self.hub.files["model.onnx"] = self.hub.files.pop("model.safetensors")
        self.refuse("no model.safetensors and no pytorch_model.bin")


class Tls(PullCase):
    """https with a certificate of our own making."""
    def setUp(self):
        super().setUp()
        self.cert, key = self.cache + "/cert.pem", self.cache + "/key.pem"
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-keyout", key, "-out", self.cert, "-days", "2", "-subj", "/CN=localhost",
                "-addext", "subjectAltName=DNS:localhost"]
        if not shutil.which("openssl") or subprocess.run(make, capture_output=True).returncode:
            self.skipTest("the program openssl cannot make a certificate here")
        self.plain = self.hub
        self.hub = hs.Hub(tls=(self.cert, key))
        self.addCleanup(self.plain.close)

    def test_known_authority(self):
        self.pull(SSL_CERT_FILE=self.cert)
        shutil.rmtree(self.home)
        self.pull(CURL_CA_BUNDLE=self.cert, SSL_CERT_FILE="/nonexistent")

    def test_unknown_authority(self):
        self.refuse("certificate")
        self.assertEqual(self.hub.requests, [])

    def test_another_name(self):
        self.refuse("127.0.0.1", SSL_CERT_FILE=self.cert,
                    HF_ENDPOINT=f"https://127.0.0.1:{self.hub.port}")

    def test_no_way_back_to_http(self):
        path = f"/org/name/resolve/{hs.COMMIT}/model.safetensors"
        self.hub.queue("model.safetensors", hs.redirect(self.plain.url + path))
        self.refuse("model.safetensors", SSL_CERT_FILE=self.cert)
        self.assertEqual(self.plain.requests, [])


class Machine(PullCase):
    def test_offline(self):
        self.refuse("HF_HUB_OFFLINE", HF_HUB_OFFLINE="1")
        self.assertEqual(self.hub.requests, [])
        out = self.pull()
        self.assertEqual(self.run_driver(HF_HUB_OFFLINE="TRUE"), (0, out))

    def test_bad_endpoint(self):
        self.refuse("HF_ENDPOINT", HF_ENDPOINT="file:///tmp")
        out = self.refuse("HF_ENDPOINT", HF_ENDPOINT="http://me:secret@127.0.0.1")
        self.assertNotIn("secret", out)
        self.refuse("HF_ENDPOINT", HF_ENDPOINT="http://" + "a" * 3000)

    def test_refused_model(self):
        code, out = self.run_driver("nomic-embed-text-v1.5-Q")
        self.assertEqual((code, out.split(":")[0]), (1, str(MODEL)))

    def test_two_at_once(self):
        self.hub.queue("model.safetensors", hs.slow(20_000, 0.02))
        both = [self.start(), self.start(), self.start()]
        outs = [p.communicate(timeout=HANG_S)[0].strip() for p in both]
        self.assertEqual([p.returncode for p in both], [0, 0, 0])
        self.assertEqual(len(set(outs)), 1)
        self.check_whole(outs[0])
        for name in self.hub.files:
            self.starts(name)

    def test_cache_below_a_file(self):
        path = self.cache + "/models"
        open(path, "w").close()
        code, out = self.run_driver()
        self.assertEqual((code, out.split(":")[0]), (1, str(NOTFOUND)))
        self.assertIn(path, out)

    def test_read_only_cache(self):
        if os.geteuid() != 0:
            os.chmod(self.cache, 0o555)
            self.refuse("Permission denied")
            return
        with small_disk(self, "ro,size=1m") as disk:
            self.cache = disk
            self.refuse("Read-only file system")

    def test_disk_too_small(self):
        with small_disk(self, "size=100k") as disk:
            self.cache = disk
            self.refuse("bytes are needed and")
            self.assertEqual(len(self.hub.of("model.safetensors")), 0)

    def test_disk_full_on_the_way(self):
        with small_disk(self, "size=400k") as disk:
            self.cache = disk

            def fill(request):
                if request.path.endswith("model.safetensors"):
                    with open(disk + "/filler", "wb") as f:
                        try:
                            f.write(b"x" * 1_000_000)
                        except OSError:
                            pass
            self.hub.on_send = fill
            self.refuse("No space left on device")
            self.hub.on_send = lambda request: None
            os.unlink(disk + "/filler")
            self.pull()


class small_disk:
    """A tmpfs with these options, or the test is skipped."""
    def __init__(self, case, options):
        self.case, self.options = case, options

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="hub-disk-")
        p = subprocess.run(["mount", "-t", "tmpfs", "-o", self.options, "none", self.dir],
                           capture_output=True, text=True) if os.geteuid() == 0 else None
        if p is None or p.returncode:
            os.rmdir(self.dir)
            self.case.skipTest("no tmpfs can be mounted: " +
                               (p.stderr.strip() if p else "not root"))
        return self.dir

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.dir], check=False)
        os.rmdir(self.dir)


class Kills(PullCase):
    def start_slow(self, n=100_000):
        """A pull that stands still with n bytes of the weights on the disk."""
        self.hub.queue("model.safetensors", hs.stall(n, HANG_S))
        p = self.start(HUB_TEST_STALL_S=str(HANG_S))
        part = f"{self.home}/.{hs.COMMIT}.part/parts/model.safetensors"
        deadline = time.monotonic() + HANG_S
        while not (os.path.exists(part) and os.path.getsize(part) == n):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        pids = children(p.pid)
        self.assertEqual(len(pids), 1)
        return p, pids[0]

    def gone(self, pid):
        deadline = time.monotonic() + HANG_S
        while alive(pid):
            self.assertLess(time.monotonic(), deadline, "a process is left behind")
            time.sleep(0.01)

    def test_caller_killed(self):
        p, child = self.start_slow()
        p.kill()
        p.communicate()
        self.gone(child)
        self.pull()
        self.assertEqual(self.starts(), [0, 100_000])

    def test_program_killed(self):
        p, child = self.start_slow()
        os.kill(child, signal.SIGKILL)
        out = p.communicate(timeout=HANG_S)[0]
        self.assertEqual((p.returncode, out.split(":")[0]), (1, str(NOTFOUND)))
        self.assertIn("ended with signal 9", out)
        self.pull()
        self.assertEqual(self.starts(), [0, 100_000])

    def test_program_terminated(self):
        p, child = self.start_slow()
        os.kill(child, signal.SIGTERM)
        out = p.communicate(timeout=HANG_S)[0]
        self.assertEqual(out.split(":")[0], str(STOPPED))

    def test_stop_flag(self):
        p, child = self.start_slow()
        p.send_signal(signal.SIGUSR1)
        out = p.communicate(timeout=HANG_S)[0]
        self.assertEqual((p.returncode, out.split(":")[0]), (1, str(STOPPED)))
        self.gone(child)
        self.pull()
        self.assertEqual(self.starts(), [0, 100_000])

    def test_killed_at_many_moments(self):
        """SIGKILL to both at moments spread over the pull: whatever stands there then is either no
        model or a whole one, and in the end the model is whole."""
        for i in range(25):
            self.hub.queue("model.safetensors", hs.slow(40_000, 0.001))
            p = self.start()
            time.sleep(0.002 * i)
            for pid in children(p.pid) + [p.pid]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            p.communicate()
            code, out = self.run_driver("org/name", "find")
            if code == 0:
                for name, data in self.hub.files.items():
                    self.assertEqual(open(f"{out}/{name}", "rb").read(), data)
                shutil.rmtree(self.home)
        self.hub.queued.clear()
        self.pull()

    def kill_at(self, call, n):
        """A pull whose program is killed at its n-th call of this kind; false when there is none. What
        stands then is no model or a whole one, and the next pull makes it whole."""
        wrapper = self.cache + "/wrapper"
        with open(wrapper, "w") as f:  # -D keeps the program the child of its caller
            f.write(f"#!/bin/sh\nexec strace -D -o /dev/null -e trace={call} "
                    f"-e inject={call}:signal=KILL:when={n} {PROGRAM} \"$@\"\n")
        os.chmod(wrapper, 0o755)
        p = subprocess.run([DRIVER, "pull", self.cache, "org/name", wrapper], capture_output=True,
                           text=True, env=self.env(), timeout=HANG_S)
        if p.returncode == 0:
            return False
        self.assertIn("ended with signal 9", p.stdout)
        code, out = self.run_driver("org/name", "find")
        if code == 0:
            for name, data in self.hub.files.items():
                self.assertEqual(open(f"{out}/{name}", "rb").read(), data)
        self.pull()
        return True

    def test_killed_at_each_change(self):
        """SIGKILL at each system call that changes a folder, each time in a fresh cache."""
        probe = ["strace", "-D", "-o", "/dev/null", "-e", "trace=none", "true"]
        if not shutil.which("strace") or subprocess.run(probe, capture_output=True).returncode:
            self.skipTest("strace is missing or may not trace here")
        self.hub.files = {n: self.hub.files[n][:5000] for n in
                          ("config.json", "vocab.txt", "1_Pooling/config.json", "model.safetensors")}
        kills = 0
        for call in ("mkdir", "rename", "fsync", "unlink", "unlinkat", "rmdir"):
            n = 1
            while self.kill_at(call, n):
                shutil.rmtree(self.home)
                n += 1
            shutil.rmtree(self.home)
            kills += n - 1
        self.assertGreater(kills, 20)
        print(f"killed at each of {kills} changes")

    def test_staging_that_was_tampered_with(self):
        p, child = self.start_slow()
        p.kill()
        p.communicate()
        self.gone(child)
        stage = f"{self.home}/.{hs.COMMIT}.part"
        with open(f"{stage}/files/vocab.txt", "wb") as f:
            f.write(b"[PAD]\n[UNX]\n")
        with open(f"{stage}/parts/model.safetensors", "ab") as f:
            f.write(b"x" * 300_000)
        self.pull()

    def test_staging_of_another_commit_is_removed(self):
        os.makedirs(f"{self.home}/.{hs.OTHER_COMMIT}.part/parts")
        self.pull()


class Result(unittest.TextTestResult):
    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"skipped {test}: {reason}")


def main():
    global DRIVER, PROGRAM
    DRIVER, PROGRAM = (os.path.abspath(a) for a in sys.argv[1:3])
    loader, module = unittest.defaultTestLoader, sys.modules[__name__]
    suite = loader.loadTestsFromNames(sys.argv[4:], module) if sys.argv[4:] \
        else loader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(resultclass=Result, verbosity=1, stream=sys.stdout).run(suite)
    bad = len(result.failures) + len(result.errors)
    print(f"{sys.argv[3]}: {result.testsRun - bad - len(result.skipped)} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
