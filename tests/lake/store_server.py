"""An object store on this machine: moto's server of S3's protocol, in a separate process.

    with Store(tmp_path) as store:
        store.upload(lake, "prefix")
        Market.open("s3://lakes/prefix", storage_options=store.options)
        store.asked()

moto lets everybody read what is uploaded as public, and asks for a signature to write, which it does
not verify.
"""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote

BUCKET = "lakes"
KEY, SECRET = "AKIA" + "K" * 16, "S3CR3T" + "s" * 34
_CODE = """
import sys
from threading import Thread

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

moto = DomainDispatcherApplication(create_backend_app)
log = open(sys.argv[1], "a", encoding="utf-8")


def app(environ, start_response):
    # A line in one write: the log of the server itself depends on how logging is set up.
    log.write(environ["REQUEST_METHOD"] + " " + environ["REQUEST_URI"] + "\\n")
    log.flush()
    return moto(environ, start_response)


server = make_server("127.0.0.1", 0, app, True, request_handler=MotoRequestHandler)
Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
input()
"""
_SIGNED = f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


class Store:
    def __init__(self, folder: Path) -> None:
        self._log = folder / "requests.log"
        self._seen = 0

    def __enter__(self) -> Self:
        command = [sys.executable, "-c", _CODE, str(self._log)]
        with self._log.with_suffix(".errors").open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        assert self._process.stdout
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self._send("PUT", "")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.terminate()
        self._process.wait(30)

    @property
    def options(self) -> dict[str, Any]:
        """The storage options of s3://."""
        return {
            "aws_access_key_id": KEY,
            "aws_secret_access_key": SECRET,
            "aws_endpoint_url": self.url,
            "aws_region": "us-east-1",
            "max_retries": 0,
        }

    @property
    def google_options(self) -> dict[str, Any]:
        """The storage options of gs://, whose XML interface is S3's for reads."""
        account = {
            "gcs_base_url": self.url,
            "disable_oauth": True,
            "client_email": "",
            "private_key_id": "",
            "private_key": SECRET,
        }
        return {"google_service_account_key": json.dumps(account), "max_retries": 0}

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }

    def put(self, key: str, body: bytes) -> None:
        self._send("PUT", f"/{quote(key)}", body)

    def delete(self, key: str) -> None:
        self._send("DELETE", f"/{quote(key)}")

    def upload(self, folder: Path, prefix: str) -> str:
        """Copy all files of a folder, and return the address."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        self.asked()
        return f"s3://{BUCKET}/{prefix}"

    def asked(self) -> list[tuple[str, str]]:
        """The requests since the last call, as method and key (or the prefix listed)."""
        with self._log.open(encoding="utf-8") as log:
            log.seek(self._seen)
            text = log.read()
            self._seen = log.tell()
        return [
            (method, unquote(target.removeprefix(f"/{BUCKET}").lstrip("/")))
            for method, target in map(str.split, text.splitlines())
        ]

    def _send(self, method: str, key: str, body: bytes = b"") -> None:
        request = urllib.request.Request(f"{self.url}/{BUCKET}{key}", data=body, method=method)
        request.add_header("Authorization", _SIGNED)
        request.add_header("x-amz-acl", "public-read")
        request.add_header("Content-Type", "application/octet-stream")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60):
            pass
