"""An HTTPS server for the tests: CERTIFICATE KEY. Prints its port and serves until it is killed."""
import socket
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

names = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path in ("/cut", "/whole"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
            self.wfile.flush()
            if self.path == "/whole":
                self.connection.unwrap()
            else:
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        s = self.connection
        text = f"{s.selected_alpn_protocol()} {names.get(s.context)} {len(body)}".encode()
        if self.path == "/long":
            text = b"x" * 1000000
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    # Each connection has its own context, by which its name is remembered.
    def get_request(self):
        sock, peer = super().get_request()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
        context.set_alpn_protocols(["h2", "http/1.1"])
        context.sni_callback = lambda s, name, c: names.__setitem__(c, name)
        return context.wrap_socket(sock, server_side=True), peer

    def handle_error(self, request, client_address):
        pass


server = Server(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
