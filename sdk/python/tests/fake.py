"""A server that keeps tasks as the real one does, as far as the client can tell, and remembers what it was asked."""

import hashlib
import http.server
import json
import re
import threading
import urllib.parse


class FakeServer:
    def __init__(self):
        self.namespaces = {"default"}
        self.may_create = True
        #: Requests of a new namespace that still don't see it.
        self.lag = 0
        self.tasks = {}
        self.codes = {}
        self.seen = []
        #: Texts of each attempt's log; `None` breaks the connection there.
        self.logs = {}
        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.httpd.server_port}"
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()

    def asked(self, method, part):
        return [entry for entry in self.seen if entry[0] == method and part in entry[1]]

    def answer(self, method, path, query, body):
        if path == "/api/v1/namespaces":
            return self._create_namespace(json.loads(body)["metadata"]["name"])
        match = re.fullmatch(r"/tasks/v1/namespaces/([^/]+)/(tasks|code)(?:/([^/]+))?(?:/(\w+))?", path)
        if match is None:
            return 404, status("NotFound", "no such path")
        namespace, kind, name, verb = match.groups()
        if namespace not in self.namespaces or self.lag:
            self.lag = max(0, self.lag - 1) if namespace in self.namespaces else self.lag
            return 404, status("NotFound", f'namespaces "{namespace}" not found', kind="namespaces", name=namespace)
        if kind == "code":
            return self._code(method, name, body)
        if name is None:
            return self._tasks(method, namespace, query, body)
        if name not in self.tasks:
            return 404, status("NotFound", f'tasks "{name}" not found', kind="tasks", name=name)
        task = self.tasks[name]
        if verb == "cancel":
            task["state"], task["cancelledBy"] = "cancelled", "admin"
        elif verb == "retry":
            if task["state"] not in ("failed", "cancelled"):
                return 400, status("BadRequest", f"task {name} is {task['state']}")
            task["state"] = "ready"
        elif verb == "progress":
            told = json.loads(body)
            if told["attempt"] != task["attempt"]:
                return 400, status("BadRequest", f"attempt {told['attempt']} does not run")
            task["progress"] = told["progress"]
        return 200, task

    def _create_namespace(self, name):
        if not self.may_create:
            return 403, status("Forbidden", "namespaces is forbidden")
        if name in self.namespaces:
            return 409, status("AlreadyExists", f'namespaces "{name}" already exists')
        self.namespaces.add(name)
        return 201, {"kind": "Namespace", "metadata": {"name": name}}

    def _code(self, method, name, body):
        if method == "PUT":
            code = "sha256:" + hashlib.sha256(body).hexdigest()
            self.codes[code] = body
            return 200, {"code": code, "size": len(body)}
        code = urllib.parse.unquote(name)
        return (200, {"code": code}) if code in self.codes else (404, status("NotFound", f"{code} not found"))

    def _tasks(self, method, namespace, query, body):
        if method == "GET":
            mine = [task for task in self.tasks.values() if task["namespace"] == namespace]
            mine = [task for task in mine if not query.get("state") or task["state"] in query["state"].split(",")]
            mine.sort(key=lambda task: -task["no"])
            before = int(query.get("continue") or 1 << 40)
            limit = int(query.get("limit") or 100)
            page = [task for task in mine if task["no"] < before][:limit]
            more = {"continue": str(page[-1]["no"])} if len(page) == limit else {}
            return 200, {"tasks": page, **more}
        asked = json.loads(body)
        no = len(self.tasks) + 1
        task = {
            "id": f"00000000-0000-4000-8000-{no:012}", "no": no, "namespace": namespace, "name": asked["name"],
            "queue": asked.get("queue", "default"), "state": "ready", "priority": asked.get("priority", 0), "attempt": 0,
            "attemptsLeft": 1, "trace": "t", "createdBy": "admin", "createdAt": "2026-11-01T00:00:00.000000Z",
            "dueAt": "2026-11-01T00:00:00.000000Z", "aFieldOfTomorrow": 1,
        }  # fmt: skip
        self.tasks[task["id"]] = task
        return 200, task

    def _handler(fake):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                parsed = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(parsed.query))
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                fake.seen.append((self.command, parsed.path, query, body))
                if parsed.path.endswith("/logs"):
                    return self._log(parsed.path.split("/")[-2], query)
                code, answer = fake.answer(self.command, parsed.path, query, body)
                data = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _log(self, id, query):
                attempt = int(query.get("attempt") or fake.tasks[id]["attempt"])
                self.send_response(200)
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                log = fake.logs.get((id, attempt), [])
                for index, piece in enumerate(log):
                    if piece is None:
                        del log[index]
                        self.close_connection = True
                        return
                    if callable(piece):
                        piece()
                        continue
                    data = piece.encode()
                    self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")

            do_GET = do_POST = do_PUT = serve

            def log_message(self, *_):
                pass

        return Handler


def status(reason, message, **details):
    return {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "details": details}
