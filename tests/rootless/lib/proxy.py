#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""proxy.py ADDRESS PORT: an HTTP proxy that answers each request itself, with its URL; says "ready"
once it listens."""
import http.server
import sys


class Proxy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"proxied {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


with http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), Proxy) as server:
    print("ready", flush=True)
    server.serve_forever()
