"""Sells each seat once: `PUT /seats/<seat>/<guest>` answers 201, or 409 when the seat is taken."""

import sqlite3
from http.server import BaseHTTPRequestHandler, HTTPServer

VERSION = "2.1"


class Box:
    """The box office: books are kept on the disk."""

    def __init__(self, file):
        self.db = sqlite3.connect(file, check_same_thread=False)
        self.db.execute("CREATE TABLE booking (seat TEXT PRIMARY KEY, guest TEXT NOT NULL)")

    def book(self, seat, guest):
        with self.db:
            booked = self.db.execute("INSERT OR IGNORE INTO booking VALUES (?, ?)", (seat, guest))
        return 201 if booked.rowcount else 409

    def rows(self):
        return [{"seat": seat, "guest": guest} for seat, guest in self.db.execute("SELECT * FROM booking")]


def server_for(box):
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self):
            _, _, seat, guest = self.path.split("/")
            self.answer(box.book(seat, guest))

        def do_GET(self):
            self.answer(200 if self.path == "/health" else 404)

        def answer(self, status):
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    return HTTPServer(("127.0.0.1", 0), Handler)
