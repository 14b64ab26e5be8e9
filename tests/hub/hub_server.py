"""A hub that behaves as badly as it is told to, on a port of this machine.

A Hub serves one model, `org/name`, in the shape of Hugging Face's API. For each path a list of
behaviours can be queued; each request takes one, and without any the answer is good. Every request is
recorded with its headers, the byte it began at and the bytes that were sent."""

import hashlib
import http.server
import json
import ssl
import threading
import time
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "f" * 40


def git_id(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def model_files(weights_bytes=200_000):
    """Small files whose sizes and contents all differ."""
    weights = bytes((i * 7 + i // 251) % 256 for i in range(weights_bytes))
    return {
        "config.json": b'{"model_type": "bert"}',
        "tokenizer.json": b'{"model": {"type": "WordPiece"}}' + b" " * 1000,
        "vocab.txt": b"[PAD]\n[UNK]\n",
        "tokenizer_config.json": b"{}",
        "special_tokens_map.json": b"{ }",
        "modules.json": b"[]",
        "sentence_bert_config.json": b'{"max_seq_length": 256}',
        "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
        "model.safetensors": weights,
    }


class Request:
    def __init__(self, path, headers, start):
        self.path, self.headers, self.start, self.sent = path, headers, start, 0


class Hub:
    def __init__(self, files=None, lfs=("model.safetensors",), commit=COMMIT, tls=None):
        self.files = model_files() if files is None else files
        self.lfs, self.commit = lfs, commit
        self.queued = {}
        self.requests = []
        self.lock = threading.Lock()
        self.on_send = lambda request: None
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *args):
                pass

            def do_GET(self):
                hub.serve(self)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a client that is killed or has enough

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        if tls:  # (certificate, key)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.url = f"https://localhost:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self):
        siblings = [{"rfilename": "README.md", "size": 5, "blobId": git_id(b"hello")}]
        for name, data in self.files.items():
            entry = {"rfilename": name, "size": len(data), "blobId": git_id(data)}
            if name in self.lfs:
                entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data),
                                "pointerSize": 134}
            siblings.append(entry)
        return {"id": "org/name", "sha": self.commit, "siblings": siblings}

    def queue(self, name, *behaviours):
        """name: a file of the model, or "api"."""
        self.queued.setdefault(name, []).extend(behaviours)

    def of(self, name):
        path = f"/org/name/resolve/{self.commit}/{name}"
        return [r for r in self.requests if r.path == path]

    def serve(self, handler):
        path = urllib.parse.urlparse(handler.path).path
        start = 0
        value = handler.headers.get("Range", "")
        if value.startswith("bytes=") and value.endswith("-"):
            start = int(value[6:-1])
        request = Request(path, dict(handler.headers), start)
        prefix = f"/org/name/resolve/{self.commit}/"
        if path.startswith("/api/models/org/name/revision/"):
            name, data = "api", json.dumps(self.answer()).encode()
        elif path.startswith(prefix) and path[len(prefix):] in self.files:
            name = path[len(prefix):]
            data = self.files[name]
        else:
            name, data = None, None
        with self.lock:
            self.requests.append(request)
            behaviour = self.queued[name].pop(0) if self.queued.get(name) else None
        self.on_send(request)
        try:
            if behaviour:
                behaviour(handler, request, data)
            elif data is None:
                status(404)(handler, request, data)
            else:
                good(handler, request, data)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True


def head(handler, request, data, length=None, code=None):
    """Status line and headers of a good answer that begins at request.start."""
    if request.start:
        handler.send_response(code or 206)
        handler.send_header("Content-Range",
                            f"bytes {request.start}-{len(data) - 1}/{len(data)}")
    else:
        handler.send_response(code or 200)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()


def send(handler, request, data):
    handler.wfile.write(data)
    request.sent += len(data)


def good(handler, request, data):
    head(handler, request, data, len(data) - request.start)
    send(handler, request, data[request.start:])


def cut(n):
    """States the right length, sends n bytes of it and hangs up."""
    def behave(handler, request, data):
        head(handler, request, data, len(data) - request.start)
        send(handler, request, data[request.start:request.start + n])
        handler.close_connection = True
    return behave


def stall(n, seconds, then=None):
    """Sends n bytes, nothing for a while, then hangs up or goes on."""
    def behave(handler, request, data):
        head(handler, request, data, len(data) - request.start)
        send(handler, request, data[request.start:request.start + n])
        handler.wfile.flush()
        time.sleep(seconds)
        if then == "go on":
            send(handler, request, data[request.start + n:])
        handler.close_connection = True
    return behave


def slow(piece, pause):
    """All of it, in pieces with pauses."""
    def behave(handler, request, data):
        head(handler, request, data, len(data) - request.start)
        for i in range(request.start, len(data), piece):
            send(handler, request, data[i:i + piece])
            handler.wfile.flush()
            time.sleep(pause)
    return behave


def length_is(n):
    """States n bytes whatever there is, and sends n: cut off, or filled up with more."""
    def behave(handler, request, data):
        head(handler, request, data, n)
        send(handler, request, (data[request.start:] + b"x" * n)[:n])
    return behave


def no_length(n=None):
    """No length: the end of the connection is the end of the file, after n bytes."""
    def behave(handler, request, data):
        head(handler, request, data)
        send(handler, request, data[request.start:][:n])
        handler.close_connection = True
    return behave


def chunked(n=None):
    """Chunks; with n, hangs up after so many bytes without the last chunk."""
    def behave(handler, request, data):
        handler.send_response(206 if request.start else 200)
        if request.start:
            handler.send_header("Content-Range",
                                f"bytes {request.start}-{len(data) - 1}/{len(data)}")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        rest = data[request.start:][:n]
        for i in range(0, len(rest), 50_000):
            piece = rest[i:i + 50_000]
            handler.wfile.write(b"%x\r\n" % len(piece))
            send(handler, request, piece)
            handler.wfile.write(b"\r\n")
        if n is None:
            handler.wfile.write(b"0\r\n\r\n")
        else:
            handler.close_connection = True
    return behave


def wrong_bytes(handler, request, data):
    """The right length, one byte changed."""
    bad = bytearray(data)
    bad[len(bad) // 2] ^= 1
    good(handler, request, bytes(bad))


def no_ranges(handler, request, data):
    """All of it, whatever was asked for."""
    request.start = 0
    good(handler, request, data)


def wrong_range(handler, request, data):
    """Says 206 and sends another part than asked for."""
    if request.start:
        request.start = max(1, request.start - 1000)
    good(handler, request, data)


def status(code, headers=(), body=b"no\n"):
    def behave(handler, request, data):
        handler.send_response(code)
        for key, value in headers:
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
    return behave


def redirect(url):
    return status(302, [("Location", url)])


def body(data):
    """A good status with these bytes."""
    return status(200, body=data)


def endless(mebibytes):
    """Many bytes; tells in request.sent how many were taken."""
    def behave(handler, request, data):
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        for _ in range(mebibytes):
            send(handler, request, b" " * (1 << 20))
    return behave


def hang_up(handler, request, data):
    handler.close_connection = True
